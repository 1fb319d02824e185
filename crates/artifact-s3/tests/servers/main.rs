//! The store against real S3 servers.
//!
//! `s3s-fs` runs in this process, in every run. Garage runs where it is installed, and must where `REQUIRE` names it.
//! The servers, and the proxy that fails as networks do, are those of the tests from outside.

#[cfg(test)]
mod buckets;
#[cfg(test)]
#[path = "../../../../tests/it/support/proxy.rs"]
mod proxy;
#[cfg(test)]
#[path = "../../../../tests/it/support/s3.rs"]
mod s3;
