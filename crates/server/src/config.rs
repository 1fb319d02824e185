//! What an operator sets once: where to listen, who may ask, and how much is held at a time.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use artifact::SignedUrls;

use crate::{InputHost, Listen};

const MIB: usize = 1024 * 1024;

/// How a [`crate::Server`] behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; at least one place.
    pub listen: Vec<Listen>,
    /// File with the bearer tokens, one a line. Needed for TCP; connections over a unix socket need no token.
    pub token_file: Option<PathBuf>,
    /// Names by which clients may reach the TCP listeners (`Host`), without a port. Loopback names and the address that
    /// a client connected to need no mention.
    pub hosts: Vec<String>,
    /// Origins of web pages that may send requests, such as `https://chat.example.com`.
    pub origins: Vec<String>,
    /// Hosts from which inputs of triggers may be fetched, beside this runner's own store.
    pub input_hosts: Vec<InputHost>,
    /// What checks the links that the artifact store gives out, where this server must serve them itself.
    pub signed_urls: Option<SignedUrls>,
    /// Most bytes of a JSON body, but for declarations with their inputs.
    pub json_bytes: usize,
    /// Most bytes of an uploaded bundle.
    pub bundle_bytes: usize,
    /// Most bytes of all bodies that are held at once.
    pub buffered_bytes: usize,
    /// Most requests for tool calls that are carried out at once.
    pub calls: usize,
    /// Most progress streams at once.
    pub streams: usize,
    /// Most other requests at once.
    pub requests: usize,
    /// Most connections at once. For one more, the one that has waited longest for a request has to go.
    pub connections: usize,
    /// Most of them from one address. For one more, the one of that address that has waited longest has to go.
    pub connections_of_peer: usize,
    /// Longest time for the head of a request: from the beginning of the connection, or from its first byte.
    pub head_timeout: Duration,
    /// How long a connection is kept for the next request.
    pub idle_timeout: Duration,
    /// Longest silence inside a body.
    pub body_idle: Duration,
    /// Longest time for a whole body.
    pub body_timeout: Duration,
    /// How long a client may leave what we send unread.
    pub write_timeout: Duration,
    /// Silence after which an event stream says that it lives.
    pub heartbeat: Duration,
    /// What a client is told to wait when one of these bounds is hit.
    pub retry_after: Duration,
    /// Lines of the log that were never written; whoever writes it counts.
    pub lost_log_lines: Arc<AtomicU64>,
    /// How long open connections may take to end after the runner has.
    pub close: Duration,
}

impl Config {
    /// The documented defaults, listening nowhere. A function and not `Default`, so that each use is a decision.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            listen: Vec::new(),
            token_file: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            input_hosts: Vec::new(),
            signed_urls: None,
            json_bytes: 32 * MIB,
            bundle_bytes: 64 * MIB,
            buffered_bytes: 512 * MIB,
            calls: 1024,
            streams: 1024,
            requests: 256,
            connections: 4096,
            connections_of_peer: 3072,
            head_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            body_idle: Duration::from_secs(15),
            body_timeout: Duration::from_secs(300),
            write_timeout: Duration::from_secs(60),
            heartbeat: Duration::from_secs(15),
            retry_after: Duration::from_secs(1),
            lost_log_lines: Arc::default(),
            close: Duration::from_secs(5),
        }
    }
}
