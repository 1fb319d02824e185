//! The running server: listeners, their connections, the proof of readiness, and an end in order.
//!
//! ```text
//!   shutdown: not ready → runner drains, captures, destroys → no new connections → open ones may finish → the rest is cut
//! ```
//!
//! Connections are taken until the runner has ended, so that an orchestrator sees 503 and its reason rather than a closed
//! port, and clients are told when to try again.

use std::{io, time::Duration};

use axum::Router;
use runner::Runner;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, UnixStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Address, BindError, Config, Listen, TokenError,
    app::{App, Transport},
    connection::{self, Ending},
    listener::Listener,
    router::router,
    seats::Peer,
};

/// Pause after the system could not accept, so that a lack of descriptors is no busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Silence on a connection after which the other end is asked whether it lives: how a call notices that its client's
/// machine is gone.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A server that serves. End it with [`Server::shutdown`]; dropped, it stops at once.
#[derive(Debug)]
pub struct Server {
    app: App,
    addresses: Vec<Address>,
    tasks: TaskTracker,
    accept: CancellationToken,
    ending: Ending,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is nowhere to listen.
    #[error("no place to listen at is configured")]
    Nowhere,
    /// Anybody on the network could run code.
    #[error("listening at {address} needs a token file; give one, or listen at a unix socket")]
    TokenNeeded {
        /// Where.
        address: String,
    },
    /// The tokens cannot be had.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A place cannot be listened at.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The client that fetches inputs cannot be made, for want of certificates for example.
    #[error("no client for inputs by URL")]
    Client(#[source] reqwest::Error),
    /// The system does not say where we listen.
    #[error("the address of a listener is not known")]
    Address(#[source] io::Error),
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Triggers that had not ended in time; the driver has ended their sandboxes.
    pub triggers: usize,
    /// Connections that had to be cut.
    pub connections: usize,
}

/// Listens, and serves until [`Server::shutdown`]. Used inside a tokio runtime.
///
/// # Errors
/// The configuration or the system does not let it. Nothing is served then.
pub async fn serve(config: Config, runner: Runner) -> Result<Server, ServeError> {
    if config.listen.is_empty() {
        return Err(ServeError::Nowhere);
    }
    let open = config.listen.iter().find_map(|listen| match listen {
        Listen::Tcp(address) if config.token_file.is_none() => Some(address.to_string()),
        Listen::Tcp(_) | Listen::Unix(_) => None,
    });
    if let Some(address) = open {
        return Err(ServeError::TokenNeeded { address });
    }
    // Before any socket file is touched.
    let app = App::new(config, runner)?;
    let mut listeners = Vec::new();
    for listen in &app.config.listen {
        listeners.push(Listener::bind(listen).await?);
    }
    let addresses =
        listeners.iter().map(Listener::address).collect::<Result<_, _>>().map_err(ServeError::Address)?;
    let server = Server {
        addresses,
        tasks: TaskTracker::new(),
        accept: CancellationToken::new(),
        ending: Ending::default(),
        app: app.clone(),
    };
    let router = router(app.clone());
    for listener in listeners {
        let accepting = Accepting {
            app: app.clone(),
            router: router.clone(),
            tasks: server.tasks.clone(),
            ending: server.ending.clone(),
        };
        let stop = server.accept.clone();
        // The listener ends with its task, and a socket file with it.
        server.tasks.spawn(async move { stop.run_until_cancelled(accepting.run(listener)).await });
    }
    let stop = server.accept.clone();
    server.tasks.spawn(async move { stop.run_until_cancelled(app.readiness.prove(&app.runner)).await });
    Ok(server)
}

impl Server {
    /// Where it listens, with the ports that were chosen.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Reads the token file again now. It is also read when it changes.
    pub fn reload_tokens(&self) {
        if let Some(tokens) = &self.app.tokens {
            tokens.reload();
        }
    }

    /// Waits until a sandbox has run a program; for ever, where none can.
    pub async fn ready(&self) {
        self.app.readiness.proven().await;
    }

    /// Ends the runner and then the server: see the module.
    pub async fn shutdown(&self) -> ShutdownReport {
        self.app.readiness.drain();
        let triggers = self.app.runner.shutdown().await.left;
        self.accept.cancel();
        self.tasks.close();
        self.ending.close.cancel();
        let mut connections = 0;
        if timeout(self.app.config.close, self.tasks.wait()).await.is_err() {
            connections = self.tasks.len();
            self.ending.cut.cancel();
            self.tasks.wait().await;
        }
        ShutdownReport { triggers, connections }
    }

    /// Cuts the drain of a [`Server::shutdown`] short: running calls are stopped now.
    pub fn shutdown_now(&self) {
        self.app.readiness.drain();
        self.app.runner.shutdown_now();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accept.cancel();
        self.ending.cut.cancel();
    }
}

/// What a listener accepted.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What a listener's task needs.
struct Accepting {
    app: App,
    router: Router,
    tasks: TaskTracker,
    ending: Ending,
}

impl Accepting {
    async fn run(self, listener: Listener) {
        loop {
            let accepted = match &listener {
                Listener::Tcp(listener) => {
                    listener.accept().await.map(|(stream, peer)| (Stream::Tcp(stream), Peer::of(peer.ip())))
                }
                Listener::Unix(listener, _) => {
                    listener.accept().await.map(|(stream, _)| (Stream::Unix(stream), Peer::Unix))
                }
            };
            match accepted {
                Ok((stream, peer)) => {
                    // Where there is no seat it is closed here, at once.
                    let Some(seat) = self.app.seats.take(peer) else { continue };
                    let (app, router, ending) = (self.app.clone(), self.router.clone(), self.ending.clone());
                    self.tasks.spawn(async move {
                        match stream {
                            Stream::Tcp(stream) => {
                                let transport = prepare(&stream);
                                connection::serve(stream, transport, router, &app.config, ending, seat).await;
                            }
                            Stream::Unix(stream) => {
                                let unix = Transport::Unix;
                                connection::serve(stream, unix, router, &app.config, ending, seat).await;
                            }
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Those that wait for a request give way, also where it is descriptors that are lacking.
                    self.app.seats.make_room();
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn prepare(stream: &TcpStream) -> Transport {
    // Neither can fail on a connection that works, and one that does not ends by itself.
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(3);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    Transport::Tcp(stream.local_addr().ok().map(|address| address.ip().to_canonical()))
}
