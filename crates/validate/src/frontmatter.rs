//! Checks of group frontmatter.

use crate::Check;

pub(crate) const CHECKS: &[Check] = &[];
