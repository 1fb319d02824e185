//! Checks of group security.

use crate::Check;

pub(crate) const CHECKS: &[Check] = &[];
