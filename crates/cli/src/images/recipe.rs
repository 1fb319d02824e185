//! The recipe of the sandbox images, as it is in `images/` of the source tree: it works wherever the executable is.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use validate::Environment;

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

/// What programs find in the image called `name`; nothing where there is no recipe for it.
pub(crate) fn environment(name: &str) -> Environment {
    let parts: &[&str] = match name {
        "slim" => &["base", "slim"],
        "node" => &["base", "node"],
        "office" => &["base", "slim", "node", "office"],
        _ => return Environment::default(),
    };
    let mut environment = Environment::default();
    for part in parts {
        let lines = |file: &str| {
            let path = format!("{part}/{file}");
            let text = PARTS.iter().find(|(name, ..)| *name == path).map_or("", |(_, text, _)| *text);
            text.lines()
                .map(|line| line.split('#').next().unwrap_or_default().trim())
                .filter(|line| !line.is_empty())
        };
        let name = |line: &str| -> String {
            line.split(|character: char| !(character.is_ascii_alphanumeric() || "-_.".contains(character)))
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        environment
            .python_packages
            .extend(lines("python.in").map(name).filter(|name| !name.is_empty() && !name.starts_with('-')));
        environment.programs.extend(lines("debian.txt").flat_map(programs));
        let manifest = lines("package.json").collect::<String>();
        if let Ok(manifest) = serde_json::from_str::<serde_json::Value>(&manifest) {
            let dependencies = manifest["dependencies"].as_object();
            environment.node_packages.extend(dependencies.into_iter().flat_map(|all| all.keys().cloned()));
        }
    }
    environment
}

/// The programs of a Debian package, where they are not called like it.
fn programs(package: &str) -> Vec<String> {
    let names: &[&str] = match package {
        "poppler-utils" => {
            &["pdftotext", "pdftoppm", "pdfinfo", "pdfimages", "pdfunite", "pdfseparate", "pdftocairo"]
        }
        "tesseract-ocr" => &["tesseract"],
        "ghostscript" => &["gs", "ps2pdf"],
        "nodejs" => &["node", "nodejs"],
        "npm" => &["npm", "npx"],
        "libreoffice-writer-nogui" | "libreoffice-core-nogui" => &["soffice", "libreoffice"],
        "imagemagick" => &["convert", "identify", "mogrify", "magick"],
        "unzip" => &["unzip", "zipinfo"],
        "zip" => &["zip"],
        "procps" => &["ps", "pkill", "pgrep", "top", "free"],
        "xz-utils" => &["xz", "unxz"],
        other => return vec![other.to_owned()],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_environment_is_that_of_the_recipe() {
        let slim = environment("slim");
        for package in ["numpy", "qrcode", "pandas"] {
            assert!(slim.python_packages.iter().any(|name| name == package), "{package}");
        }
        for program in ["jq", "pdftotext", "git"] {
            assert!(slim.programs.iter().any(|name| name == program), "{program}");
        }
        let office = environment("office");
        assert!(office.programs.iter().any(|name| name == "soffice"), "{:?}", office.programs);
        assert!(office.node_packages.iter().any(|name| name == "docx"));
        assert!(environment("other").python_packages.is_empty());
    }

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
