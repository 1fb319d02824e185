//! The static init executable, as bytes: what drivers put into sandboxes.
//!
//! A crate of its own because building it is a build of its own (`build.rs`): init is linked statically, so that it
//! runs in any root directory or image, whatever C library is in there.

/// The executable. An ELF file that needs no loader and no library.
pub static INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// The calls that programs may make, as init's own filter has them: for drivers whose technology wants a filter, too.
pub const ALLOW_POLICY: &str = include_str!("../../init/seccomp/allow.policy");

/// The calls that answer `ENOSYS`.
pub const ABSENT_POLICY: &str = include_str!("../../init/seccomp/absent.policy");

#[path = "../../init/seccomp/policy.rs"]
pub mod policy;

#[cfg(test)]
mod tests {
    use super::{ABSENT_POLICY, ALLOW_POLICY, INIT, policy};

    #[test]
    fn init_is_an_elf_executable_without_a_loader() {
        assert!(INIT.starts_with(b"\x7fELF"));
        // PT_INTERP would name the loader by this suffix.
        assert!(!INIT.windows(10).any(|window| window == b"/ld-linux-"));
    }

    #[test]
    fn the_policies_are_readable_for_both_architectures() {
        for arch in ["x86_64", "aarch64"] {
            assert!(policy::rules(ALLOW_POLICY, arch).unwrap().len() > 250);
            assert_eq!(policy::rules(ABSENT_POLICY, arch).unwrap().len(), 1);
        }
        let only = |arch| policy::rules("a\nb @aarch64 # c\n", arch).unwrap().len();
        assert_eq!((only("x86_64"), only("aarch64")), (1, 2));
        assert!(policy::rules("a arg0=1", "x86_64").unwrap_err().contains("line 1"));
    }
}
