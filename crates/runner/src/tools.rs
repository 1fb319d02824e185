//! The six tools: from checked arguments to an output.

pub(crate) mod code;
pub(crate) mod file;
pub(crate) mod program;
pub(crate) mod skill;
