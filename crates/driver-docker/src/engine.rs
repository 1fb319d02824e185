//! Which of the programs that speak Docker's API the daemon is.

use std::fmt;

use bollard::models::SystemVersion;

/// What answers to Docker's API. They differ in what they pass over in silence; see [`podman`](crate::podman).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Docker's own daemon, and whatever does not say that it is another one.
    Docker,
    /// Podman's service.
    Podman,
}

impl Engine {
    /// Which one answered.
    pub(crate) fn of(version: &SystemVersion) -> Self {
        let mut components = version.components.iter().flatten();
        if components.any(|component| component.name.starts_with("Podman")) {
            Self::Podman
        } else {
            Self::Docker
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
        })
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::SystemVersionComponents;

    use super::*;

    #[test]
    fn podman_is_told_by_its_components() {
        let with = |name: &str| SystemVersion {
            components: Some(vec![SystemVersionComponents { name: name.to_owned(), ..Default::default() }]),
            ..Default::default()
        };
        assert_eq!(Engine::of(&with("Engine")), Engine::Docker);
        assert_eq!(Engine::of(&with("Podman Engine")), Engine::Podman);
        assert_eq!(Engine::of(&SystemVersion::default()), Engine::Docker);
    }
}
