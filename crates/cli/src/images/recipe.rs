//! The recipe of the sandbox images, as it is in `images/` of the source tree: it works wherever the executable is.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

/// One file: its name, its text, and whether it is a program.
type Part = (&'static str, &'static str, Mode);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Text,
    Program,
}

macro_rules! part {
    ($name:literal, $mode:ident) => {
        ($name, include_str!(concat!("../../../../images/", $name)), Mode::$mode)
    };
}

const PARTS: [Part; 17] = [
    part!("base/debian.txt", Text),
    part!("build.sh", Program),
    part!("Dockerfile", Text),
    part!("dpkg.cfg", Text),
    part!("finish.py", Text),
    part!("includes", Text),
    part!("node/debian.txt", Text),
    part!("node/package-lock.json", Text),
    part!("node/package.json", Text),
    part!("office/debian.txt", Text),
    part!("office/python.in", Text),
    part!("office/python.txt", Text),
    part!("parts.sh", Program),
    part!("purge.txt", Text),
    part!("slim/debian.txt", Text),
    part!("slim/python.in", Text),
    part!("slim/python.txt", Text),
];

/// Writes the recipe below a directory.
pub(crate) fn write(directory: &Path) -> io::Result<()> {
    for (name, text, mode) in PARTS {
        let path = directory.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text)?;
        if mode == Mode::Program {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn files(directory: &Path, top: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                files(&entry.path(), top, found);
            } else {
                found.insert(entry.path().strip_prefix(top).unwrap().display().to_string());
            }
        }
    }

    #[test]
    fn every_file_of_the_recipe_is_here() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images");
        let mut there = BTreeSet::new();
        files(&top, &top, &mut there);
        // Makes the locked lists anew; only somebody with the source tree does that.
        there.remove("lock.sh");
        let embedded: BTreeSet<String> = PARTS.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(embedded, there);
    }

    #[test]
    fn what_is_written_is_a_recipe_that_runs() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path()).unwrap();
        let said =
            std::process::Command::new(directory.path().join("parts.sh")).arg("images").output().unwrap();
        let names: Vec<String> = String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect();
        assert_eq!(names, crate::images::NAMES);
    }
}
