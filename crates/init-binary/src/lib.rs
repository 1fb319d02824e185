//! The static init executable, as bytes: what drivers put into sandboxes.
//!
//! A crate of its own because building it is a build of its own (`build.rs`): init is linked statically, so that it
//! runs in any root directory or image, whatever C library is in there.

/// The executable. An ELF file that needs no loader and no library.
pub static INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

#[cfg(test)]
mod tests {
    use super::INIT;

    #[test]
    fn init_is_an_elf_executable_without_a_loader() {
        assert!(INIT.starts_with(b"\x7fELF"));
        // PT_INTERP would name the loader by this suffix.
        assert!(!INIT.windows(10).any(|window| window == b"/ld-linux-"));
    }
}
