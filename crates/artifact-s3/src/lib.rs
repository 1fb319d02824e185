//! Output files in S3, or in a store that speaks its protocol.
//!
//! An artifact is one object. Everything that a browser is told about it is stored with it, so that a link is nothing but
//! a signature over its key and its end, and holds no byte of a user. Nothing is acknowledged before the store has
//! answered, with the same checksum or, where it names none, the same size. Retries stay inside the sender's deadline;
//! who wants an upload to outlive that puts `artifact::SpooledStore` before this one.

mod connect;
mod error;
mod record;
mod store;
mod upload;

pub use crate::{
    connect::{Addressing, Credentials, InvalidUrl, Location, S3Options},
    store::S3Store,
};
