//! Sandbox images of this user: where they are kept, and how `--rootfs slim` finds one.
//!
//! ```text
//!   <data>/skillbox/images/slim/<digest>/rootfs          a root directory
//!                                       /packages.json   what is in it
//!                              /current                  a link to the newest <digest>
//! ```
//!
//! A build never changes a directory that is there: running sandboxes may have it as their root. It makes another one
//! beside it and moves the link.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    args::{DriverName, Global},
    error::{CommandError, Kind},
    options, sandboxes,
};

pub(crate) mod recipe;

/// The images that there is a recipe for.
pub(crate) const NAMES: [&str; 3] = ["slim", "node", "office"];

const CURRENT: &str = "current";
pub(crate) const ROOT: &str = "rootfs";
pub(crate) const PACKAGES: &str = "packages.json";
/// How many builds of an image are kept beside the newest, for runners that still use one.
const KEPT: usize = 1;

/// A root directory in the store.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) digest: String,
    pub(crate) root: PathBuf,
    pub(crate) contents: Contents,
}

/// What is looked at of an image's list of packages.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Contents {
    pub(crate) python: Language,
    pub(crate) node: Option<Language>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Language {
    pub(crate) version: String,
    pub(crate) packages: Vec<serde_json::Value>,
}

impl Contents {
    pub(crate) fn read(file: &Path) -> Result<Self, CommandError> {
        let unreadable = || format!("`{}` cannot be read", file.display());
        let text = fs::read(file).map_err(|error| CommandError::io(unreadable(), &error))?;
        serde_json::from_slice(&text).map_err(|error| CommandError::of(Kind::Internal, "IMAGE", &error))
    }
}

/// Where images are kept.
pub(crate) fn store() -> Result<PathBuf, CommandError> {
    options::data_directory().map(|data| data.join("images")).ok_or_else(|| {
        CommandError::new(Kind::Configuration, "NO_PLACE", "there is no place for images")
            .hint("set XDG_DATA_HOME or HOME to an absolute path, or say where with `--output`")
    })
}

/// The root directory that `--rootfs` means: a path, or the name of an image that was built here.
pub(crate) fn root(given: &Path) -> Result<PathBuf, CommandError> {
    let mut parts = given.components();
    let name = match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) if !given.is_dir() => name.to_string_lossy().into_owned(),
        _ => return sandboxes::absolute(given),
    };
    // The directory itself and not the link, which the next build moves.
    if let Ok(root) = fs::canonicalize(store()?.join(&name).join(CURRENT).join(ROOT)) {
        return Ok(root);
    }
    let message = format!("there is no directory and no image `{name}`");
    let error = CommandError::new(Kind::Configuration, "NOT_FOUND", message);
    Err(if NAMES.contains(&name.as_str()) {
        error.hint(format!("build the image with `skillbox image build {name}`"))
    } else {
        error.hint(format!("name a root directory, or one of the images {}", NAMES.join(", ")))
    })
}

/// The image of the sandboxes that the options ask for, if there is a recipe for it.
pub(crate) fn asked_for(global: &Global) -> Option<&'static str> {
    let image = match (global.driver, &global.rootfs) {
        (DriverName::Docker, _) => global.image.strip_prefix("skillbox/").map(str::to_owned),
        (DriverName::Native, Some(root)) => root.to_str().map(str::to_owned),
        // The host's own programs: no two hosts are alike, and production is another one.
        (DriverName::Native, None) => None,
    };
    NAMES.into_iter().find(|name| Some(*name) == image.as_deref())
}

/// What programs find in the image called so, as its recipe says; nothing is known of another one.
pub(crate) fn environment(image: Option<&str>) -> validate::Environment {
    recipe::environment(image.unwrap_or_default())
}

/// The newest build of each image, by name.
pub(crate) fn list() -> Result<Vec<Stored>, CommandError> {
    let store = store()?;
    let entries = match fs::read_dir(&store) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(CommandError::io(format!("`{}` cannot be read", store.display()), &error));
        }
    };
    let mut found = Vec::new();
    for entry in entries.filter_map(Result::ok) {
        let Ok(directory) = fs::canonicalize(entry.path().join(CURRENT)) else { continue };
        let (Some(digest), Ok(name)) = (directory.file_name(), entry.file_name().into_string()) else {
            continue;
        };
        let contents = Contents::read(&directory.join(PACKAGES))?;
        let digest = digest.to_string_lossy().replacen('-', ":", 1);
        found.push(Stored { name, digest, root: directory.join(ROOT), contents });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Puts a directory with a root directory and its list into the store, and makes it the current one. Returns the root.
pub(crate) fn put(name: &str, digest: &str, made: &Path) -> io::Result<PathBuf> {
    let image = made.parent().ok_or(io::ErrorKind::NotFound)?;
    // A colon is what separates paths in many places.
    let target = image.join(digest.replacen(':', "-", 1));
    if target.exists() {
        // The same bytes are there already, and somebody may be using them.
        fs::remove_dir_all(made)?;
    } else {
        fs::rename(made, &target)?;
    }
    let link = image.join(".current-new");
    _ = fs::remove_file(&link);
    symlink(target.file_name().ok_or(io::ErrorKind::NotFound)?, &link)?;
    fs::rename(&link, image.join(CURRENT))?;
    remove_old(image, &target)?;
    tracing::debug!(image = name, digest, "stored");
    Ok(target.join(ROOT))
}

/// Removes all builds but the current one and those before it that may still be in use.
fn remove_old(image: &Path, current: &Path) -> io::Result<()> {
    let mut old = Vec::new();
    for entry in fs::read_dir(image)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.path() != current && !is_hidden(&entry.path()) {
            old.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    old.sort();
    let gone = old.len().saturating_sub(KEPT);
    old.iter().take(gone).try_for_each(|(_, path)| fs::remove_dir_all(path))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(image: &Path, mark: &str) -> PathBuf {
        let made = image.join(".building-x");
        fs::create_dir_all(made.join(ROOT)).unwrap();
        fs::write(made.join(ROOT).join("mark"), mark).unwrap();
        made
    }

    #[test]
    fn a_build_leaves_the_one_before_and_moves_the_link() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("slim");
        for mark in ["1", "2", "3", "3"] {
            let root = put("slim", &format!("sha256:{mark}"), &make(&image, mark)).unwrap();
            assert_eq!(fs::read_to_string(root.join("mark")).unwrap(), mark);
            assert_eq!(
                fs::canonicalize(image.join(CURRENT)).unwrap(),
                fs::canonicalize(root.parent().unwrap()).unwrap()
            );
        }
        let mut left: Vec<_> =
            fs::read_dir(&image).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["current", "sha256-2", "sha256-3"]);
    }

    #[test]
    fn a_path_is_a_path_and_a_name_must_be_known() {
        assert_eq!(root(Path::new("/nowhere")).unwrap(), Path::new("/nowhere"));
        assert!(root(Path::new("./slim")).unwrap().ends_with("slim"));
        let error = root(Path::new("not-an-image")).unwrap_err();
        assert!(error.hint.unwrap().contains("slim, node, office"));
    }
}
