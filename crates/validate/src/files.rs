//! Checks of group files.

use crate::Check;

pub(crate) const CHECKS: &[Check] = &[];
