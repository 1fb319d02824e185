//! Messages between the driver and its launcher: one per packet, encoded by postcard.
//!
//! Both ends are the same executable and trust each other. Descriptors travel beside a packet.

use serde::{Deserialize, Serialize};

/// Most bytes of one packet.
pub(crate) const MAX_PACKET: usize = 128 * 1024;

/// What a launcher is told first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Top-level entries of the root directory.
    pub(crate) root: Vec<RootEntry>,
    /// Host directories below which layers are; a layer is named by its index here and the path below.
    pub(crate) layer_roots: Vec<String>,
    /// Directories of the cgroup controllers, below which sandboxes get theirs; empty for none.
    pub(crate) cgroups: Cgroups,
    /// How user ids are given.
    pub(crate) ids: Ids,
    /// An empty directory of the host on which the launcher may mount, in its own namespace.
    pub(crate) mount_point: String,
}

/// One entry of the root directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum RootEntry {
    /// A copy of a small file or directory of the host.
    Copy {
        /// Absolute path inside.
        path: String,
        /// Absolute path on the host.
        source: String,
    },
    /// A host directory or file, read-only.
    Bind {
        /// Absolute path inside.
        path: String,
        /// Absolute path on the host.
        source: String,
    },
    /// A symbolic link.
    Link {
        /// Absolute path inside.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// A small program.
    Program {
        /// Absolute path inside.
        path: String,
        /// Its content.
        content: Vec<u8>,
    },
    /// A small file.
    File {
        /// Absolute path inside.
        path: String,
        /// Its content.
        content: Vec<u8>,
    },
}

/// Where sandboxes' cgroups are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cgroups {
    /// No cgroup can be made here.
    None,
    /// The unified hierarchy.
    V2 {
        /// A cgroup of ours with memory, pids and cpu enabled for its children.
        parent: String,
    },
    /// Separate hierarchies.
    V1 {
        /// In the memory hierarchy.
        memory: String,
        /// In the pids hierarchy.
        pids: String,
        /// In the cpu hierarchy.
        cpu: String,
    },
}

/// How user ids are given to sandboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ids {
    /// The launcher is root on the host: three ids per sandbox, counted from here.
    Root {
        /// First host id of this runner.
        base: u32,
    },
    /// The launcher makes a user namespace, and its user's subordinate ids are mapped there from 1 on.
    Subordinate {
        /// First of this runner's, in that namespace.
        first: u32,
        /// How many it has.
        count: u32,
    },
    /// The launcher's user has no other id: programs and init share it.
    Single,
}

/// Host ids that one sandbox takes: root inside, the user, nobody.
pub(crate) const IDS_PER_SANDBOX: u32 = 3;

/// Most sandboxes at once where the host's ids do not set a lower limit.
pub(crate) const MAX_SANDBOXES: u32 = 4096;

/// Host ids that a runner of root's has: enough for as many sandboxes as a launcher makes.
pub(crate) const IDS_PER_RUNNER: u32 = MAX_SANDBOXES * IDS_PER_SANDBOX;

/// To the launcher.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ToLauncher {
    /// First packet.
    Start(Start),
    /// The ids that [`FromLauncher::MapIds`] asked for are mapped.
    IdsMapped,
    /// Make a sandbox. The stream's end for init comes beside the packet.
    Create {
        /// Number of the sandbox, chosen by the driver, never used twice.
        number: u64,
        /// What it may use.
        sandbox: NewSandbox,
    },
    /// Tell the counts of its memory controller.
    Memory {
        /// Which sandbox.
        number: u64,
    },
    /// Kill it. [`FromLauncher::Gone`] follows when nothing of it is left.
    Destroy {
        /// Which sandbox.
        number: u64,
    },
}

/// A sandbox to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NewSandbox {
    /// What its cgroup enforces.
    pub(crate) cgroup: CgroupLimits,
    /// Bytes of each of the writable places.
    pub(crate) disk_bytes: u64,
    /// Inodes of each of them.
    pub(crate) disk_inodes: u64,
    /// Bytes of /dev/shm.
    pub(crate) shm_bytes: u64,
    /// Layers: index of the layer root, path below it, name inside.
    pub(crate) layers: Vec<(usize, String, String)>,
}

/// The limits that a cgroup enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CgroupLimits {
    /// Memory in bytes.
    pub(crate) memory_bytes: u64,
    /// Thousandths of a CPU.
    pub(crate) cpu_millis: u32,
    /// Processes and threads.
    pub(crate) processes: u32,
}

/// From the launcher.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FromLauncher {
    /// It is in its user namespace and waits for the driver to map subordinate ids.
    MapIds,
    /// Sandboxes can be made.
    Ready,
    /// It cannot work here.
    Failed {
        /// Why.
        message: String,
    },
    /// A sandbox runs its init.
    Created {
        /// Which.
        number: u64,
    },
    /// A sandbox could not be made; nothing of it is left.
    NotCreated {
        /// Which.
        number: u64,
        /// Why.
        message: String,
    },
    /// Counts of a memory controller.
    Memory {
        /// Which sandbox.
        number: u64,
        /// Kills for memory.
        oom_kills: u64,
        /// Most bytes at once.
        peak_bytes: Option<u64>,
    },
    /// Nothing of the sandbox is left.
    Gone {
        /// Which.
        number: u64,
    },
}
