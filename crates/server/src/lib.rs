//! HTTP over the runner: routes, who may ask, errors, events.
//!
//! The only crate that knows HTTP. It holds no state of triggers: a request is checked, turned into what [`runner`]
//! takes, and its answer is written out. It names no driver and no store.
//!
//! ```text
//!   listener ── connection ── observe ── guard ── routes ── Runner
//!   (TCP, unix)  (timeouts)   (id, span,  (Host, Origin,
//!                              panics)     token, limits)
//! ```
//!
//! Invariants: nothing but health and signed links is answered without a token, where the connection came over TCP.
//! Every failure is a flat problem document. Whatever a client can make us hold (connections, requests, bytes of
//! bodies, streams) has a bound in [`Config`]. A client that goes away ends its calls, because the future that waits
//! for them is dropped with its connection.

mod app;
mod body;
mod config;
mod connection;
mod declaration;
mod guard;
mod held;
mod hosts;
mod inputs;
mod listener;
mod metrics;
mod observe;
mod problem;
mod range;
mod readiness;
mod refusal;
mod router;
mod routes;
mod seats;
mod server;
mod sse;
mod tokens;

#[cfg(test)]
mod tests;

pub use crate::{
    config::Config,
    inputs::{InputHost, InvalidInputHost},
    listener::{Address, BindError, InvalidListen, Listen},
    server::{ServeError, Server, ShutdownReport, serve},
    tokens::TokenError,
};
