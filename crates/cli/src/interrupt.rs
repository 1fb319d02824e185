//! Ctrl-C: the first one lets a command end in order, the second one ends it at once. Neither leaves anything.
//!
//! ```text
//!   work ──first──▶ token fires: the program is stopped, what it saved is delivered ──▶ done
//!     └──second──▶ the work is dropped, the driver destroys what it has made ──▶ done
//! ```
//!
//! SIGTERM and the end of the terminal are the same as Ctrl-C.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use sandbox::Driver;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::error::CommandError;

/// Longest time for the driver's end after a second Ctrl-C. What takes longer is removed by the next command.
const LAST_STEPS: Duration = Duration::from_secs(3);

/// Handed to the work of a command; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt {
    token: CancellationToken,
    driver: Arc<OnceLock<Arc<dyn Driver>>>,
}

impl Interrupt {
    /// Fires with the first Ctrl-C.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// A second Ctrl-C ends this driver.
    pub(crate) fn ends(&self, driver: &Arc<dyn Driver>) {
        // A command has one; were there another, the launcher or the daemon would end its sandboxes with us.
        let _ = self.driver.set(Arc::clone(driver));
    }
}

/// Runs the work of a command.
pub(crate) fn block_on<T>(
    work: impl AsyncFnOnce(Interrupt) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let runtime = runtime()?;
    let interrupt = Interrupt::default();
    let result = runtime.block_on(async {
        if let Some(result) = until_second(work(interrupt.clone()), &interrupt).await? {
            return result;
        }
        if let Some(driver) = interrupt.driver.get() {
            match timeout(LAST_STEPS, driver.shutdown()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(error = %error, "the driver did not end cleanly"),
                Err(_) => tracing::warn!("the driver did not end in time"),
            }
        }
        Err(CommandError::interrupted())
    });
    // The second Ctrl-C may have left something that blocks.
    runtime.shutdown_background();
    result
}

/// The work's result; `None`, and the work dropped, where a second Ctrl-C came first.
async fn until_second<T>(
    work: impl Future<Output = T>,
    interrupt: &Interrupt,
) -> Result<Option<T>, CommandError> {
    let failed = |error| CommandError::io("signals cannot be received", &error);
    let mut interrupts = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangups = signal(SignalKind::hangup()).map_err(failed)?;
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return Ok(Some(result)),
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
            _ = hangups.recv() => {}
        }
        if interrupt.token.is_cancelled() {
            return Ok(None);
        }
        interrupt.token.cancel();
    }
}

/// Few threads: one call keeps no more busy.
fn runtime() -> Result<Runtime, CommandError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CommandError::io("the runtime cannot be started", &error))
}
