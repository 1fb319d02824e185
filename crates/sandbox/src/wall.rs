//! The parts of the walls that not every machine can give, and what a driver found of each.
//!
//! There is one list of them for all drivers, so that an operator allows an absence under one name whatever makes the
//! sandboxes, and nobody has to read a check's text to know which wall it is about. A driver for which a wall means
//! nothing (user ids, where a daemon gives them) never reports it, and takes its permission without using it.

use std::fmt;

/// A part of the walls that not every machine can give. An operator may allow it to be missing, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wall {
    /// Limits on memory, processes and CPU by cgroup.
    Cgroup,
    /// User ids of its own for each sandbox, and for init another one than for programs.
    Uids,
    /// Landlock in the inner wall.
    Landlock,
}

impl Wall {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cgroup, Self::Uids, Self::Landlock];

    /// The name by which an operator allows it to be missing.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Uids => "uids",
            Self::Landlock => "landlock",
        }
    }

    /// The wall with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wall| wall.name() == name)
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One line of `doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, in a few words: `user namespaces`.
    pub name: String,
    /// The wall that it is about, if it is one that an operator may allow to be missing.
    pub wall: Option<Wall>,
    /// The verdict.
    pub state: CheckState,
    /// What was found.
    pub detail: String,
    /// What to do about it, where something is missing.
    pub remedy: Option<String>,
}

/// The verdict of a [`Check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckState {
    /// In force.
    Good,
    /// Weaker than promised; `serve` refuses unless the operator allows this wall's absence by its name.
    Weak,
    /// No sandbox can be made.
    Missing,
}

impl Check {
    /// Something that is as it should be.
    pub fn good(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), wall: None, state: CheckState::Good, detail: detail.into(), remedy: None }
    }

    /// Something that is weaker than it should be, with what to do about it.
    pub fn weak(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), state: CheckState::Weak, ..Self::good(name, detail) }
    }

    /// Something without which no sandbox can be made, with what to do about it.
    pub fn missing(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: CheckState::Missing, ..Self::weak(name, detail, remedy) }
    }

    /// A wall that stands.
    pub fn standing(wall: Wall, detail: impl Into<String>) -> Self {
        Self { wall: Some(wall), ..Self::good(title(wall), detail) }
    }

    /// A wall that cannot be built as promised, with what to do about it.
    pub fn lacking(wall: Wall, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { wall: Some(wall), ..Self::weak(title(wall), detail, remedy) }
    }

    /// The wall that is not as promised, if it is that which this check found.
    #[must_use]
    pub fn lacks(&self) -> Option<Wall> {
        self.wall.filter(|_| self.state != CheckState::Good)
    }
}

fn title(wall: Wall) -> String {
    format!("wall `{wall}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walls_are_found_by_their_names() {
        for wall in Wall::ALL {
            assert_eq!(Wall::from_name(wall.name()), Some(wall));
        }
        assert_eq!(Wall::from_name("moat"), None);
    }

    #[test]
    fn only_a_wall_that_is_not_as_promised_is_lacking() {
        assert_eq!(Check::standing(Wall::Uids, "own ids").lacks(), None);
        let lacking = Check::lacking(Wall::Uids, "one id", "install `uidmap`");
        assert_eq!((lacking.lacks(), lacking.state), (Some(Wall::Uids), CheckState::Weak));
        assert_eq!(Check::weak("python3", "none", "install it").lacks(), None);
    }
}
