//! The daemons that the tests of this binary share, one test after the other, and servers whose sandboxes they make.

use std::{
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use serde_json::Value;

use super::{
    dockerd::{Dockerd, Engine},
    serve::{Options, Serve},
    wait::within,
};

/// How long after the end of everything something may still be on its way out.
const GONE: Duration = Duration::from_secs(10);

/// A test's turn with the daemon.
pub(crate) struct Turn {
    daemon: &'static Dockerd,
    image: &'static str,
    _turn: MutexGuard<'static, ()>,
}

/// Started by the first who asks, and ended by its keeper when this process ends.
fn shared(engine: Engine) -> Result<&'static (Dockerd, String), String> {
    static SHARED: [OnceLock<Result<(Dockerd, String), String>>; 2] = [OnceLock::new(), OnceLock::new()];
    let shared = SHARED[engine as usize].get_or_init(|| {
        let daemon = Dockerd::start_as(engine, None)?;
        let image = daemon.image()?;
        Ok((daemon, image))
    });
    shared.as_ref().map_err(Clone::clone)
}

/// Why there is no daemon; `None` where there is one.
pub(crate) fn missing(engine: Engine) -> Option<String> {
    shared(engine).err()
}

/// How a server makes its sandboxes with a daemon.
pub(crate) fn options(daemon: &Dockerd, image: &str) -> Options {
    Options {
        args: ["--driver", "docker", "--image", image].map(str::to_owned).to_vec(),
        env: vec![("DOCKER_HOST".to_owned(), daemon.host())],
        ..Options::default()
    }
}

impl Turn {
    /// Waits for it.
    pub(crate) fn take() -> Self {
        Self::with(Engine::Docker)
    }

    /// The same with either of the two.
    pub(crate) fn with(engine: Engine) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        // A test that failed has left nothing that the next one would not look for itself.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (daemon, image) = shared(engine).expect("`require` found one");
        Self { daemon, image, _turn: turn }
    }

    pub(crate) fn daemon(&self) -> &'static Dockerd {
        self.daemon
    }

    pub(crate) fn image(&self) -> &'static str {
        self.image
    }

    pub(crate) fn options(&self) -> Options {
        options(self.daemon, self.image)
    }

    /// A server.
    pub(crate) fn serve(&self) -> Serve {
        Serve::with(&self.options())
    }

    /// The containers of sandboxes, inspected.
    pub(crate) fn sandboxes(&self) -> Vec<Value> {
        let containers = self.daemon.containers();
        let inspected =
            containers.iter().map(|name| self.daemon.ask("GET", &format!("/containers{name}/json")));
        inspected.filter(|(status, _)| *status == 200).map(|(_, container)| container).collect()
    }

    /// Nothing of any sandbox is left.
    #[track_caller]
    pub(crate) fn nothing_left(&self) {
        nothing_left(self.daemon);
    }
}

/// Nothing of any sandbox is left with a daemon.
#[track_caller]
pub(crate) fn nothing_left(daemon: &Dockerd) {
    let left = || [daemon.containers(), daemon.volumes()].concat();
    let clean = within(GONE, || left().is_empty().then_some(()));
    let (_, containers) = daemon.ask("GET", "/containers/json?all=true");
    assert!(
        clean.is_some(),
        "left {GONE:?} after the end: {:?}: {containers:#}\n{}",
        left(),
        daemon.complaints()
    );
}
