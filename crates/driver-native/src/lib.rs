//! Sandboxes from Linux namespaces and cgroups, without a daemon.
//!
//! ```text
//!   NativeDriver (in the runner) ══ socket ══ launcher (own process, one thread) ──clone3──▶ init (PID 1)
//! ```
//!
//! The runner has many threads and must not fork; so a **launcher**, this same executable started anew with an empty
//! environment, makes the sandboxes. It prepares once what all of them share: a mount namespace whose only content is a
//! read-only root directory (the *template*), and as an ordinary user also a user namespace. A sandbox is then one
//! `clone3` from there, a few mounts, `pivot_root` and the `execve` of init.
//!
//! What is enforced: user, mount, pid, network, IPC, UTS and cgroup namespaces; a read-only root without set-user-id
//! and devices; writable places of limited size and number of files; memory, processes and CPU by cgroup (v2 or v1);
//! an own range of host user ids per sandbox where the user has one to give. What a kernel or a user cannot give is
//! a [`Wall`](sandbox::Wall) that has to be allowed to be missing, by name. The inner wall (init) is not this crate's.
//!
//! What a dead runner leaves: its launcher sees the end of the socket and destroys everything. Where the launcher was
//! killed too, every init ends at the end of its stream, and [`instance`] finds the empty cgroups at the next start. A
//! launcher that ends while its runner lives is replaced by [`keeper`].

mod cgroup;
mod checks;
mod child;
mod driver;
mod hierarchy;
mod ids;
mod instance;
mod keeper;
mod launcher;
mod link;
mod refusal;
mod root;
mod stage;
mod sys;
mod told;
mod wire;

pub use crate::driver::{Config, NativeDriver, RootDirectory};
pub use crate::launcher::run as run_launcher;

/// Name of the hidden subcommand under which the executable becomes a launcher: it must call [`run_launcher`] before
/// it starts any thread.
pub const LAUNCHER_COMMAND: &str = "__launcher";
