//! What the memory controller of a container counted: from its cgroup's files where the daemon is on this machine, else
//! from what the daemon says.

use std::fs;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt as _;
use sandbox::MemoryUse;

use crate::groups::{Directory, Groups};

/// Longest wait for the daemon's next word.
const SILENCE: Duration = Duration::from_secs(1);

/// The files of one memory controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counters(Directory);

impl Counters {
    /// Finds those of a container by its first process. `None` where they cannot be seen from here: another machine, or
    /// another view of processes or cgroups.
    pub(crate) fn find(pid: i64, container: &str) -> Option<Self> {
        let counters = Self(Groups::of(pid, container)?.directory("memory")?);
        // The same number may be another process's here.
        counters.read().is_some().then_some(counters)
    }

    /// Counts of this moment. `None` once the container is gone.
    pub(crate) fn read(&self) -> Option<MemoryUse> {
        let (directory, events, peak) = match &self.0 {
            Directory::V1(directory) => (directory, "memory.oom_control", "memory.max_usage_in_bytes"),
            Directory::V2(directory) => (directory, "memory.events", "memory.peak"),
        };
        let events = fs::read_to_string(directory.join(events)).ok()?;
        let oom_kills =
            events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()?;
        // Not every kernel keeps the peak.
        let peak = fs::read_to_string(directory.join(peak)).ok();
        Some(MemoryUse { oom_kills, peak_bytes: peak.and_then(|text| text.trim().parse().ok()) })
    }
}

/// How often the kernel killed for memory since a container was made, as far as the daemon is told until `late` from now.
pub(crate) async fn told_by_daemon(
    docker: Docker,
    container: String,
    since: u64,
    late: Duration,
) -> MemoryUse {
    let filters = std::collections::HashMap::from([
        ("container".to_owned(), vec![container]),
        ("event".to_owned(), vec!["oom".to_owned()]),
    ]);
    // With a fraction, so that nobody waits for the end of a second: this is asked after every program.
    let until = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default() + late;
    let until = format!("{}.{:09}", until.as_secs(), until.subsec_nanos());
    let options =
        EventsOptionsBuilder::default().since(&since.to_string()).until(&until).filters(&filters).build();
    // It ends by itself once `until` has come, by the daemon's clock; where that is behind ours, once nothing comes.
    let mut events = std::pin::pin!(docker.events(Some(options)));
    let mut oom_kills = 0;
    while let Ok(Some(Ok(_))) = tokio::time::timeout(SILENCE, events.next()).await {
        oom_kills += 1;
    }
    MemoryUse { oom_kills, peak_bytes: None }
}
