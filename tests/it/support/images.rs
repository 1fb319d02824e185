//! Sandbox images for tests: built by `skillbox image build`, once for a state of the recipe and a day, since Debian's
//! packages move on.

use std::{
    env,
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use super::skillbox::{self, repository};

/// An image that is there.
pub(crate) struct Image {
    name: &'static str,
    /// Where it is kept: what `XDG_DATA_HOME` has to be to find it.
    data: PathBuf,
}

/// The image, built where it is not there yet.
pub(crate) fn built(name: &'static str) -> Image {
    let image = Image { name, data: place(name) };
    fs::create_dir_all(&image.data).unwrap();
    // Other runs of these tests on this machine wait here.
    let lock = File::create(image.data.join("lock")).unwrap();
    lock.lock().unwrap();
    if !is_there(name) {
        remove_old(name);
        image.build();
    }
    image
}

/// Whether the image is there without building it.
pub(crate) fn is_there(name: &str) -> bool {
    place(name).join("skillbox/images").join(name).join("current").exists()
}

/// A directory for each state of the recipe and each day.
fn place(name: &str) -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap()).join(".cache"));
    let mut hasher = DefaultHasher::new();
    let mut files = Vec::new();
    collect(&repository().join("images"), &mut files);
    for file in files {
        file.hash(&mut hasher);
        fs::read(&file).unwrap().hash(&mut hasher);
    }
    let days = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / (24 * 3600);
    cache.join(format!("skillbox-test/images/{name}-{:016x}-{days}", hasher.finish()))
}

/// Removes images of earlier recipes and days. Another run may be using one of today's or yesterday's.
fn remove_old(name: &str) {
    const OLD: Duration = Duration::from_secs(2 * 24 * 3600);
    let here = place(name);
    for entry in fs::read_dir(here.parent().unwrap()).unwrap().map(Result::unwrap) {
        let is_same_image = entry.file_name().to_str().unwrap().starts_with(&format!("{name}-"));
        let age = entry.metadata().unwrap().modified().unwrap().elapsed().unwrap_or_default();
        if is_same_image && age > OLD {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

impl Image {
    /// `skillbox` that knows this image by its name.
    pub(crate) fn skillbox(&self) -> Command {
        let mut command = skillbox::command();
        command.env("XDG_DATA_HOME", &self.data).current_dir(&self.data);
        command
    }

    /// `skillbox` whose sandboxes have this image.
    pub(crate) fn with_rootfs(&self) -> Command {
        let mut command = self.skillbox();
        command.args(["--rootfs", self.name]);
        command
    }

    /// Builds it anew; the one before is kept.
    pub(crate) fn build(&self) -> Value {
        let output = self.skillbox().args(["--json", "image", "build", self.name]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{said}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What `image ls` says of it.
    pub(crate) fn listed(&self) -> Value {
        let output = self.skillbox().args(["--json", "image", "ls"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut images = list["images"].as_array().unwrap().iter();
        let found = images.find(|image| image["image"] == self.name && image["format"] == "directory");
        found.unwrap_or_else(|| panic!("{} is not in {list}", self.name)).clone()
    }

    /// Its root directory.
    pub(crate) fn root(&self) -> PathBuf {
        PathBuf::from(self.listed()["place"].as_str().unwrap())
    }

    /// What it says is in it.
    pub(crate) fn packages(&self) -> Value {
        let text = fs::read(self.root().join("usr/share/skillbox/packages.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Runs code in a sandbox with this image; it must succeed. Returns what it printed.
    #[track_caller]
    pub(crate) fn code(&self, language: &str, code: &str, args: &[&str]) -> String {
        let mut command = self.with_rootfs();
        command.args(["code", "-l", language, "-c", code]).args(args);
        let output = command.output().unwrap();
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{code}: {}\n{said}{told}", output.status);
        said.into_owned()
    }
}
