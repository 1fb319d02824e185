//! What `dev` says about a skill without running it: the same findings as `skillbox validate`.

use std::{path::Path, sync::Arc};

use skill::{LoadError, Severity, Skill};

use crate::error::CommandError;

/// A skill as it is now, and what there is to say about it.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The skill, where it can be used.
    pub(crate) skill: Option<Arc<Skill>>,
    /// One line for each finding.
    pub(crate) findings: Vec<Finding>,
}

/// Something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// With its place, and with what to do about it.
    pub(crate) text: String,
}

/// Loads and checks the skill in a folder.
pub(crate) fn check(root: &Path) -> Checked {
    let of = |diagnostics: &[skill::Diagnostic]| {
        let finding = |diagnostic: &skill::Diagnostic| {
            let help = diagnostic.help.as_deref().map(|help| format!("; {help}")).unwrap_or_default();
            Finding { severity: diagnostic.severity, text: format!("{diagnostic}{help}") }
        };
        diagnostics.iter().map(finding).collect()
    };
    match Skill::load(root) {
        Ok(skill) => Checked { findings: of(skill.diagnostics()), skill: Some(Arc::new(skill)) },
        Err(LoadError::Invalid { diagnostics }) => Checked { skill: None, findings: of(&diagnostics) },
        Err(error) => {
            let error = CommandError::from(error);
            let mut text = error.message;
            for cause in &error.causes {
                text.push_str(&format!(": {cause}"));
            }
            Checked { skill: None, findings: vec![Finding { severity: Severity::Error, text }] }
        }
    }
}
