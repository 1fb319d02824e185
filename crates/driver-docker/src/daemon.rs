//! The daemon, and what of it is ours: every container and volume that this runner made and has not removed yet.
//!
//! A [`Hold`] is taken before a container is asked for and kept until it is gone. One that is dropped, by a future that
//! nobody waits for any more or a handle that was forgotten, removes what it stands for in a task that
//! [`Daemon::finish`] waits for. What could not be removed, because the daemon was away, is nobody's any more, and the
//! next sweep finds it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::StreamExt as _;
use sandbox::{DriverError, DriverErrorKind};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::address::Address;
use crate::answer::{failed, is_conflict, is_missing, status};
use crate::engine::Engine;
use crate::owner::Owner;

/// Longest time in which a removal is tried again.
const LETTING_GO: Duration = Duration::from_secs(10);
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// What the driver, its handles and its tasks have in common.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) docker: Docker,
    pub(crate) address: Address,
    pub(crate) owner: Owner,
    /// Tasks of this driver.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the driver ends.
    pub(crate) ending: CancellationToken,
    /// Which daemon it is.
    pub(crate) engine: Engine,
    /// Containers that somebody has the duty for, by name.
    held: Mutex<HashMap<String, Held>>,
}

/// What is known of a container that somebody has the duty for.
#[derive(Clone, Debug, Default)]
struct Held {
    /// Once it is known. A name is free before its container is gone, so whoever waits for that has to go by the id.
    id: Option<String>,
    /// Names of its volumes.
    volumes: Vec<String>,
}

/// A container, its volumes where it has some, and the duty to remove all of them.
#[derive(Debug)]
pub(crate) struct Hold {
    daemon: Arc<Daemon>,
    name: String,
    armed: bool,
}

impl Daemon {
    pub(crate) fn new(docker: Docker, address: Address, owner: Owner, engine: Engine) -> Arc<Self> {
        Arc::new(Self {
            docker,
            engine,
            address,
            owner,
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
            held: Mutex::default(),
        })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<String, Held>> {
        // The table stays whole whatever panicked elsewhere.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the duty for a container of this name, and for its volumes.
    pub(crate) fn hold(self: &Arc<Self>, name: String, volumes: Vec<String>) -> Result<Hold, DriverError> {
        let mut held = self.held();
        if self.ending.is_cancelled() {
            return Err(DriverError::new(DriverErrorKind::Busy, "the docker driver is shutting down"));
        }
        held.insert(name.clone(), Held { id: None, volumes });
        Ok(Hold { daemon: Arc::clone(self), name, armed: true })
    }

    /// Whether somebody has the duty for the container or the volume of this name.
    pub(crate) fn is_held(&self, name: &str) -> bool {
        let held = self.held();
        held.contains_key(name) || held.values().any(|one| one.volumes.iter().any(|volume| volume == name))
    }

    /// Kills a container, and waits until it is gone. Returns whether it was there.
    ///
    /// What runs is killed and then left to the daemon, which removes what has ended: a forced removal would run against
    /// that one, and a daemon whose two removals met goes on listing a container that it does not know any more. Podman
    /// has a lock for each container instead, and takes a quarter of a second longer to kill than to remove.
    pub(crate) async fn remove_container(&self, name: &str) -> Result<bool, DriverError> {
        let mut was_there = false;
        if self.engine == Engine::Docker {
            was_there = self.kill(name).await?;
            if !was_there {
                return Ok(false);
            }
        }
        let begun = tokio::time::Instant::now();
        loop {
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            match self.docker.remove_container(name, Some(options)).await {
                Ok(()) => return Ok(true),
                Err(error) if is_missing(&error) => return Ok(was_there),
                // It ended by itself, and the daemon is removing it. That may go wrong half-way, so it is looked at again.
                Err(error) if is_conflict(&error) && begun.elapsed() < LETTING_GO => {
                    was_there = true;
                    self.wait_removed(name).await?;
                }
                // Its files may still be written to while it ends: nothing runs any more, and the next try removes them.
                Err(error) if status(&error).is_some() && begun.elapsed() < LETTING_GO => {
                    tracing::debug!(container = name, error = %error, "removing once more");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(failed("a container could not be removed", error)),
            }
        }
    }

    /// Kills it, and waits for its removal by the daemon. Returns whether it was there.
    async fn kill(&self, name: &str) -> Result<bool, DriverError> {
        match self.docker.kill_container(name, None).await {
            Ok(()) => self.wait_removed(name).await.map(|()| true),
            Err(error) if is_missing(&error) => Ok(false),
            // It does not run: it was never started, or has just ended.
            Err(error) if status(&error).is_some() => Ok(true),
            Err(error) => Err(failed("a container could not be killed", error)),
        }
    }

    /// Waits until the daemon says that it is gone, or for some time: whoever asks looks again.
    async fn wait_removed(&self, name: &str) -> Result<(), DriverError> {
        let options = WaitContainerOptionsBuilder::default().condition("removed").build();
        let mut waiting = std::pin::pin!(self.docker.wait_container(name, Some(options)));
        let Ok(answer) = tokio::time::timeout(LETTING_GO, waiting.next()).await else { return Ok(()) };
        match answer {
            // An exit code other than zero comes as an error of its own kind.
            None | Some(Ok(_) | Err(bollard::errors::Error::DockerContainerWaitError { .. })) => Ok(()),
            Some(Err(error)) if is_missing(&error) => Ok(()),
            Some(Err(error)) => Err(failed("waiting for a container's removal", error)),
        }
    }

    /// Removes a volume. One that is not there is no error.
    pub(crate) async fn remove_volume(&self, name: &str) -> Result<(), DriverError> {
        let begun = tokio::time::Instant::now();
        loop {
            let options = RemoveVolumeOptionsBuilder::default().build();
            match self.docker.remove_volume(name, Some(options)).await {
                Ok(()) => return Ok(()),
                Err(error) if is_missing(&error) => return Ok(()),
                // The daemon lets go of it a little after the container.
                Err(error) if is_conflict(&error) && begun.elapsed() < LETTING_GO => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(failed("a volume could not be removed", error)),
            }
        }
    }

    /// Ends all tasks and removes everything that is held. The owner's lock is still there.
    pub(crate) async fn finish(&self) -> Result<(), DriverError> {
        self.ending.cancel();
        self.tasks.close();
        let names: Vec<String> = self.held().keys().cloned().collect();
        let removals = names.iter().map(|name| self.remove_all(name));
        let results = futures_util::future::join_all(removals).await;
        self.tasks.wait().await;
        results.into_iter().collect()
    }

    /// Removes a container that somebody holds, and its volumes.
    async fn remove_all(&self, name: &str) -> Result<(), DriverError> {
        let Held { id, volumes } = self.held().get(name).cloned().unwrap_or_default();
        self.remove_container(id.as_deref().unwrap_or(name)).await?;
        for volume in volumes {
            self.remove_volume(&volume).await?;
        }
        Ok(())
    }
}

impl Hold {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Notes the id of the container that was made.
    pub(crate) fn is_container(&self, id: &str) {
        self.daemon.held().entry(self.name.clone()).or_default().id = Some(id.to_owned());
    }

    pub(crate) fn daemon(&self) -> &Arc<Daemon> {
        &self.daemon
    }

    /// Removes what it stands for, now.
    pub(crate) async fn remove(mut self) -> Result<(), DriverError> {
        // Until it is done, the duty stays: this future may be dropped in the middle.
        self.daemon.remove_all(&self.name).await?;
        self.armed = false;
        self.daemon.held().remove(&self.name);
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (daemon, name) = (Arc::clone(&self.daemon), self.name.clone());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Nobody is left to do it: the container ends with its stream, and the next sweep takes the rest.
            self.daemon.held().remove(&self.name);
            return;
        };
        let work = async move {
            if let Err(error) = daemon.remove_all(&name).await {
                tracing::warn!(container = name, error = %error, "left for the next sweep");
            }
            daemon.held().remove(&name);
        };
        self.daemon.tasks.spawn_on(work, &runtime);
    }
}
