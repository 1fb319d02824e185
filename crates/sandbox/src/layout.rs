//! Where things are inside a sandbox: the same under every driver.

/// The trigger's skills, each in a directory named by its slug; read-only to programs.
pub const SKILLS: &str = "/skills";
/// Working directory of code and base of relative paths; lives as long as the sandbox.
pub const WORKSPACE: &str = "/workspace";
/// What is saved here is captured; the only way out.
pub const OUTPUT: &str = "/output";
/// Scratch space, and `HOME` of programs.
pub const TMP: &str = "/tmp";
/// Shared memory, as POSIX programs expect it.
pub const SHM: &str = "/dev/shm";
/// Dependency layers, read-only, each in a directory named by its digest.
pub const LAYERS: &str = "/layers";
/// A user base of Python for code that may use several layers at once.
pub const UNITED: &str = "/tmp/code/layers";

/// Where an image says what is in it. Only the runner reads there, by [`crate::SandboxPath::packages`].
pub const SHARE: &str = "/usr/share/skillbox";

/// Where `octavus_file_read` may read.
pub const READABLE: [&str; 3] = [WORKSPACE, OUTPUT, SKILLS];
/// Where `octavus_file_write` may write.
pub const WRITABLE: [&str; 2] = [WORKSPACE, OUTPUT];
/// Where programs may write.
pub const PROGRAM_WRITABLE: [&str; 4] = [WORKSPACE, OUTPUT, TMP, SHM];

/// User and group id of programs where the driver can give them one of their own.
pub const USER_ID: u32 = 1000;
