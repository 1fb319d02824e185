//! Output files and where they are stored: the rules of `/output`, the store contract, the local store.
//!
//! Knows nothing of sandboxes, triggers' lives or HTTP frameworks. What leaves a sandbox is hostile: names are data and
//! never become part of a key or a host path, media types are decided by content, and what is served back is always an
//! attachment. A store acknowledges an artifact only when all of its bytes are there and their checksum matches.

pub mod conformance;
mod content_headers;
mod disk;
mod id;
mod local;
mod media_type;
pub mod memory;
mod name;
mod rules;
mod signed_urls;
mod spool;
mod store;

pub use crate::{
    content_headers::content_headers,
    id::{ArtifactId, InvalidArtifactId},
    local::{Durability, LocalOptions, LocalStore, LocalUrls},
    media_type::{HEAD_BYTES, MediaType},
    name::{display_name, file_name},
    rules::{
        Choice, LeftOut, OutputEntry, OutputEntryKind, OutputLimits, Reason, Selected, Selection, select,
    },
    signed_urls::{LinkError, SignedUrls, UrlKey},
    spool::{SpoolOptions, SpooledStore},
    store::{
        Arrival, ArtifactMetadata, ArtifactStore, Backlog, Content, Expected, NewArtifact, Retention,
        Sha256Digest, SignedUrl, StoreError, StoreErrorKind, StoredArtifact, Swept, Upload, Usage, compare,
    },
};
