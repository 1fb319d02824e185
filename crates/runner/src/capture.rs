//! Capture: what is new or changed in `/output` goes into the store.
//!
//! ```text
//!   list ─▶ compare with the last listing ─▶ rules choose ─▶ fetch in batches ─▶ hash ─▶ store ─▶ URL
//!                                                              │ small files: collected, stored side by side
//!                                                              └ large ones: streamed through, a chunk at a time
//! ```
//!
//! Called only when nothing runs in the sandbox. Memory is bounded whatever is in `/output`: see the constants. A file
//! that cannot be stored becomes an entry with an error and never fails the call. Where the store keeps it for later,
//! the entry has the id that it will have; else the next capture tries again. A sandbox that breaks ends the capture,
//! and the caller is told.

mod upload;

use std::collections::HashMap;

use artifact::{
    Arrival, ArtifactId, ArtifactStore, Choice, MediaType, OutputEntry, OutputEntryKind, OutputLimits,
    Sha256Digest, select,
};
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use sandbox::{Entry, EntryKind, FetchFile, FetchItem, FileError, Sandbox, SandboxError, layout};
use tokio::{sync::Semaphore, time::Instant};
use tool::{OutputFile, OutputFileState};

use self::upload::{Deferred, Incoming, Stored, Uploaded};
use crate::totals::{Counts, UploadOutcome};

/// Most bytes asked for at once, unless a single file is larger.
const BATCH_BYTES: u64 = 4 << 20;
/// Most files asked for at once.
const BATCH_FILES: usize = 256;
/// Small files on their way into the store at the same time.
const UPLOADS: usize = 16;
/// Bytes of small files that all captures together collect, beyond one file each: what a store that is slow, or does not
/// answer, can make us hold.
pub(crate) const COLLECTED: usize = 64 << 20;
/// What the entry of a file says that is not in the store.
const UPLOAD_FAILED: &str = "Upload failed";

/// Where files go, and which.
#[derive(Debug)]
pub(crate) struct Destination<'a> {
    pub(crate) store: &'a dyn ArtifactStore,
    pub(crate) counts: &'a Counts,
    /// A permit for each byte of a small file that is collected.
    pub(crate) collected: &'a Semaphore,
    pub(crate) trigger: &'a str,
    pub(crate) limits: OutputLimits,
    /// Most entries of `/output` that are looked at.
    pub(crate) entries: u32,
    /// Uploads that are not done by then have failed.
    pub(crate) deadline: Instant,
}

/// What `/output` had when it was captured last.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    entries: HashMap<Vec<u8>, Mark>,
    stored: HashMap<Vec<u8>, Sha256Digest>,
}

/// What tells whether an entry changed. User code cannot set the time in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    kind: EntryKind,
    size: u64,
    inode: u64,
    changed_ns: i64,
    links: u32,
}

/// What a capture found.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    /// Stored, or left out with the reason; in the order of their paths.
    pub(crate) files: Vec<OutputFile>,
    /// What could not be listed.
    pub(crate) note: Option<String>,
    /// Files that the store will have later.
    pub(crate) arrivals: Vec<Awaited>,
    /// Something is not in the store that should be; another capture may get it there.
    pub(crate) incomplete: bool,
    /// The sandbox broke: files may be missing without an entry.
    pub(crate) broken: Option<SandboxError>,
}

/// A file that the store failed to take, but keeps.
#[derive(Debug)]
pub(crate) struct Awaited {
    /// As the result of the call has it.
    pub(crate) file: OutputFile,
    /// The id that it will have.
    pub(crate) id: ArtifactId,
    pub(crate) arrival: Arrival,
}

/// Stores what is new or changed; `on_file` hears of each file as it is done.
pub(crate) async fn capture(
    sandbox: &mut Sandbox,
    seen: &mut Seen,
    to: &Destination<'_>,
    on_file: &mut (dyn FnMut(&OutputFile) + Send),
) -> Captured {
    let listing = match sandbox.list_output(to.entries).await {
        Ok(listing) => listing,
        Err(error) => return Captured { incomplete: true, broken: Some(error), ..Captured::default() },
    };
    let mut marks = HashMap::with_capacity(listing.entries.len());
    let mut changed = Vec::new();
    for entry in listing.entries {
        let mark = Mark::of(&entry);
        // A path that is listed twice is a lie; the first counts.
        if marks.contains_key(&entry.path) {
            continue;
        }
        if seen.entries.get(&entry.path) != Some(&mark) {
            changed.push(output_entry(&entry));
        }
        marks.insert(entry.path, mark);
    }
    seen.entries = marks;
    seen.stored.retain(|path, _| seen.entries.contains_key(path));
    let selection = select(changed, &to.limits);
    let note = [selection.note(), listing.truncated.then(|| more_than(to.entries))];
    let note: Vec<String> = note.into_iter().flatten().collect();
    let mut round = Round {
        to,
        seen,
        on_file,
        slots: Vec::new(),
        takes: Vec::new(),
        arrivals: Vec::new(),
        faults: Faults::default(),
    };
    for choice in selection.choices {
        round.choose(choice);
    }
    let broken = round.fetch_all(sandbox).await.err();
    let mut captured = round.finish();
    captured.note = (!note.is_empty()).then(|| note.join(" "));
    captured.incomplete |= broken.is_some();
    captured.broken = broken;
    captured
}

/// One capture while it goes on.
struct Round<'a> {
    to: &'a Destination<'a>,
    seen: &'a mut Seen,
    on_file: &'a mut (dyn FnMut(&OutputFile) + Send),
    /// The entries of the result; empty where a file turned out not to have changed, or has not come yet.
    slots: Vec<Option<OutputFile>>,
    /// What to fetch, with its slot.
    takes: Vec<Take>,
    arrivals: Vec<Awaited>,
    faults: Faults,
}

/// Failed uploads, to be logged once.
#[derive(Default)]
struct Faults {
    /// Files that are in no store and in nobody's keeping.
    lost: usize,
    /// Files that are kept for later.
    deferred: usize,
    first: Option<String>,
}

/// A file to fetch.
#[derive(Clone, Debug)]
pub(crate) struct Take {
    slot: usize,
    path: Vec<u8>,
    name: String,
    size: u64,
    /// Checksum of what was stored last under this path.
    known: Option<Sha256Digest>,
}

/// Files on their way into the store.
type Uploads<'a> = FuturesUnordered<BoxFuture<'a, (Take, Uploaded)>>;

impl<'a> Round<'a> {
    fn choose(&mut self, choice: Choice) {
        let slot = self.slots.len();
        self.slots.push(None);
        match choice {
            Choice::Take(selected) => {
                let known = self.seen.stored.get(&selected.path).copied();
                let (path, name, size) = (selected.path, selected.name, selected.size);
                self.takes.push(Take { slot, path, name, size, known });
            }
            Choice::LeaveOut(left) => {
                let media_type = MediaType::detect(&[], &left.name).to_string();
                self.put(
                    slot,
                    output_file(&left.name, left.size, media_type, failed(left.reason.to_string())),
                );
            }
        }
    }

    /// Fetches in batches: many small files with one request, a large one alone. Uploads of one batch go on while the
    /// next is fetched.
    async fn fetch_all(&mut self, sandbox: &mut Sandbox) -> Result<(), SandboxError> {
        let takes = std::mem::take(&mut self.takes);
        let mut rest = takes.as_slice();
        let mut uploads = Uploads::new();
        let mut outcome = Ok(());
        while !rest.is_empty() && outcome.is_ok() {
            let (batch, after) = rest.split_at(batch_length(rest));
            rest = after;
            outcome = self.fetch(sandbox, batch, &mut uploads).await;
        }
        while let Some((take, uploaded)) = uploads.next().await {
            self.settle(&take, uploaded);
        }
        outcome
    }

    async fn fetch(
        &mut self,
        sandbox: &mut Sandbox,
        batch: &[Take],
        uploads: &mut Uploads<'a>,
    ) -> Result<(), SandboxError> {
        let ask = |take: &Take| FetchFile { path: take.path.clone(), offset: 0, limit: take.size };
        let mut fetch = sandbox.fetch(batch.iter().map(ask).collect()).await?;
        let mut waiting = batch.iter().cloned();
        let mut current: Option<Incoming<'a>> = None;
        loop {
            let item = tokio::select! {
                item = fetch.next() => item?,
                Some((take, uploaded)) = uploads.next(), if !uploads.is_empty() => {
                    self.settle(&take, uploaded);
                    continue;
                }
            };
            match item {
                None => return Ok(()),
                Some(FetchItem::File { size }) => {
                    // The client has checked that no more files come than were asked for.
                    let Some(take) = waiting.next() else { return Ok(()) };
                    let room = loop {
                        let room = upload::room(self.to, size);
                        // Without room the files before this one have to go first. One file is always taken.
                        match (room, uploads.is_empty()) {
                            (Some(room), _) => break Some(room),
                            (None, true) => break None,
                            (None, false) => {
                                if let Some((take, uploaded)) = uploads.next().await {
                                    self.settle(&take, uploaded);
                                }
                            }
                        }
                    };
                    current = Some(Incoming::begin(take, size, self.to, room));
                }
                Some(FetchItem::Data(bytes)) => {
                    if let Some(file) = &mut current {
                        file.write(bytes).await;
                    }
                }
                Some(FetchItem::Failed(error)) => {
                    let take = match current.take() {
                        Some(file) => Some(file.abort().await),
                        None => waiting.next(),
                    };
                    if let Some(take) = take {
                        self.settle(&take, Uploaded::Unreadable(unreadable(&error)));
                    }
                }
            }
            if current.as_ref().is_some_and(Incoming::is_complete)
                && let Some(file) = current.take()
            {
                uploads.push(file.finish());
                // What waits in memory stays bounded, however slow the store is.
                while uploads.len() >= UPLOADS
                    && let Some((take, uploaded)) = uploads.next().await
                {
                    self.settle(&take, uploaded);
                }
            }
        }
    }

    /// A file has been dealt with.
    fn settle(&mut self, take: &Take, uploaded: Uploaded) {
        let (media_type, state) = match uploaded {
            // Rewritten with the same content: the user has it already.
            Uploaded::Unchanged => return,
            Uploaded::Stored(Stored { id, url, media_type, sha256 }) => {
                self.to.counts.upload(UploadOutcome::Stored);
                self.seen.stored.insert(take.path.clone(), sha256);
                (media_type, OutputFileState::Stored { id, url })
            }
            Uploaded::Deferred(deferred) => {
                let Deferred { id, media_type, sha256, fault, arrival } = deferred;
                // Seen and as good as stored: the next capture must not upload it a second time.
                self.seen.stored.insert(take.path.clone(), sha256);
                self.to.counts.upload(UploadOutcome::Deferred);
                self.faults.deferred += 1;
                self.faults.first.get_or_insert(fault);
                let state = OutputFileState::Deferred { id: id.to_string(), error: UPLOAD_FAILED.to_owned() };
                let file = output_file(&take.name, take.size, media_type.to_string(), state.clone());
                self.arrivals.extend(arrival.map(|arrival| Awaited { file, id, arrival }));
                (media_type, state)
            }
            Uploaded::Unreadable(reason) => (MediaType::detect(&[], &take.name), failed(reason.to_owned())),
            Uploaded::Failed { media_type, fault } => {
                // Not seen, so that the next capture tries again.
                self.seen.entries.remove(&take.path);
                self.to.counts.upload(UploadOutcome::Failed);
                self.faults.lost += 1;
                self.faults.first.get_or_insert(fault);
                (media_type, failed(UPLOAD_FAILED.to_owned()))
            }
        };
        self.put(take.slot, output_file(&take.name, take.size, media_type.to_string(), state));
    }

    fn put(&mut self, slot: usize, file: OutputFile) {
        (self.on_file)(&file);
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = Some(file);
        }
    }

    fn finish(self) -> Captured {
        if let Some(error) = self.faults.first {
            let Faults { lost, deferred, .. } = self.faults;
            tracing::error!(files = lost, deferred, error, "output files could not be stored");
        }
        let files = self.slots.into_iter().flatten().collect();
        Captured { files, arrivals: self.arrivals, incomplete: self.faults.lost > 0, ..Captured::default() }
    }
}

impl Mark {
    fn of(entry: &Entry) -> Self {
        Self {
            kind: entry.kind,
            size: entry.size,
            inode: entry.inode,
            changed_ns: entry.changed_ns,
            links: entry.links,
        }
    }
}

fn output_entry(entry: &Entry) -> OutputEntry {
    let kind = match entry.kind {
        EntryKind::File => OutputEntryKind::File,
        EntryKind::Symlink => OutputEntryKind::Symlink,
        EntryKind::Special => OutputEntryKind::Special,
        EntryKind::UnreadableDirectory => OutputEntryKind::UnreadableDirectory,
    };
    OutputEntry { path: entry.path.clone(), kind, size: entry.size, links: entry.links }
}

/// How many files the next request asks for; at least one.
fn batch_length(takes: &[Take]) -> usize {
    let mut bytes = 0_u64;
    let fits = |take: &&Take| {
        bytes = bytes.saturating_add(take.size);
        bytes <= BATCH_BYTES
    };
    takes.iter().take(BATCH_FILES).take_while(fits).count().max(1)
}

fn output_file(name: &str, size: u64, media_type: String, state: OutputFileState) -> OutputFile {
    OutputFile { name: name.to_owned(), path: format!("{}/{name}", layout::OUTPUT), media_type, size, state }
}

fn failed(error: String) -> OutputFileState {
    OutputFileState::Failed { error }
}

fn unreadable(error: &FileError) -> &'static str {
    match error.kind {
        sandbox::FileErrorKind::Changed => "The file changed while it was read",
        sandbox::FileErrorKind::NotFound
        | sandbox::FileErrorKind::NotAFile
        | sandbox::FileErrorKind::Outside
        | sandbox::FileErrorKind::Permission
        | sandbox::FileErrorKind::NoSpace
        | sandbox::FileErrorKind::Other => "The file could not be read",
    }
}

fn more_than(entries: u32) -> String {
    format!("/output has more than {entries} entries; only that many were looked at.")
}
