//! Keeps a launcher running: one that ends is replaced, so that an accident of that process costs the sandboxes that it
//! had, and not the service.
//!
//! ```text
//!   link open ──the launcher ended──▶ link closed ─▶ its cgroups emptied and removed ─▶ another launcher ─▶ link open
//!       │                                                                                    └ failed: wait, again
//!       └──end()──▶ waited for, done
//! ```
//!
//! A launcher that lives and does not answer is ended like one that broke: its sandboxes are out of reach anyway.
//!
//! Sandboxes die with the launcher that made them (`PR_SET_PDEATHSIG`), so the next one begins with nothing.

use std::io;
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sandbox::DriverError;
use tokio::sync::Notify;

use crate::instance::Instance;
use crate::link::{self, Link};
use crate::wire::Start;

/// First wait after a launcher that could not be started, or that ended at once; doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Longest time in which a launcher that was told to end does so.
const ENDING: Duration = Duration::from_secs(10);

/// Time between two looks whether it has.
const PAUSE: Duration = Duration::from_millis(5);

/// A launcher that lived this long was a good one: the waits begin anew.
const GOOD_LIFE: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Keeper {
    executable: Option<PathBuf>,
    start: Start,
    current: Mutex<Arc<Link>>,
    child: Mutex<Option<Child>>,
    ending: AtomicBool,
    ended: Notify,
}

impl Keeper {
    /// Starts the first launcher.
    pub(crate) async fn start(executable: Option<PathBuf>, start: Start) -> Result<Self, DriverError> {
        let (link, child) = link::start(executable.as_deref(), start.clone()).await?;
        Ok(Self {
            executable,
            start,
            current: Mutex::new(Arc::new(link)),
            child: Mutex::new(Some(child)),
            ending: AtomicBool::new(false),
            ended: Notify::new(),
        })
    }

    /// The launcher that there is, or the one that ended last.
    pub(crate) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the launcher to end, and that no other is wanted.
    pub(crate) fn end(&self) -> io::Result<()> {
        self.ending.store(true, Ordering::SeqCst);
        self.ended.notify_one();
        let link = self.link();
        if link.is_closed() { Ok(()) } else { link.close() }
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// Waits for the process of the launcher that has closed its socket.
    async fn wait(&self) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut child) = child else { return };
        let is_ending = self.is_ending();
        let waited = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            // One that was told to end has sandboxes to remove first. One that only closed its socket, or does not answer, would
            // never end.
            while is_ending && begun.elapsed() < ENDING {
                if let Some(status) = child.try_wait()? {
                    return Ok(status);
                }
                std::thread::sleep(PAUSE);
            }
            child.kill()?;
            child.wait()
        });
        match waited.await.map_err(io::Error::other).flatten() {
            Ok(status) if !is_ending => {
                tracing::error!(status = %status, "the launcher of the native driver ended; its sandboxes are lost");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(error = %error, "the launcher of the native driver cannot be waited for");
            }
        }
    }
}

/// See the module. Returns once the launcher has ended after [`Keeper::end`].
pub(crate) async fn keep(keeper: Arc<Keeper>, instance: Arc<Instance>) {
    let mut wait = FIRST_WAIT;
    loop {
        let begun = tokio::time::Instant::now();
        let link = keeper.link();
        tokio::select! {
            () = link.pass_on_answers() => {}
            () = link.silence() => {
                tracing::error!("the launcher of the native driver does not answer; it is ended");
            }
        }
        // Before its process is waited for: nobody shall wait longer than they must.
        link.give_up();
        keeper.wait().await;
        if begun.elapsed() >= GOOD_LIFE {
            wait = FIRST_WAIT;
        }
        loop {
            // The first try comes after a wait, too: what ends at once would else end a thousand times a second.
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = keeper.ended.notified() => {}
            }
            if keeper.is_ending() {
                return;
            }
            wait = (wait * 2).min(LONGEST_WAIT);
            match replace(&keeper, &instance).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::error!(error = %error, source = ?error.source, "no launcher; the next try follows");
                }
            }
        }
        if keeper.is_ending() {
            // Between the question and the new link; nobody else has told this one.
            if let Err(error) = keeper.link().close() {
                tracing::warn!(error = %error, "the launcher could not be told to end");
            }
        } else {
            tracing::info!("another launcher runs");
        }
    }
}

async fn replace(keeper: &Keeper, instance: &Instance) -> Result<(), DriverError> {
    instance.empty_cgroups().await.map_err(|error| {
        let message = "what the last launcher left could not be removed";
        DriverError::with_source(sandbox::DriverErrorKind::System, message, error)
    })?;
    let (link, child) = link::start(keeper.executable.as_deref(), keeper.start.clone()).await?;
    *keeper.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
    *keeper.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(link);
    Ok(())
}
