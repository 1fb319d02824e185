//! Checks of group body.

use crate::Check;

pub(crate) const CHECKS: &[Check] = &[];
