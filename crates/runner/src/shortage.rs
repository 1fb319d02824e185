//! Why a runner cannot take something now: which limit was reached, and what would help.

use std::fmt;

/// A limit that was reached. Its text names the limit and the cause, for whoever is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Triggers that have not ended.
    Triggers {
        /// How many there may be.
        most: usize,
    },
    /// Living sandboxes.
    Sandboxes {
        /// How many there may be.
        most: usize,
    },
    /// What the driver can make.
    Driver,
    /// Calls of one trigger that wait for their turn.
    Waiting {
        /// How many there may be.
        most: usize,
    },
    /// Calls of one trigger in its whole life.
    Calls {
        /// How many there may be.
        most: usize,
    },
    /// Memory for what triggers declare, send and follow.
    Memory {
        /// The bound of all that is kept, in bytes.
        most: usize,
    },
}

impl fmt::Display for Shortage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Triggers { most } => write!(
                formatter,
                "too many triggers: {most} are open, which is the limit; end those that are done"
            ),
            Self::Sandboxes { most } => write!(
                formatter,
                "too many sandboxes are in use: the limit is {most}, and none of them is idle and may give way; \
                 end triggers that are done"
            ),
            Self::Driver => formatter.write_str("too many sandboxes for the driver at the moment"),
            Self::Waiting { most } => {
                write!(formatter, "too many calls of this trigger wait: the limit is {most}")
            }
            Self::Calls { most } => write!(
                formatter,
                "too many calls were made in this trigger: the limit is {most}; use a new trigger"
            ),
            Self::Memory { most } => write!(
                formatter,
                "too much is kept for triggers: the limit is {} MiB of memory; end triggers that are done",
                most >> 20
            ),
        }
    }
}
