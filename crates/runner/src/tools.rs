//! The six tools: from checked arguments to an output.

pub(crate) mod code;
pub(crate) mod file;
mod own_files;
pub(crate) mod program;
pub(crate) mod skill;
