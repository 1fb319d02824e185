//! The image of sandboxes: the one that the operator named, with init added.
//!
//! Init gets into any image by a derived image, made once for each pair of image and init by a container that never
//! runs: created, given the files, committed, removed. No builder is needed, and no program of the image is run. The
//! derived image has a name made of both digests, so whoever needs it again finds it.
//!
//! ```text
//!   /.skillbox/init             the executable, for everyone to run
//!   /.skillbox/locked/          mode 0700, of user 0: no path of a sandbox leads through it
//!   /.skillbox/locked/skills/   where the writable directory of skills is mounted
//!   /etc/passwd, /etc/group     as the image has them, with a name for the user of programs where there is none
//! ```

use std::sync::Arc;
use std::time::Duration;

use bollard::body_full;
use bollard::models::{ContainerConfig, ContainerCreateBody, HostConfig, ImageInspect};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use data_encoding::HEXLOWER;
use sandbox::{DriverError, DriverErrorKind, provided};
use sha2::{Digest as _, Sha256};

use crate::answer::{failed, is_missing};
use crate::daemon::{Daemon, Hold};
use crate::engine::Engine;
use crate::owner::Labels;
use crate::{names, podman};

/// Where init is.
pub(crate) const INIT: &str = "/.skillbox/init";
/// Where the writable directory of skills is mounted.
pub(crate) const LOCKED_SKILLS: &str = "/.skillbox/locked/skills";

/// Name of derived images; their tag is a digest.
const REPOSITORY: &str = "skillbox-sandbox";
/// Label with the id of the image that one was derived from.
const BASE: &str = "skillbox.base";
/// Changes whenever the layout above does.
const LAYOUT: &str = "2";
/// How long a container may be needed that only prepares something.
pub(crate) const PREPARATION: Duration = Duration::from_secs(600);

/// An image that sandboxes are made from.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// As the operator named it.
    pub(crate) name: String,
    /// Its id.
    pub(crate) id: String,
    /// Its labels.
    pub(crate) labels: Labels,
    /// The derived one with init in it.
    pub(crate) derived: String,
}

/// Looks an image up and sees to it that there is one with init.
pub(crate) async fn prepare(daemon: &Arc<Daemon>, name: &str) -> Result<Image, DriverError> {
    let found = match daemon.docker.inspect_image(name).await {
        Ok(found) => found,
        Err(error) if is_missing(&error) => {
            return Err(DriverError::new(DriverErrorKind::NotFound, missing(name)));
        }
        Err(error) => return Err(failed("the image could not be looked up", error)),
    };
    check(name, &found)?;
    let id = found.id.unwrap_or_default();
    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
    let derived = format!("{REPOSITORY}:{}", tag(&id));
    let looked_up = |error| failed("the image with init could not be looked up", error);
    let with_init = match daemon.docker.inspect_image(&derived).await {
        Ok(with_init) => with_init,
        Err(error) if is_missing(&error) => {
            derive(daemon, &id, &derived).await?;
            daemon.docker.inspect_image(&derived).await.map_err(looked_up)?
        }
        Err(error) => return Err(looked_up(error)),
    };
    if daemon.engine == Engine::Podman {
        podman::check(name, &with_init)?;
    }
    Ok(Image { name: name.to_owned(), id, labels, derived })
}

fn missing(name: &str) -> String {
    let ours = name.strip_prefix("skillbox/").map(|rest| rest.split(':').next().unwrap_or(rest));
    match ours {
        Some(ours) => {
            format!("there is no image `{name}`; build it with `skillbox image build {ours} --format docker`")
        }
        None => format!(
            "there is no image `{name}`; load it with `docker pull {name}`, or use the standard one: \
             `skillbox image build slim --format docker`, then `--image skillbox/slim`"
        ),
    }
}

/// What an image must not bring along.
fn check(name: &str, found: &ImageInspect) -> Result<(), DriverError> {
    let ours = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    if let Some(theirs) = found.architecture.as_deref().filter(|theirs| !theirs.is_empty() && *theirs != ours)
    {
        let message =
            format!("the image `{name}` is for {theirs}, and this skillbox for {ours}; build it for {ours}");
        return Err(DriverError::new(DriverErrorKind::Unavailable, message));
    }
    let volumes = found.config.as_ref().and_then(|config| config.volumes.clone()).unwrap_or_default();
    if volumes.is_empty() {
        return Ok(());
    }
    let volumes: Vec<String> = volumes.iter().map(|volume| format!("{volume:?}")).collect();
    Err(DriverError::new(
        DriverErrorKind::Wall,
        format!(
            "the image `{name}` declares volumes ({}), which programs could fill without a limit; build it without \
             VOLUME",
            volumes.join(", ")
        ),
    ))
}

fn tag(id: &str) -> String {
    let mut hash = Sha256::new();
    for part in [LAYOUT.as_bytes(), id.as_bytes(), Sha256::digest(init_binary::INIT).as_slice()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    HEXLOWER.encode(&hash.finalize()[..16])
}

async fn derive(daemon: &Arc<Daemon>, id: &str, derived: &str) -> Result<(), DriverError> {
    let what = "an image with init could not be made";
    let helper = helper(daemon, id, HostConfig::default()).await?;
    let names = names::amended(&daemon.docker, helper.name()).await.map_err(|error| failed(what, error))?;
    let files =
        files(&names).map_err(|error| DriverError::with_source(DriverErrorKind::System, what, error))?;
    let into_root = UploadToContainerOptionsBuilder::default().path("/").build();
    daemon
        .docker
        .upload_to_container(helper.name(), Some(into_root), body_full(files.into()))
        .await
        .map_err(|error| failed(what, error))?;
    let (repository, tag) = derived.split_once(':').unwrap_or((derived, "latest"));
    let mut options = CommitContainerOptionsBuilder::default()
        .container(helper.name())
        .repo(repository)
        .tag(tag)
        .pause(false);
    // The helper's labels would make the image look like a sandbox.
    let labels = Labels::from([(BASE.to_owned(), id.to_owned())]);
    if daemon.engine == Engine::Podman {
        options = options.changes(&podman::changes(&labels));
    }
    let options = options.build();
    let config = ContainerConfig { labels: Some(labels), ..Default::default() };
    daemon.docker.commit_container(options, config).await.map_err(|error| failed(what, error))?;
    helper.remove().await?;
    tracing::info!(image = derived, base = id, "init was added to an image");
    Ok(())
}

/// A container that never runs.
pub(crate) async fn helper(
    daemon: &Arc<Daemon>,
    image: &str,
    host_config: HostConfig,
) -> Result<Hold, DriverError> {
    let name = format!("skillbox-helper-{}", uuid::Uuid::new_v4().simple());
    let hold = daemon.hold(name, Vec::new())?;
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec![INIT.to_owned()]),
        labels: Some(daemon.owner.labels(PREPARATION)),
        host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..host_config }),
        ..Default::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(hold.name()).build();
    let created = daemon.docker.create_container(Some(options), body).await;
    let created = created.map_err(|error| failed("a container for preparing could not be made", error))?;
    hold.is_container(&created.id);
    Ok(hold)
}

/// What is added to an image, as a tar.
fn files(names: &[(&str, Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, mode: u32, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, bytes)
    };
    add(".skillbox/", tar::EntryType::Directory, 0o755, b"")?;
    add(".skillbox/init", tar::EntryType::Regular, 0o555, init_binary::INIT)?;
    add(".skillbox/bin/", tar::EntryType::Directory, 0o755, b"")?;
    add(".skillbox/bin/python", tar::EntryType::Regular, 0o755, provided::PYTHON.as_bytes())?;
    add(".skillbox/locked/", tar::EntryType::Directory, 0o700, b"")?;
    add(".skillbox/locked/skills/", tar::EntryType::Directory, 0o755, b"")?;
    for (path, text) in names {
        add(path, tar::EntryType::Regular, 0o644, text)?;
    }
    tar.into_inner()
}

#[cfg(test)]
mod tests {
    use bollard::models::ImageConfig;

    use super::*;

    #[test]
    fn a_missing_image_comes_with_the_command_that_makes_it() {
        assert!(missing("skillbox/slim").contains("`skillbox image build slim --format docker`"));
        assert!(missing("skillbox/office:1").contains("`skillbox image build office --format docker`"));
        assert!(missing("debian").contains("`docker pull debian`"));
    }

    #[test]
    fn images_that_would_break_a_promise_are_refused() {
        let with = |volumes: Vec<String>, architecture: &str| ImageInspect {
            architecture: Some(architecture.to_owned()),
            config: Some(ImageConfig { volumes: Some(volumes), ..Default::default() }),
            ..Default::default()
        };
        let ours = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        assert!(check("a", &with(Vec::new(), ours)).is_ok());
        let error = check("a", &with(vec!["/data".to_owned()], ours)).unwrap_err();
        assert!(error.message.contains("/data"), "{error}");
        assert!(check("a", &with(Vec::new(), "s390x")).unwrap_err().message.contains("s390x"));
    }

    #[test]
    fn another_image_has_another_tag() {
        assert_ne!(tag("sha256:a"), tag("sha256:b"));
        assert_eq!(tag("sha256:a"), tag("sha256:a"));
    }
}
