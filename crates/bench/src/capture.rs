//! Getting saved files out: ten thousand small ones, and one of a gigabyte.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use artifact::{
    ArtifactStore as _, Durability, Expected, LocalOptions, LocalStore, LocalUrls, MediaType, NewArtifact,
};
use sandbox::{FetchFile, FetchItem, Limits, Sandbox};
use sha2::{Digest as _, Sha256};

use crate::native::{self, Native};
use crate::report::Row;
use crate::statistics::{Random, median, median_interval};

/// Files of the first row.
const FILES: usize = 10_000;
/// Bytes of each.
const FILE_BYTES: usize = 100;
/// Repetitions of both rows.
const ROUNDS: usize = 7;
/// Bytes of the second row.
const LARGE: u64 = 1024 * 1024 * 1024;
/// Files asked for at once.
const BATCH: usize = 512;

/// Both rows.
pub(crate) async fn rows(native: &Native, short: bool) -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![many(native).await?];
    if !short {
        rows.extend(large(native).await?);
    }
    Ok(rows)
}

/// List, fetch and hash, over the same in this process.
async fn many(native: &Native) -> anyhow::Result<Row> {
    let place = tempfile::tempdir_in("/dev/shm")?;
    let script = format!(
        "import sys\nfor n in range({FILES}):\n    open(f'{{sys.argv[1]}}/{{n}}', 'wb').write(b'%0{FILE_BYTES}d' % n)\n"
    );
    let mut sandbox = native.create(Limits::standard()).await?;
    native::run(&mut sandbox, &["python3", "-c", &script, "/output"]).await?;
    let host =
        std::process::Command::new("/usr/bin/python3").args(["-c", &script]).arg(place.path()).status()?;
    ensure!(host.success(), "the files could not be made on the host");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let captured = capture(&mut sandbox).await?;
        ours.push(begun.elapsed().as_secs_f64() * 1000.0);
        let begun = Instant::now();
        let scanned = scan(place.path())?;
        theirs.push(begun.elapsed().as_secs_f64() * 1000.0);
        ensure!(
            captured == scanned && captured.len() == FILES,
            "the captured files are not those that were saved"
        );
    }
    sandbox.destroy().await?;
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    let (ratio, low, high) = median_interval(&ratios, &mut Random::new());
    let name = "capture of 10,000 files / scan, read and sha256 in process";
    Ok(Row::ratio(name, ratio, (low, high), Some(2.0), (median(&ours), median(&theirs)), false))
}

/// Digests of all output files, sorted.
async fn capture(sandbox: &mut Sandbox) -> anyhow::Result<Vec<[u8; 32]>> {
    let listing = sandbox.list_output(u32::try_from(2 * FILES)?).await?;
    let mut digests = Vec::with_capacity(FILES);
    for batch in listing.entries.chunks(BATCH) {
        let files = batch
            .iter()
            .map(|entry| FetchFile { path: entry.path.clone(), offset: 0, limit: entry.size })
            .collect();
        let mut fetch = sandbox.fetch(files).await?;
        let mut hash: Option<Sha256> = None;
        while let Some(item) = fetch.next().await? {
            match item {
                FetchItem::File { .. } => digests.extend(hash.replace(Sha256::new()).map(digest)),
                FetchItem::Data(bytes) => hash.as_mut().context("data before a file")?.update(&bytes),
                FetchItem::Failed(error) => return Err(error.into()),
            }
        }
        digests.extend(hash.map(digest));
    }
    digests.sort_unstable();
    Ok(digests)
}

fn digest(hash: Sha256) -> [u8; 32] {
    hash.finalize().into()
}

fn scan(place: &Path) -> anyhow::Result<Vec<[u8; 32]>> {
    let mut digests = Vec::with_capacity(FILES);
    for entry in std::fs::read_dir(place)? {
        let entry = entry?;
        ensure!(entry.metadata()?.is_file(), "not a file");
        digests.push(Sha256::digest(std::fs::read(entry.path())?).into());
    }
    digests.sort_unstable();
    Ok(digests)
}

/// One file from a sandbox into the local store, over sha256 of the same bytes, and how much memory that takes.
async fn large(native: &Native) -> anyhow::Result<Vec<Row>> {
    const MIB: u64 = 1024 * 1024;
    // In memory, like the reference: what is measured is the way there, not the disk.
    let place = tempfile::tempdir_in("/dev/shm")?;
    let options = LocalOptions {
        directory: place.path().join("store"),
        urls: LocalUrls::File,
        durability: Durability::Rename,
    };
    let store = LocalStore::open(options)?;
    let limits = Limits {
        memory_bytes: LARGE + 256 * MIB,
        disk_bytes: LARGE + MIB,
        file_bytes: LARGE,
        ..Limits::standard()
    };
    let mut sandbox = native.create(limits).await?;
    native::run(&mut sandbox, &["bash", "-c", "head -c 1073741824 /dev/zero | tr '\\0' x > /output/large"])
        .await?;
    let same = vec![b'x'; usize::try_from(LARGE)?];
    let expected: [u8; 32] = Sha256::digest(&same).into();
    let (mut ours, mut theirs, mut extra) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = resident()?;
        let begun = Instant::now();
        let media_type = MediaType::detect(b"x", "large");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(600);
        let new = NewArtifact::new("bench", "large", media_type, deadline)?;
        let mut upload = store.begin(new).await?;
        let file = FetchFile { path: b"large".to_vec(), offset: 0, limit: LARGE };
        let mut fetch = sandbox.fetch(vec![file]).await?;
        let mut most = before;
        let mut pieces = 0_u32;
        while let Some(item) = fetch.next().await? {
            match item {
                FetchItem::File { size } => ensure!(size == LARGE, "the file has {size} bytes"),
                FetchItem::Data(bytes) => upload.write(bytes).await?,
                FetchItem::Failed(error) => return Err(error.into()),
            }
            pieces += 1;
            if pieces.is_multiple_of(256) {
                most = most.max(resident()?);
            }
        }
        let stored = upload.finish(Expected { size: LARGE, sha256: None }).await?;
        ours.push(begun.elapsed().as_secs_f64() * 1000.0);
        ensure!(stored.sha256.as_bytes() == &expected, "the stored bytes are others");
        extra.push(most - before);
        store.remove(&stored.id).await?;
        let begun = Instant::now();
        let digest: [u8; 32] = Sha256::digest(&same).into();
        theirs.push(begun.elapsed().as_secs_f64() * 1000.0);
        ensure!(digest == expected, "the reference is broken");
    }
    sandbox.destroy().await?;
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    let (ratio, low, high) = median_interval(&ratios, &mut Random::new());
    let name = "capture of 1 GiB to the local store / sha256 of it";
    Ok(vec![
        Row::ratio(name, ratio, (low, high), Some(1.5), (median(&ours), median(&theirs)), false),
        Row::figure("memory that this capture takes", median(&extra) / 1024.0, "MiB", Some(32.0)),
    ])
}

/// KiB of this process in memory.
pub(crate) fn resident() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    text.lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok())
        .context("no VmRSS")
}
