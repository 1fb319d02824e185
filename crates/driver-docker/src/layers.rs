//! Dependency layers in a container: directories of the runner's machine, seen read-only inside.
//!
//! Where the daemon sees the very directory that this runner sees, a layer is a bind mount of it. That is tried, once for
//! each directory of layers: a file of a random name is written into it, and the daemon is asked, through a container
//! that never runs, whether it has a file of that name there. Else (the daemon is on another machine, or the runner is in
//! a container) a volume is filled once for each digest, whose last file says that it is whole.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bollard::models::{HostConfig, Mount, VolumeCreateRequest};
use bollard::query_parameters::{ContainerArchiveInfoOptionsBuilder, UploadToContainerOptionsBuilder};
use bollard::{body_full, body_try_stream};
use bytes::Bytes;
use sandbox::{DriverError, DriverErrorKind, Layer, layout};
use tokio::sync::{Mutex, mpsc};

use crate::answer::{failed, is_missing, status};
use crate::container::{bind, mount_of};
use crate::daemon::Daemon;
use crate::image::helper;
use crate::owner::Labels;

/// Label with the digest of the layer that a volume holds.
const LAYER: &str = "skillbox.layer";
/// The file that is put last into a volume.
const WHOLE: &str = ".skillbox-whole";
/// Bytes of a tar that are sent at once, and how many such pieces may wait.
const PIECE: usize = 256 * 1024;
const WAITING: usize = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct Layers {
    roots: Vec<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether the daemon sees a directory of layers.
    seen: HashMap<PathBuf, bool>,
    /// Volumes that are whole.
    filled: HashSet<String>,
}

impl Layers {
    pub(crate) fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots, known: Mutex::default() }
    }

    /// How they reach sandboxes, as far as it was found out.
    pub(crate) async fn way(&self) -> &'static str {
        let known = self.known.lock().await;
        match (known.seen.values().any(|seen| *seen), known.seen.values().any(|seen| !*seen)) {
            (true, false) => "read-only bind mounts",
            (false, true) => "volumes, filled once for each",
            (true, true) => "read-only bind mounts, or volumes where the daemon does not see the directory",
            (false, false) => "decided with the first one",
        }
    }

    /// The mounts for a sandbox with these layers.
    pub(crate) async fn mounts(
        &self,
        daemon: &Arc<Daemon>,
        image: &str,
        layers: &[Layer],
    ) -> Result<Vec<Mount>, DriverError> {
        let mut mounts = Vec::new();
        for layer in layers {
            let root = self.root_of(layer)?;
            // Held across the work: who comes meanwhile needs its result.
            let mut known = self.known.lock().await;
            let seen = match known.seen.get(root) {
                Some(seen) => *seen,
                None => {
                    let seen = is_seen(daemon, image, root).await?;
                    known.seen.insert(root.to_owned(), seen);
                    seen
                }
            };
            if seen {
                mounts.push(bind(&layer.directory.to_string_lossy(), &layer.mount_point()));
                continue;
            }
            let volume = format!("skillbox-layer-{}", layer.digest);
            if !known.filled.contains(&volume) {
                fill(daemon, image, layer, &volume).await?;
                known.filled.insert(volume.clone());
            }
            mounts.push(mount_of(&volume, &layer.mount_point(), true));
        }
        Ok(mounts)
    }

    /// The directory of layers that a layer is below.
    fn root_of(&self, layer: &Layer) -> Result<&Path, DriverError> {
        let is_named_well =
            !layer.digest.is_empty() && layer.digest.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let root = self.roots.iter().find(|root| {
            layer
                .directory
                .strip_prefix(root)
                .is_ok_and(|below| below.components().all(|part| matches!(part, Component::Normal(_))))
        });
        match root {
            Some(root) if is_named_well => Ok(root),
            _ => Err(DriverError::new(
                DriverErrorKind::NotFound,
                format!("layer `{}` is not below a directory of layers", layer.directory.display()),
            )),
        }
    }
}

/// Whether the daemon has the same directory at this path.
async fn is_seen(daemon: &Arc<Daemon>, image: &str, root: &Path) -> Result<bool, DriverError> {
    let marker = Marker::write(root).map_err(|error| {
        DriverError::with_source(
            DriverErrorKind::System,
            format!("the directory of layers `{}` cannot be written", root.display()),
            error,
        )
    })?;
    let host = HostConfig {
        mounts: Some(vec![bind(&root.to_string_lossy(), layout::LAYERS)]),
        ..Default::default()
    };
    let helper = match helper(daemon, image, host).await {
        Ok(helper) => helper,
        // It has nothing at this path.
        Err(error) if is_refusal(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    let path = format!("{}/{}", layout::LAYERS, marker.name);
    let seen = has(daemon, helper.name(), &path).await;
    helper.remove().await?;
    seen
}

fn is_refusal(error: &DriverError) -> bool {
    let source = error.source.as_ref().and_then(|source| source.downcast_ref::<bollard::errors::Error>());
    source.and_then(status).is_some_and(|status| status < 500)
}

/// Whether a container that never runs has a file.
async fn has(daemon: &Daemon, container: &str, path: &str) -> Result<bool, DriverError> {
    let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
    match daemon.docker.get_container_archive_info(container, Some(options)).await {
        Ok(_) => Ok(true),
        // The answer to such a question has no body, so its status may be all that is there, or not even that.
        Err(bollard::errors::Error::HttpHeaderNotFoundError(_)) => Ok(false),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(failed("the daemon could not be asked for a file", error)),
    }
}

/// Puts a layer into a volume, unless it is in there already.
async fn fill(daemon: &Arc<Daemon>, image: &str, layer: &Layer, volume: &str) -> Result<(), DriverError> {
    let what = "a volume for a layer could not be filled";
    let request = VolumeCreateRequest {
        name: Some(volume.to_owned()),
        labels: Some(Labels::from([(LAYER.to_owned(), layer.digest.clone())])),
        ..Default::default()
    };
    daemon.docker.create_volume(request).await.map_err(|error| failed(what, error))?;
    let target = layer.mount_point();
    let host = HostConfig { mounts: Some(vec![mount_of(volume, &target, false)]), ..Default::default() };
    let helper = helper(daemon, image, host).await?;
    if !has(daemon, helper.name(), &format!("{target}/{WHOLE}")).await? {
        let options = || Some(UploadToContainerOptionsBuilder::default().path(&target).build());
        let (sender, mut receiver) = mpsc::channel(WAITING);
        let directory = layer.directory.clone();
        let packing = tokio::task::spawn_blocking(move || pack(&directory, Pieces::new(sender)));
        let pieces = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
        let sent = daemon
            .docker
            .upload_to_container(helper.name(), options(), body_try_stream(pieces))
            .await
            .map_err(|error| failed(what, error));
        let packed = packing.await.map_err(io::Error::other).flatten();
        // A broken tar is the cause of a refused one.
        packed.map_err(|error| DriverError::with_source(DriverErrorKind::System, what, error))?;
        sent?;
        let last =
            last_file().map_err(|error| DriverError::with_source(DriverErrorKind::System, what, error))?;
        let sent = daemon.docker.upload_to_container(helper.name(), options(), body_full(last.into())).await;
        sent.map_err(|error| failed(what, error))?;
        tracing::info!(volume, digest = layer.digest, "a layer was put into a volume");
    }
    helper.remove().await
}

/// Writes a directory as a tar whose files belong to user 0.
fn pack(directory: &Path, to: Pieces) -> io::Result<()> {
    let mut tar = tar::Builder::new(io::BufWriter::with_capacity(PIECE, to));
    tar.follow_symlinks(false);
    // Without the owner, and with times that do not matter to byte code that is checked by content.
    tar.mode(tar::HeaderMode::Deterministic);
    tar.append_dir_all(".", directory)?;
    tar.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(())
}

fn last_file() -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o444);
    header.set_size(0);
    tar.append_data(&mut header, WHOLE, io::empty())?;
    tar.into_inner()
}

/// What is written, in pieces, for whoever sends it.
struct Pieces(mpsc::Sender<Result<Bytes, io::Error>>);

impl Pieces {
    fn new(sender: mpsc::Sender<Result<Bytes, io::Error>>) -> Self {
        Self(sender)
    }
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Ok(Bytes::copy_from_slice(bytes));
        // Nobody receives any more: the daemon refused the rest, and says why.
        self.0.blocking_send(piece).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file of a random name, removed with this.
struct Marker {
    path: PathBuf,
    name: String,
}

impl Marker {
    fn write(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let name = format!(".skillbox-probe-{}", uuid::Uuid::new_v4().simple());
        let path = directory.join(&name);
        std::fs::write(&path, b"")?;
        Ok(Self { path, name })
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        // An empty file that nobody looks at; there is nothing to do about one that stays.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_below_a_directory_of_layers() {
        let layers = Layers::new(vec!["/cache/layers".into()]);
        let layer =
            |digest: &str, directory: &str| Layer { digest: digest.into(), directory: directory.into() };
        assert!(layers.root_of(&layer("abc", "/cache/layers/abc")).is_ok());
        for (digest, directory) in [
            ("abc", "/etc"),
            ("abc", "/cache/layers/../../etc"),
            ("../x", "/cache/layers/abc"),
            ("", "/cache/layers/a"),
        ] {
            let error = layers.root_of(&layer(digest, directory)).unwrap_err();
            assert_eq!(error.kind, DriverErrorKind::NotFound, "{digest} {directory}");
        }
    }

    #[test]
    fn a_packed_layer_belongs_to_root_and_keeps_links() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("module.py"), "x = 1").unwrap();
        std::os::unix::fs::symlink("module.py", directory.path().join("link.py")).unwrap();
        let (sender, mut receiver) = mpsc::channel(1000);
        pack(directory.path(), Pieces::new(sender)).unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = receiver.blocking_recv() {
            bytes.extend(piece.unwrap());
        }
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut found: Vec<(String, tar::EntryType, u64)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.path().unwrap().display().to_string();
                (name, entry.header().entry_type(), entry.header().uid().unwrap())
            })
            .collect();
        found.retain(|(name, ..)| name.ends_with(".py"));
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let expected = [("link.py", tar::EntryType::Symlink), ("module.py", tar::EntryType::Regular)];
        assert_eq!(found.len(), 2, "{found:?}");
        for ((name, kind, uid), (end, expected)) in found.iter().zip(expected) {
            assert!(name.ends_with(end) && *kind == expected && *uid == 0, "{name} {kind:?} {uid}");
        }
    }
}
