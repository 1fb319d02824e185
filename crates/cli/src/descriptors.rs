//! File descriptors: enough of them for what the operator wants to serve, or a word about it at the start.
//!
//! A runner that finds out in mid-service fails calls that were promised. So the soft limit is raised as far as it is
//! needed, sandboxes get theirs first, and connections have what is left. Where the hard limit does not do, the server does
//! not start.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{CommandError, Kind};

/// What a living sandbox takes: its stream, its process, its cgroup, and what a call has open.
const OF_A_SANDBOX: u64 = 5;
/// What the server takes beside sandboxes and connections: listeners, files that are being sent and received, the store,
/// package tools.
const OF_THE_SERVER: u64 = 400;
/// Fewer connections than this are no service.
const FEWEST_CONNECTIONS: u64 = 64;

/// Raises the soft limit to what so many sandboxes and connections need. How many connections there is room for is the
/// answer: at most as many as wanted.
///
/// # Errors
/// The hard limit is too low.
pub(crate) fn make_room(sandboxes: usize, connections: usize) -> Result<usize, CommandError> {
    let limit = getrlimit(Resource::Nofile);
    let plan = plan(limit.current, limit.maximum, sandboxes as u64, connections as u64)?;
    if let Some(soft) = plan.raise_to {
        let raised = Rlimit { current: Some(soft), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).map_err(|error| {
            CommandError::io("the limit of file descriptors cannot be raised", &error.into())
        })?;
    }
    if plan.connections < connections as u64 {
        tracing::warn!(
            connections = plan.connections,
            "the limit of file descriptors leaves room for fewer connections; raise the hard limit (LimitNOFILE=, \
             ulimit -Hn, --ulimit nofile=)"
        );
    }
    Ok(usize::try_from(plan.connections).unwrap_or(connections))
}

#[derive(Debug, PartialEq, Eq)]
struct Plan {
    raise_to: Option<u64>,
    connections: u64,
}

/// `None` is no limit.
fn plan(
    soft: Option<u64>,
    hard: Option<u64>,
    sandboxes: u64,
    connections: u64,
) -> Result<Plan, CommandError> {
    let fixed = OF_THE_SERVER + OF_A_SANDBOX * sandboxes;
    let (soft, hard) = (soft.unwrap_or(u64::MAX), hard.unwrap_or(u64::MAX));
    if hard < fixed + FEWEST_CONNECTIONS {
        let least = fixed + FEWEST_CONNECTIONS;
        let message =
            format!("{sandboxes} sandboxes need {least} file descriptors, and the hard limit is {hard}");
        let fit = hard.saturating_sub(OF_THE_SERVER + FEWEST_CONNECTIONS) / OF_A_SANDBOX;
        let raise = "raise it: LimitNOFILE= of systemd, --ulimit nofile= of Docker, ulimit -Hn of a shell";
        let hint =
            if fit == 0 { raise.to_owned() } else { format!("{raise}; or set `--max-sandboxes {fit}`") };
        return Err(CommandError::new(Kind::Configuration, "DESCRIPTORS", message).hint(hint));
    }
    let wanted = fixed + connections;
    let new = soft.max(wanted.min(hard));
    Ok(Plan { raise_to: (new > soft).then_some(new), connections: connections.min(new - fixed) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandboxes_come_first_and_connections_get_the_rest() {
        let plan = |soft, hard| plan(Some(soft), Some(hard), 64, 4096);
        assert_eq!(plan(1024, 1 << 20), Ok(Plan { raise_to: Some(4816), connections: 4096 }));
        assert_eq!(plan(1 << 20, 1 << 20), Ok(Plan { raise_to: None, connections: 4096 }));
        assert_eq!(plan(1024, 4096), Ok(Plan { raise_to: Some(4096), connections: 3376 }));
        assert_eq!(plan(1024, 1024), Ok(Plan { raise_to: None, connections: 304 }));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let error = plan(Some(1024), Some(1024), 400, 4096).unwrap_err();
        assert_eq!(error.message, "400 sandboxes need 2464 file descriptors, and the hard limit is 1024");
        assert!(error.hint.as_deref().unwrap().ends_with("or set `--max-sandboxes 112`"), "{error:?}");
        assert!(plan(None, None, 4000, 4096).unwrap().raise_to.is_none());
        let none = plan(Some(256), Some(256), 1, 4096).unwrap_err();
        assert!(!none.hint.as_deref().unwrap().contains("--max-sandboxes"));
    }
}
