//! What a trigger's sandbox is to be made from, and which skills its calls may use.

use std::sync::Arc;

use serde_json::{Map, Value};
use skill::Skill;

use crate::{Config, Declaration, DeclareError, declaration::Resolved, keep::Held};

/// Declared, or the configured values; cheap to clone.
#[derive(Clone)]
pub(crate) struct Plan {
    declaration: Option<Arc<Declaration>>,
    pub(crate) resolved: Arc<Resolved>,
    /// The enabled skills, in the order in which they were named.
    pub(crate) skills: Arc<Vec<Arc<Skill>>>,
    /// Room for the declaration, as long as somebody has this.
    _held: Option<Arc<Held>>,
}

impl Plan {
    pub(crate) fn new(config: &Config) -> Self {
        let resolved = Resolved {
            limits: config.limits.clone(),
            lifetime: config.lifetime,
            env: Vec::new(),
            inputs: Vec::new(),
        };
        Self { declaration: None, resolved: Arc::new(resolved), skills: Arc::default(), _held: None }
    }

    /// Takes a declaration; `committed` where a sandbox may already be made from an earlier one.
    pub(crate) fn declare(
        &mut self,
        declaration: Declaration,
        resolved: Resolved,
        skills: Vec<Arc<Skill>>,
        held: Held,
        committed: bool,
    ) -> Result<(), DeclareError> {
        if self.declaration.as_deref() == Some(&declaration) {
            return Ok(());
        }
        if committed {
            return Err(DeclareError::Conflict);
        }
        // What calls have enabled stays enabled: they may already have read it.
        let mut all = Vec::new();
        add(&mut all, skills);
        let dropped = self.declaration.as_ref().map(|old| old.skills.as_slice()).unwrap_or_default();
        let kept =
            self.skills.iter().filter(|skill| !dropped.iter().any(|slug| slug == skill.name().as_str()));
        add(&mut all, kept.cloned().collect());
        self.declaration = Some(Arc::new(declaration));
        self.resolved = Arc::new(resolved);
        self.skills = Arc::new(all);
        self._held = Some(Arc::new(held));
        Ok(())
    }

    /// Enables more skills. A skill with dependencies is too late for a sandbox that is there: its layer cannot be mounted
    /// any more.
    pub(crate) fn enable(&mut self, skills: Vec<Arc<Skill>>, committed: bool) -> Result<(), DeclareError> {
        let new: Vec<Arc<Skill>> =
            skills.into_iter().filter(|skill| self.find(skill.name().as_str()).is_none()).collect();
        if let Some(late) = new.iter().find(|skill| committed && !skill.requirements().is_empty()) {
            return Err(DeclareError::SkillTooLate { slug: late.name().to_string() });
        }
        if !new.is_empty() {
            add(Arc::make_mut(&mut self.skills), new);
        }
        Ok(())
    }

    pub(crate) fn find(&self, slug: &str) -> Option<&Arc<Skill>> {
        self.skills.iter().find(|skill| skill.name().as_str() == slug)
    }

    pub(crate) fn slugs(&self) -> Vec<String> {
        self.skills.iter().map(|skill| skill.name().to_string()).collect()
    }

    pub(crate) fn metadata(&self) -> Map<String, Value> {
        self.declaration.as_ref().map(|declaration| declaration.metadata.clone()).unwrap_or_default()
    }
}

fn add(skills: &mut Vec<Arc<Skill>>, more: Vec<Arc<Skill>>) {
    for skill in more {
        if skills.iter().all(|known| known.name() != skill.name()) {
            skills.push(skill);
        }
    }
}
