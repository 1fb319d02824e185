//! Dependencies of a skill as content-addressed, read-only layers.
//!
//! Nothing can be installed inside a sandbox: it has no network. What a skill requires is therefore resolved
//! beforehand, once, when the skill is registered or first run, and mounted into every sandbox that needs it. That is done
//! for bundles that nobody vouches for, so
//!
//! * only plain requirements get through (names, extras, versions, markers, hashes), and only ever as text that this
//!   crate printed itself;
//! * only wheels are installed, with locked hashes, and nothing of them is executed or imported;
//! * pip and uv run as another user in a [room](ROOM_COMMAND) of their own, whose only way out is a mirror of the
//!   operator's index, which this crate serves; they see nothing of the runner's environment or settings.
//!
//! A layer lives in the cache under a key made of the requirements, the Python version and the platform, and never
//! changes. The crate knows nothing of skills, sandboxes or terminals: it takes [`Requirements`] and gives a
//! [`Layer`], a directory for the read-only mount and for `PYTHONUSERBASE`.

mod cache;
mod commands;
mod compile;
mod content;
mod environment;
mod error;
mod failure;
mod index;
mod lock;
mod process;
mod python;
mod requirement;
mod requirements;
mod resolver;
mod room;
mod tool;

pub use crate::{
    compile::{CompileError, Compiler},
    error::LayerError,
    python::{Libc, Platform, PythonVersion, Target, VersionError},
    requirements::{Requirements, Source},
    resolver::{Config, Event, Layer, Package, Policy, Progress, Resolver, Step, default_cache},
    room::{ROOM_COMMAND, run_room},
    tool::ToolChoice,
};
