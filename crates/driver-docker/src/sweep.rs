//! Removing what has no living owner: at the start, when asked, and every half a minute.
//!
//! What is ours is judged by whether somebody holds it; what is another runner's by [`Owner::judge`].
//!
//! [`Owner::judge`]: crate::owner::Owner::judge

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder};
use sandbox::{DriverError, DriverErrorKind, Reaped};

use crate::answer::failed;
use crate::daemon::Daemon;
use crate::owner::{Labels, OWNER, Verdict};

/// Time between two sweeps.
const PAUSE: Duration = Duration::from_secs(30);

/// Sweeps until the driver ends.
pub(crate) async fn sweep(daemon: Arc<Daemon>) {
    loop {
        tokio::select! {
            () = daemon.ending.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        match reap(&daemon).await {
            Ok(reaped) if reaped.sandboxes > 0 || reaped.runners > 0 => {
                tracing::info!(runners = reaped.runners, sandboxes = reaped.sandboxes, "remains removed");
            }
            Ok(_) => {}
            // The next one may go well; a daemon that is away shows elsewhere, too.
            Err(error) => tracing::debug!(error = %error, "a sweep failed"),
        }
    }
}

/// One sweep.
pub(crate) async fn reap(daemon: &Daemon) -> Result<Reaped, DriverError> {
    let filters = HashMap::from([("label".to_owned(), vec![OWNER.to_owned()])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = daemon.docker.list_containers(Some(options)).await;
    let containers = containers.map_err(|error| failed("containers could not be listed", error))?;
    let mut reaped = Reaped::default();
    let mut owners = HashSet::new();
    for container in containers {
        let labels = container.labels.unwrap_or_default();
        let names = container.names.unwrap_or_default();
        let name = names.first().map_or("", |name| name.trim_start_matches('/'));
        let (Some(id), true) = (container.id, is_remains(daemon, name, &labels)) else { continue };
        if daemon.remove_container(&id).await? {
            reaped.sandboxes += 1;
            owners.extend(labels.get(OWNER).cloned());
        }
    }
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let volumes = daemon.docker.list_volumes(Some(options)).await;
    let volumes = volumes.map_err(|error| failed("volumes could not be listed", error))?;
    for volume in volumes.volumes.unwrap_or_default() {
        let labels: Labels = volume.labels;
        if is_remains(daemon, &volume.name, &labels) {
            daemon.remove_volume(&volume.name).await?;
            owners.extend(labels.get(OWNER).cloned());
        }
    }
    let locks = daemon.owner.remove_dead_locks().map_err(|error| {
        DriverError::with_source(DriverErrorKind::System, "locks of dead runners could not be removed", error)
    })?;
    owners.remove(daemon.owner.id());
    reaped.runners = owners.len().max(locks);
    Ok(reaped)
}

fn is_remains(daemon: &Daemon, name: &str, labels: &Labels) -> bool {
    match daemon.owner.judge(labels) {
        Verdict::Ours => !daemon.is_held(name),
        Verdict::Dead => true,
        Verdict::Alive => false,
    }
}
