//! Bundles: a skill's folder as a ZIP, usually called `.skill`.
//!
//! A bundle comes from a stranger. It is read by one parser, ours, in three steps, and refused as a whole at the first
//! doubt: [`layout`] accounts for every byte of the file (each byte belongs to one local header, its data, its descriptor or the
//! directory at the end, and both descriptions of an entry agree), [`check`] judges names, kinds, declared sizes and where
//! `SKILL.md` is, and [`unpack`] decompresses everything once to nowhere, with checksums and limits on real bytes,
//! before a second pass writes the first file. General ZIP libraries forgive too much for this: where two readers
//! may understand a file differently, an attacker shows one skill to the scanner and another to the runtime.
//!
//! Archives inside a bundle are files like any other and never opened.

mod check;
mod error;
mod layout;
mod unpack;

use std::{
    io::{Read, Seek},
    path::Path,
    time::{Duration, Instant},
};

pub use self::{
    error::{BundleError, EntryName, HeaderField, NotRegular, PathProblem},
    unpack::UnpackedBundle,
};
use crate::folder::FolderLimits;

const MIB: u64 = 1024 * 1024;

/// Bounds of a bundle. Sizes are enforced on the bytes that really come out, not only on what the bundle says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleLimits {
    /// The most bytes of the bundle itself.
    pub max_bundle_bytes: u64,
    /// The most entries, directories and ignored ones included.
    pub max_entries: usize,
    /// The most bytes of one file.
    pub max_file_bytes: u64,
    /// The most bytes of all files.
    pub max_total_bytes: u64,
    /// How many times larger than its compressed form a file, or all of them, may be.
    pub max_ratio: u64,
    /// Files up to this size may be compressed as well as they can be.
    pub ratio_floor: u64,
    /// The most bytes of one component of a path.
    pub max_component_bytes: usize,
    /// The most bytes of a path.
    pub max_path_bytes: usize,
    /// The most components of a path.
    pub max_depth: usize,
    /// The most bytes of the bundle's comment, and of that of an entry.
    pub max_comment_bytes: usize,
    /// The most bytes of an entry's extra fields.
    pub max_extra_bytes: usize,
    /// The most bytes of the directory at the end.
    pub max_directory_bytes: u64,
    /// The longest time for checking. The limits in bytes bound the work already; this is the net below them.
    pub max_duration: Duration,
}

impl Default for BundleLimits {
    fn default() -> Self {
        Self {
            max_bundle_bytes: 64 * MIB,
            max_entries: 2_000,
            max_file_bytes: 32 * MIB,
            max_total_bytes: 256 * MIB,
            max_ratio: 100,
            ratio_floor: MIB,
            max_component_bytes: 255,
            max_path_bytes: 1_024,
            max_depth: 16,
            max_comment_bytes: 1_024,
            max_extra_bytes: 4_096,
            max_directory_bytes: 4 * MIB,
            max_duration: Duration::from_secs(10),
        }
    }
}

impl BundleLimits {
    /// The limits of the folder that a bundle within these limits becomes.
    pub(crate) fn folder(&self) -> FolderLimits {
        FolderLimits {
            // Directories may be implied by the entries below them.
            max_entries: self.max_entries.saturating_mul(self.max_depth),
            max_file_bytes: self.max_file_bytes,
            max_total_bytes: self.max_total_bytes,
            max_depth: self.max_depth,
        }
    }
}

/// Checks a bundle completely, decompressing it to nowhere; writes nothing.
pub fn check_bundle(mut bundle: impl Read + Seek, limits: &BundleLimits) -> Result<(), BundleError> {
    prepare(&mut bundle, limits).map(drop)
}

/// Unpacks a bundle into a fresh directory below `destination_parent`, which is removed with the result unless kept.
///
/// A bundle that is refused has left nothing behind, not even for a moment: all checks come before the first write.
pub fn unpack_bundle(
    mut bundle: impl Read + Seek,
    destination_parent: &Path,
    limits: &BundleLimits,
) -> Result<UnpackedBundle, BundleError> {
    let plan = prepare(&mut bundle, limits)?;
    unpack::write(&mut bundle, &plan, destination_parent, limits)
}

fn prepare(bundle: &mut (impl Read + Seek), limits: &BundleLimits) -> Result<check::Plan, BundleError> {
    let deadline = Instant::now() + limits.max_duration;
    let entries = layout::read(bundle, limits)?;
    let plan = check::plan(entries, limits)?;
    unpack::verify(bundle, &plan, limits, deadline)?;
    Ok(plan)
}

#[cfg(test)]
mod tests;
