//! For whom a call is carried out.

use std::{fmt, sync::Arc};

/// One of those who share a runner, such as the holder of a token. Calls of different tenants get their sandboxes in turn,
/// so that none of them can take all. The name is for us, and may be shown in logs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The tenant with this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }
}

/// Where nobody is told apart.
impl Default for Tenant {
    fn default() -> Self {
        Self::new("")
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
