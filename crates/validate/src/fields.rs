//! Checks of group fields.

use crate::Check;

pub(crate) const CHECKS: &[Check] = &[];
