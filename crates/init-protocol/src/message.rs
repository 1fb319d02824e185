//! What the runner asks and init answers.

use serde::{Deserialize, Serialize};

/// A request of the runner. "Answer" is the final message; data frames may come before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToInit {
    /// First frame of all. Answer: [`FromInit::Ready`].
    Hello {
        /// [`crate::VERSION`] of the runner.
        version: u16,
        /// What init needs to know of its sandbox.
        setup: Setup,
    },
    /// Unpack a tar (its bytes follow as data frames, then [`ToInit::End`]) below a directory. Only regular files
    /// and directories are taken. Answer: [`FromInit::Done`].
    Put {
        /// Absolute directory in the sandbox; created where it is missing.
        directory: String,
        /// Who owns what is written.
        owner: Owner,
    },
    /// Run a program. Standard input follows as data frames and [`ToInit::End`] where `Exec::stdin` says so, else
    /// it is empty. Answer: stdout and stderr frames as they come, then [`FromInit::Exited`], or
    /// [`FromInit::Failed`] where no program could be started.
    Exec(Exec),
    /// Create or replace a regular file, owned by the user; bytes follow as data frames, then [`ToInit::End`].
    /// Missing parent directories are made. Answer: [`FromInit::Done`].
    Write {
        /// Absolute path below one of [`Setup::writable`].
        path: String,
    },
    /// Read a range of a regular file. Answer: [`FromInit::File`], data frames, [`FromInit::Done`].
    Read {
        /// Absolute path below one of [`Setup::readable`].
        path: String,
        /// First byte.
        offset: u64,
        /// Most bytes to send.
        limit: u64,
    },
    /// List everything below a directory. Answer: [`FromInit::Entries`] as often as needed, then
    /// [`FromInit::Listed`].
    List {
        /// One of [`Setup::writable`].
        directory: String,
        /// Stop after so many entries.
        max_entries: u32,
    },
    /// Send some files below [`Setup::output`], in this order. Answer: for each [`FromInit::File`] and its data
    /// frames, or [`FromInit::Failed`]; at the end [`FromInit::Done`].
    Fetch {
        /// The files.
        files: Vec<FetchFile>,
    },
    /// End the exec with this request id at once. No answer of its own: the exec is answered.
    Kill {
        /// Request id of the exec.
        request: u32,
    },
    /// End of the data frames of a request.
    End,
}

/// What init must know of the sandbox that it is PID 1 of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// User id that programs get.
    pub uid: u32,
    /// Group id that programs get.
    pub gid: u32,
    /// Milliseconds from now after which init ends itself and with it the sandbox, whatever else happens.
    pub lifetime_ms: u64,
    /// Directory whose files are captured.
    pub output: String,
    /// Directories that programs, and `Write`, may write below.
    pub writable: Vec<String>,
    /// Directories that `Read` may read below.
    pub readable: Vec<String>,
    /// `RLIMIT_NOFILE` of programs.
    pub max_open_files: u64,
    /// `RLIMIT_FSIZE` of programs, in bytes.
    pub max_file_size: u64,
    /// `RLIMIT_NPROC` of programs. Only a second line behind the cgroup's limit; `None` where other sandboxes
    /// share the user id.
    pub max_processes: Option<u64>,
    /// Whether programs may start without Landlock where the kernel has none.
    pub allow_missing_landlock: bool,
}

/// Who owns files that init writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// init itself: programs may read, not write.
    Init,
    /// The user of programs.
    User,
}

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Program (an absolute path, or a name looked up in the `PATH` of `env`) and its arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Absolute working directory.
    pub cwd: String,
    /// Whether standard input follows.
    pub stdin: bool,
    /// Milliseconds until SIGTERM.
    pub timeout_ms: u64,
    /// Milliseconds between SIGTERM and SIGKILL.
    pub grace_ms: u64,
    /// Characters of each stream that are kept, half of them the head and half the tail. `None`: all.
    pub stream_limit: Option<u32>,
}

/// A range of one output file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchFile {
    /// Path relative to [`Setup::output`], as [`Entry::path`] had it.
    pub path: Vec<u8>,
    /// First byte.
    pub offset: u64,
    /// Most bytes to send.
    pub limit: u64,
}

/// What init answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromInit {
    /// Answer to `Hello`.
    Ready {
        /// [`crate::VERSION`] of init.
        version: u16,
        /// Landlock ABI of the kernel; 0 where there is none.
        landlock_abi: u32,
    },
    /// The request succeeded.
    Done,
    /// The request, or one file of a `Fetch`, failed.
    Failed {
        /// Kind that a caller can branch on.
        kind: FailKind,
        /// What happened, for people.
        message: String,
    },
    /// A file is about to be sent.
    File {
        /// Its whole size in bytes.
        size: u64,
        /// How many bytes of it follow as data frames, unless it shrinks meanwhile: then a `Failed` ends it.
        sending: u64,
    },
    /// Some entries of the directory that is listed.
    Entries(Vec<Entry>),
    /// The listing is complete.
    Listed {
        /// Whether there were more entries than asked for.
        truncated: bool,
    },
    /// The middle of a stream was left out here.
    Omitted {
        /// Which stream.
        stream: StreamKind,
        /// How many characters.
        characters: u64,
    },
    /// The program ended, and everything that it had started is dead.
    Exited {
        /// How it ended.
        termination: Termination,
        /// What it used.
        usage: Usage,
        /// Processes that were still there when the program itself had ended by itself, and were killed then.
        swept: u32,
    },
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailKind {
    /// No such file or directory.
    NotFound,
    /// Something else than a regular file.
    NotAFile,
    /// The path leaves the allowed directories.
    OutsideAllowed,
    /// Permission denied.
    Permission,
    /// No space or no inodes left, or a size limit.
    NoSpace,
    /// The program could not be executed (not found, not executable).
    CannotExecute,
    /// The file changed while it was read.
    Changed,
    /// The request itself was malformed.
    BadRequest,
    /// A wall could not be put up: the program was not started.
    Wall,
    /// Anything else.
    Other,
}

/// An entry below the directory that is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Path relative to that directory; any bytes but NUL.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Size in bytes.
    pub size: u64,
    /// Bytes that it really takes on disk (less than `size` for a sparse file).
    pub allocated: u64,
    /// Inode number.
    pub inode: u64,
    /// Time of the last change of content or metadata, in nanoseconds of the kernel's clock. User code cannot set
    /// it, so together with `inode` and `size` it tells whether a file changed.
    pub changed_ns: i64,
    /// Hard links.
    pub links: u32,
}

/// What kind of file an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A FIFO, socket or device.
    Special,
    /// A directory that could not be entered (too deep, unreadable, another file system).
    UnreadableDirectory,
}

/// Standard output or standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StreamKind {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Termination {
    /// It exited with this code.
    Exited(i32),
    /// A signal killed it that init did not send.
    Signaled(i32),
    /// Its time was over and init ended it.
    TimedOut,
    /// [`ToInit::Kill`] ended it.
    Killed,
}

/// What a program and its children used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Wall clock in microseconds.
    pub wall_us: u64,
    /// CPU time of all waited-for processes in microseconds.
    pub cpu_us: u64,
    /// Largest resident set of any of its processes in bytes.
    pub peak_rss_bytes: u64,
}
