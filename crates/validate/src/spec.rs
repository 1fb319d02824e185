//! The verdict of the reference library `skills-ref`, followed step by step.

use skill::Diagnostic;

use crate::subject::Subject;

pub(crate) fn check(_subject: &Subject<'_>, _found: &mut Vec<Diagnostic>) {}
