//! What the tests share: the executable, a server, a client, and eyes for what is left on the machine.

pub(crate) mod bundle;
pub(crate) mod client;
pub(crate) mod docker;
pub(crate) mod dockerd;
pub(crate) mod images;
pub(crate) mod proxy;
pub(crate) mod remains;
pub(crate) mod require;
pub(crate) mod s3;
pub(crate) mod serve;
pub(crate) mod skillbox;
pub(crate) mod snapshot;
pub(crate) mod wait;
