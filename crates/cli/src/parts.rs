//! Parts that an executable can be built without, and what is said where one is asked for all the same.
//!
//! `cargo try` leaves them out, since they are most of what a first build compiles. Every released executable has them all.

use std::fmt;

/// One of them; its name is that of the feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    #[cfg(not(feature = "docker"))]
    Docker,
    #[cfg(not(feature = "s3"))]
    S3,
}

impl Part {
    /// What to do about it.
    pub(crate) const HINT: &'static str = "`cargo build --release` builds it with all its parts";
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, feature) = match self {
            #[cfg(not(feature = "docker"))]
            Self::Docker => ("the docker driver", "docker"),
            #[cfg(not(feature = "s3"))]
            Self::S3 => ("stores in buckets", "s3"),
        };
        write!(formatter, "this executable was built without {what} (feature `{feature}`)")
    }
}
