//! Dependencies of a skill as content-addressed, read-only layers.
//!
//! Nothing can be installed inside a sandbox: it has no network. What a skill requires is therefore resolved on the
//! host, once, when the skill is registered or first run, and mounted into every sandbox that needs it. The host does
//! this for bundles that it does not trust, so
//!
//! * only plain requirements get through (names, extras, versions, markers, hashes), and only ever as text that this
//!   crate printed itself;
//! * only wheels are installed, with locked hashes, and nothing of them is executed or imported;
//! * pip and uv see none of the runner's environment but what finds an index.
//!
//! A layer lives in the cache under a key made of the requirements, the Python version and the platform, and never
//! changes. The crate knows nothing of skills, sandboxes or terminals: it takes [`Requirements`] and gives a
//! [`Layer`], a directory for the read-only mount and for `PYTHONPATH`.

mod cache;
mod content;
mod environment;
mod error;
mod failure;
mod lock;
mod process;
mod prune;
mod python;
mod requirement;
mod requirements;
mod resolver;
mod tool;

pub use crate::{
    error::LayerError,
    prune::{CacheUse, Prune, cache_use, prune_cache},
    python::{Libc, Platform, PythonVersion, Target, VersionError},
    requirements::{Requirements, Source},
    resolver::{Config, Event, Layer, Package, Policy, Progress, Resolver, Step, default_cache},
    tool::ToolChoice,
};
