//! What must hold for the whole, tested from outside: the real executable, real sandboxes, real HTTP.
//!
//! One binary, so that it is linked once. Tests that need something of the machine say so with `require`.

mod cli;
mod examples;
mod http;
mod octavus;
mod recovery;
mod support;
mod tidy;
