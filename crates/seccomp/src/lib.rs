//! Which system calls programs in a sandbox may make, as text, and the filter that is made of it.
//!
//! ```text
//!   policy/*.policy ── read ──▶ Policy ──┬─ compile ──▶ classic BPF, which init loads (its build script asks for it)
//!                                        └─ calls ────▶ for drivers that hand the same policy to somebody else
//! ```
//!
//! There is one policy and one reader of it, so two filters can never say different things. What the compiled program
//! answers is held against [`Policy::answer`] by an interpreter of the kernel's machine, in a property test.
//!
//! This is pure: it loads nothing, and knows nothing of sandboxes.

mod compile;
mod policy;

pub use compile::{AUDIT_AARCH64, AUDIT_X86_64, Instruction, compile};
pub use policy::{Answer, Arch, Call, Condition, Policy, PolicyError, Rule, Test};

#[cfg(test)]
mod tests;
