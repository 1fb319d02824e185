//! Fixes: shown as a diff, or written.
//!
//! Only folders are mended; a bundle is mended by mending its folder and packing it again.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path};

use similar::TextDiff;
use validate::Fixed;

use super::{counted, report::Report};
use crate::{
    error::CommandError,
    escape,
    exit::Exit,
    output::{self, BAD, DIM, GOOD, Output},
};

/// Shows what fixes would change.
pub(super) fn show(reports: &[Report], output: Output) -> Result<Exit, CommandError> {
    let mut text = String::new();
    let mut count = 0;
    for report in reports {
        let Some(fixed) = &report.fixed else { continue };
        count += fixed.count;
        for (file, (before, after)) in &fixed.texts {
            diff(&report.file(file), before, after, &mut text);
        }
        for (from, to) in &fixed.renames {
            text.push_str(&format!(
                "{DIM}rename{DIM:#} {} → {}\n",
                escape::line(&report.file(from)),
                escape::line(&report.file(to))
            ));
        }
        for file in &fixed.executables {
            text.push_str(&format!("{DIM}make executable{DIM:#} {}\n", escape::line(&report.file(file))));
        }
    }
    output::print(&text)?;
    output.note(&format!("{} can be fixed with `--fix`", counted(count, "finding")));
    Ok(if count > 0 { Exit::FINDINGS } else { Exit::OK })
}

fn diff(path: &str, before: &str, after: &str, text: &mut String) {
    let path = escape::line(path);
    let diff = TextDiff::from_lines(before, after);
    let mut unified = diff.unified_diff();
    let unified = unified.context_radius(2).header(&path, &path).to_string();
    for line in unified.lines() {
        let shown = escape::line(line);
        match line.as_bytes().first() {
            Some(b'+') => text.push_str(&format!("{GOOD}{shown}{GOOD:#}\n")),
            Some(b'-') => text.push_str(&format!("{BAD}{shown}{BAD:#}\n")),
            Some(b'@') => text.push_str(&format!("{DIM}{shown}{DIM:#}\n")),
            _ => text.push_str(&format!("{shown}\n")),
        }
    }
}

/// Writes what fixes change, and says how many findings that mends.
pub(super) fn write(reports: &[Report]) -> Result<usize, CommandError> {
    let mut count = 0;
    for report in reports {
        let Some(fixed) = &report.fixed else { continue };
        write_skill(&report.path, fixed)?;
        count += fixed.count;
    }
    Ok(count)
}

fn write_skill(folder: &Path, fixed: &Fixed) -> Result<(), CommandError> {
    for (file, (_, after)) in &fixed.texts {
        replace(folder, file, after).map_err(|error| failed(&folder.join(file), &error))?;
    }
    for (from, to) in &fixed.renames {
        fs::rename(folder.join(from), folder.join(to)).map_err(|error| failed(&folder.join(from), &error))?;
    }
    for file in &fixed.executables {
        let path = folder.join(file);
        let add = || -> std::io::Result<()> {
            let mut permissions = fs::metadata(&path)?.permissions();
            // Whoever may read it may run it.
            let mode = permissions.mode();
            permissions.set_mode(mode | (mode & 0o444) >> 2);
            fs::set_permissions(&path, permissions)
        };
        add().map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// Puts a new text in the place of a file: all of it or nothing, with the old file's mode. A link stays a link, and one that
/// was put there since and leads out of the folder is not followed.
fn replace(folder: &Path, file: &str, text: &str) -> std::io::Result<()> {
    let path = fs::canonicalize(folder.join(file))?;
    if !path.starts_with(fs::canonicalize(folder)?) {
        return Err(std::io::Error::other("it leads out of the skill"));
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(fs::metadata(&path)?.permissions())?;
    file.persist(&path)?;
    Ok(())
}

fn failed(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::io(format!("`{}` cannot be written", path.display()), error)
}
