//! Checks of group scripts.

use crate::Check;

pub(crate) const CHECKS: &[Check] = &[];
