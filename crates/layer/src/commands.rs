//! The commands of packages, and what packages may not do to every Python program.
//!
//! Both tools write a package's commands with the path of the interpreter that they ran for, which is no business of a
//! sandbox, and each in another way. So they are written anew from what the packages say, and the scripts that packages
//! bring as files get an interpreter that is found on the path. In a sandbox they come after the system's own commands.
//!
//! Attack: `sitecustomize.py` and `usercustomize.py` are run by every Python that starts, whatever it was started for.
//! They are no packages, and go. The caller has seen that no link is in the tree.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::error::LayerError;

/// Bound on an `entry_points.txt`.
const MAX_ENTRY_POINTS: u64 = 1024 * 1024;

/// Bound on a script whose first line is looked at.
const MAX_SCRIPT: u64 = 16 * 1024 * 1024;

const INTERPRETER: &str = "#!/usr/bin/env python3";

/// Arranges what a tool has put into `site`: commands into `bin` below `content`, and what is nobody's away.
pub(crate) fn arrange(content: &Path, site: &Path) -> Result<(), LayerError> {
    if !site.is_dir() {
        return Ok(());
    }
    // uv leaves this file behind in a target directory.
    remove(&site.join(".lock"))?;
    for entry in entries(site)? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let module = name.split('.').next().unwrap_or_default();
        if matches!(module, "sitecustomize" | "usercustomize") {
            remove(&entry)?;
        }
    }
    let bin = content.join("bin");
    remove(&bin)?;
    let own = site.join("bin");
    if fs::symlink_metadata(&own).is_ok_and(|metadata| metadata.is_dir()) {
        fs::rename(&own, &bin).map_err(io_error("move", &own))?;
        free_scripts(&bin)?;
    }
    let commands = console_scripts(site)?;
    if commands.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(&bin).map_err(io_error("create", &bin))?;
    for (name, script) in commands {
        let path = bin.join(name);
        // Not through a link that a package has put there.
        remove(&path)?;
        fs::write(&path, script).map_err(io_error("write", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(io_error("change the mode of", &path))?;
    }
    Ok(())
}

/// Scripts that start with the path of a Python get one that is found on the path of the sandbox.
fn free_scripts(bin: &Path) -> Result<(), LayerError> {
    for path in entries(bin)? {
        if !fs::symlink_metadata(&path)
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_SCRIPT)
        {
            continue;
        }
        let text = fs::read(&path).map_err(io_error("read", &path))?;
        let Some(end) = text.iter().position(|byte| *byte == b'\n') else { continue };
        let first = String::from_utf8_lossy(&text[..end]);
        if text.starts_with(b"#!/bin/sh\n'''exec'") {
            // The form for interpreters with long paths: it has the path on its second line, and cannot work inside.
            remove(&path)?;
        } else if first.starts_with("#!") && first.contains("python") {
            let mut changed = INTERPRETER.as_bytes().to_vec();
            changed.extend_from_slice(&text[end..]);
            fs::write(&path, changed).map_err(io_error("write", &path))?;
        }
    }
    Ok(())
}

/// The commands that packages declare, with their scripts. Of two with the same name the first package's counts.
fn console_scripts(site: &Path) -> Result<BTreeMap<String, String>, LayerError> {
    let mut found = BTreeMap::new();
    let mut packages = entries(site)?;
    packages.sort();
    for package in
        packages.iter().filter(|path| path.extension().is_some_and(|extension| extension == "dist-info"))
    {
        let path = package.join("entry_points.txt");
        let sound = fs::symlink_metadata(&path)
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_ENTRY_POINTS);
        let text = if sound { fs::read(&path).map_err(io_error("read", &path))? } else { continue };
        for (name, script) in read(&String::from_utf8_lossy(&text)) {
            found.entry(name).or_insert(script);
        }
    }
    Ok(found)
}

fn read(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut counts = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if line.starts_with('[') {
            counts = matches!(line, "[console_scripts]" | "[gui_scripts]");
        } else if counts && let Some((name, target)) = line.split_once('=') {
            found.extend(script(name.trim(), target.trim()).map(|script| (name.trim().to_owned(), script)));
        }
    }
    found
}

/// Attack: a name or a target that is more than a name would become code or a path.
fn script(name: &str, target: &str) -> Option<String> {
    let target = target.split(['[', ' ']).next()?;
    let (module, attribute) = target.split_once(':')?;
    let is_dotted = |text: &str| {
        text.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with(|c: char| c.is_ascii_digit())
                && part.chars().all(|c| c.is_alphanumeric() || c == '_')
        })
    };
    let is_file = name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c));
    if !(is_file && is_dotted(module) && is_dotted(attribute)) {
        return None;
    }
    let first = attribute.split('.').next()?;
    Some(format!(
        "{INTERPRETER}\nimport sys\nfrom {module} import {first}\nif __name__ == \"__main__\":\n    sys.exit({attribute}())\n"
    ))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, LayerError> {
    let read = fs::read_dir(directory).map_err(io_error("list", directory))?;
    read.map(|entry| entry.map(|entry| entry.path()).map_err(io_error("list", directory))).collect()
}

/// Removes a file, link or directory that may be there.
fn remove(path: &Path) -> Result<(), LayerError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    removed.map_err(io_error("remove", path))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayerError {
    let path = path.to_owned();
    move |source| LayerError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_written_and_customizers_go() {
        let content = tempfile::tempdir().unwrap();
        let site = content.path().join("lib/python3.11/site-packages");
        let write = |name: &str, text: &str| {
            let path = site.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("bin/kit", "#!/home/someone/.venv/bin/python3\nold\n");
        write("bin/long", "#!/bin/sh\n'''exec' \"/home/someone/python3\" \"$0\" \"$@\"\n' '''\n");
        write("bin/file", "#!/home/someone/python3 -s\nprint(1)\n");
        write("bin/other", "#!/bin/sh\necho\n");
        write("sitecustomize.py", "evil");
        write("usercustomize/__init__.py", "evil");
        write("sitecustomize.cpython-311-x86_64-linux-gnu.so", "evil");
        write(
            "kit-1.0.dist-info/entry_points.txt",
            "[console_scripts]\nkit = kit.main:Run.go [extra]\n../evil = kit:x\nevil=kit:x();import os\n[other]\nno = kit:x\n",
        );
        arrange(content.path(), &site).unwrap();
        let mut names: Vec<_> = fs::read_dir(content.path().join("bin"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["file", "kit", "other"]);
        let read = |name: &str| fs::read_to_string(content.path().join("bin").join(name)).unwrap();
        assert!(
            read("kit").contains("from kit.main import Run\n") && read("kit").contains("sys.exit(Run.go())")
        );
        assert_eq!(read("file"), "#!/usr/bin/env python3\nprint(1)\n");
        assert_eq!(read("other"), "#!/bin/sh\necho\n");
        let mut left: Vec<_> = fs::read_dir(&site).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["kit-1.0.dist-info"]);
    }
}
