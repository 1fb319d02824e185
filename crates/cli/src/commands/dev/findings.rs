//! What `dev` says about a skill without running it: the same findings as `skillbox validate`.

use std::{path::Path, sync::Arc};

use skill::{Draft, LoadError, Severity, Skill};

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

/// Reads and checks the skill in a folder.
pub(crate) fn check(root: &Path) -> Checked {
    let draft = match Draft::open(root) {
        Ok(draft) => draft,
        Err(error) => return Checked { skill: None, findings: vec![unreadable(error)] },
    };
    let found = validate::check(&draft, &validate::Options::default());
    let findings = found
        .iter()
        // While somebody is writing, advice on what is fine as it is only hides the rest.
        .filter(|diagnostic| diagnostic.severity > Severity::Info)
        .map(|diagnostic| {
            let help = diagnostic.help.as_deref().map(|help| format!("; {help}")).unwrap_or_default();
            Finding { severity: diagnostic.severity, text: format!("{diagnostic}{help}") }
        })
        .collect();
    Checked { skill: draft.into_skill().ok().map(Arc::new), findings }
}

fn unreadable(error: LoadError) -> Finding {
    let error = CommandError::from(error);
    let mut text = error.message;
    for cause in &error.causes {
        text.push_str(&format!(": {cause}"));
    }
    Finding { severity: Severity::Error, text }
}
