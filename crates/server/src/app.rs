//! What all requests share.

use std::{net::IpAddr, sync::Arc};

use runner::Runner;
use tokio::sync::Semaphore;

use crate::{
    Config,
    hosts::{Hosts, Origins},
    inputs::HostClient,
    readiness::Readiness,
    seats::Seats,
    server::ServeError,
    tokens::Tokens,
};

/// Handed to every handler; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct App {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) runner: Runner,
    pub(crate) config: Config,
    pub(crate) hosts: Hosts,
    pub(crate) origins: Origins,
    pub(crate) input_hosts: HostClient,
    /// `None` where only unix sockets are listened on: TCP connections are refused then.
    pub(crate) tokens: Option<Tokens>,
    pub(crate) readiness: Readiness,
    pub(crate) seats: Arc<Seats>,
    pub(crate) calls: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) requests: Arc<Semaphore>,
    /// One permit for each KiB of a body that is held.
    pub(crate) kibibytes: Arc<Semaphore>,
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Over TCP, to this address of ours.
    Tcp(Option<IpAddr>),
    /// Over a unix socket, which only its owner can open.
    Unix,
}

impl App {
    pub(crate) fn new(config: Config, runner: Runner) -> Result<Self, ServeError> {
        let tokens = config.token_file.as_deref().map(Tokens::open).transpose()?;
        let input_hosts = HostClient::new(config.input_hosts.clone()).map_err(ServeError::Client)?;
        let shared = Shared {
            hosts: Hosts::new(&config.hosts),
            origins: Origins::new(&config.origins),
            input_hosts,
            tokens,
            readiness: Readiness::new(),
            seats: Arc::new(Seats::new(config.connections, config.connections_of_peer)),
            calls: Arc::new(Semaphore::new(config.calls)),
            streams: Arc::new(Semaphore::new(config.streams)),
            requests: Arc::new(Semaphore::new(config.requests)),
            kibibytes: Arc::new(Semaphore::new(config.buffered_bytes / 1024)),
            runner,
            config,
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}
