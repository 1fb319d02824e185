//! `skillbox pack`: a skill's folder made into a bundle.
//!
//! What is packed and how is in the library. Here is what happens around it: the skill has to be without errors, the file
//! appears whole or not at all, and nothing is replaced that was not asked for.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use skill::{
    BundleLimits, Diagnostic, Draft, GitIgnore, Layout, Links, LoadError, PackError, PackOptions, Packed,
    Reason, Severity, SkillName, TestFiles,
};

use crate::{
    args::{BundleLayout, FollowLinks, Pack},
    error::{CommandError, Kind},
    escape,
    exit::Exit,
    output::{self, DIM, Output},
    skills,
    units::show_size,
};

/// The most bytes of a `SKILL.md` whose name is read; validation refuses larger ones.
const MAX_SKILL_FILE: u64 = 1024 * 1024;

/// What is to be written there, or was there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// It is there now.
    New,
    /// It was there, byte for byte.
    Unchanged,
    /// Nothing was to be written.
    DryRun,
}

pub(crate) fn execute(command: &Pack, output: Output) -> Result<Exit, CommandError> {
    let path = command.path.clone().unwrap_or_else(skills::here);
    let root = root(&path)?;
    let name = name(&root, &path)?;
    if let Some(directory) = root.file_name().filter(|directory| *directory != name.as_str()) {
        let directory = escape::line(&directory.to_string_lossy());
        output.warn(&format!(
            "the folder is called `{directory}`; the bundle is named after the skill, `{name}`"
        ));
    }
    let target = target(command.output.as_deref(), &name);
    let options = PackOptions {
        layout: match command.layout {
            BundleLayout::Wrapped => Layout::Wrapped,
            BundleLayout::Flat => Layout::Flat,
        },
        tests: if command.include_tests { TestFiles::Include } else { TestFiles::LeaveOut },
        links: match command.follow_symlinks {
            Some(FollowLinks::Inside) => Links::CopyInside,
            None => Links::Refuse,
        },
        gitignore: if command.gitignore { GitIgnore::Obey } else { GitIgnore::Disregard },
        time: time(std::env::var_os("SOURCE_DATE_EPOCH"))?,
        output: Some(target.clone()),
    };
    let packed = skill::pack(&root, &name, &options, &BundleLimits::default())?;
    validate_bundle(&packed, &path)?;
    let written =
        if command.dry_run { Written::DryRun } else { write(&target, &packed.bytes, command.force)? };
    if output.json {
        output.print_json(&document(&name, &packed, &target, command.layout, written))?;
    } else {
        output::print(&text(&packed, &target))?;
        match written {
            Written::New => {}
            Written::Unchanged => output.note("the file was there already, byte for byte"),
            Written::DryRun => output.note("nothing was written"),
        }
    }
    Ok(Exit::OK)
}

/// The canonical folder of the skill. A `SKILL.md` stands for the folder that it is named in, also where it is a link.
fn root(path: &Path) -> Result<PathBuf, CommandError> {
    let missing = |source| CommandError::from(LoadError::Io { path: path.to_owned(), source });
    let is_skill_file = path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("SKILL.md"));
    let folder = match path.parent() {
        _ if fs::metadata(path).map_err(missing)?.is_dir() => path,
        Some(parent) if is_skill_file && parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) if is_skill_file => parent,
        _ => {
            return Err(CommandError::usage(format!("`{}` is no folder of a skill", path.display()))
                .hint("`skillbox unpack` makes a folder of a bundle"));
        }
    };
    fs::canonicalize(folder).map_err(missing)
}

/// The name that `SKILL.md` gives. Nothing else is read, since it is not known yet what ships.
fn name(root: &Path, shown: &Path) -> Result<SkillName, CommandError> {
    let unreadable =
        |error: &io::Error| CommandError::io(format!("cannot read `{}`", shown.display()), error);
    let mut files = Vec::new();
    for entry in fs::read_dir(root).map_err(|error| unreadable(&error))? {
        let entry = entry.map_err(|error| unreadable(&error))?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let metadata = entry.metadata().map_err(|error| unreadable(&error))?;
        if !matches!(name.as_str(), "SKILL.md" | "skill.md") {
            // Only its name counts: it may be a misspelled one.
            files.push((name, Vec::new()));
        } else if !metadata.is_file() {
            let message = format!("`{name}` is a link or something else that is no file");
            return Err(CommandError::new(Kind::Refused, "PACK_REFUSED", message)
                .hint("put a copy of the file in its place"));
        } else if metadata.len() > MAX_SKILL_FILE {
            let message = format!("`{name}` has more than {MAX_SKILL_FILE} bytes");
            return Err(CommandError::new(Kind::Refused, "SKILL_INVALID", message)
                .hint("move details into files in `references/`"));
        } else {
            files.push((name, fs::read(entry.path()).map_err(|error| unreadable(&error))?));
        }
    }
    let directory = root.file_name().and_then(|name| name.to_str());
    let skill = Draft::from_files(files, directory).and_then(Draft::into_skill);
    skill.map(|skill| skill.name().clone()).map_err(|error| match error {
        LoadError::Invalid { diagnostics } => refused(&diagnostics, shown),
        other => CommandError::from(other),
    })
}

/// Makes sure that what is handed out has no errors: the bundle itself is validated, and not the folder, so a file that is
/// needed and does not ship is missed here. The only place that knows how skills are validated.
fn validate_bundle(packed: &Packed, path: &Path) -> Result<(), CommandError> {
    let draft = Draft::from_bundle(io::Cursor::new(&packed.bytes), &BundleLimits::default())?;
    let found = validate::check(&draft, &validate::Options::default());
    if found.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(refused(&found, path));
    }
    Ok(())
}

fn refused(found: &[Diagnostic], path: &Path) -> CommandError {
    let errors = found.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    let mut error = CommandError::new(Kind::Refused, "SKILL_INVALID", "a skill with errors is not packed");
    error.causes = errors.map(ToString::to_string).collect();
    error.hint(format!("`skillbox validate {}` shows everything", path.display()))
}

impl From<PackError> for CommandError {
    fn from(error: PackError) -> Self {
        if !error.is_refusal() {
            return Self::of(Kind::User, "IO", &error);
        }
        let new = Self::of(Kind::Refused, error.rule().map_or("PACK_REFUSED", skill::Rule::code), &error);
        match error.help() {
            Some(help) if help.contains("links") => new.hint(format!(
                "{help}, or use `--follow-symlinks inside` for links to files of the same skill"
            )),
            Some(help) => new.hint(help),
            None => new,
        }
    }
}

/// Where the bundle goes.
fn target(wanted: Option<&Path>, name: &SkillName) -> PathBuf {
    let file = format!("{name}.skill");
    match wanted {
        Some(directory) if directory.is_dir() => directory.join(file),
        Some(path) => path.to_owned(),
        None => PathBuf::from(file),
    }
}

/// The time of all entries, in seconds since 1970.
fn time(epoch: Option<OsString>) -> Result<u64, CommandError> {
    let Some(epoch) = epoch.filter(|epoch| !epoch.is_empty()) else { return Ok(0) };
    epoch.to_str().and_then(|epoch| epoch.parse().ok()).ok_or_else(|| {
        let shown = escape::line(&epoch.to_string_lossy());
        CommandError::usage(format!(
            "SOURCE_DATE_EPOCH must be a number of seconds since 1970, not `{shown}`"
        ))
    })
}

/// Writes the bundle beside its place and renames it, so that there is never half of one.
fn write(path: &Path, bytes: &[u8], force: bool) -> Result<Written, CommandError> {
    let failed = |error: &io::Error| CommandError::io(format!("cannot write `{}`", path.display()), error);
    let there = || {
        let message = format!("`{}` already exists with different contents", path.display());
        CommandError::new(Kind::User, "EXISTS", message).hint("`--force` replaces it")
    };
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            if metadata.len() == bytes.len() as u64 && fs::read(path).is_ok_and(|found| found == bytes) {
                return Ok(Written::Unchanged);
            }
            if !force {
                return Err(there());
            }
        }
        // A rename would put a file in place of a device or a link.
        Ok(_) => return Err(CommandError::usage(format!("`{}` is no ordinary file", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(&error)),
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".pack-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .map_err(|error| failed(&error))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(|error| failed(&error))?;
    // What appeared there meanwhile is not ours to replace.
    let done = if force { file.persist(path) } else { file.persist_noclobber(path) };
    match done {
        Ok(_) => Ok(Written::New),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(there()),
        Err(error) => Err(failed(&error.error)),
    }
}

fn document(
    name: &SkillName,
    packed: &Packed,
    target: &Path,
    layout: BundleLayout,
    written: Written,
) -> Value {
    let files = packed
        .files
        .iter()
        .map(|file| json!({"path": file.path, "size": file.size, "executable": file.executable}));
    let left_out = packed.left_out.iter().map(
        |left| json!({"path": left.path, "reason": left.reason.code(), "message": left.reason.to_string()}),
    );
    json!({
        "schemaVersion": 1,
        "path": target.to_string_lossy(),
        "slug": name.as_str(),
        "layout": match layout {
            BundleLayout::Wrapped => "wrapped",
            BundleLayout::Flat => "flat",
        },
        "written": match written {
            Written::New => "new",
            Written::Unchanged => "unchanged",
            Written::DryRun => "no",
        },
        "size": packed.bytes.len(),
        "sha256": packed.sha256.to_string(),
        "digest": packed.digest.to_string(),
        "files": files.collect::<Vec<_>>(),
        "leftOut": left_out.collect::<Vec<_>>(),
    })
}

fn text(packed: &Packed, target: &Path) -> String {
    let size = show_size(packed.bytes.len() as u64);
    let unpacked = show_size(packed.files.iter().map(|file| file.size).sum());
    let mut text = format!("{}  {size}\n", escape::line(&target.to_string_lossy()));
    let files = match packed.files.len() {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    for (name, value) in [
        ("files", format!("{files}, {unpacked} unpacked")),
        ("sha256", packed.sha256.to_string()),
        ("digest", packed.digest.to_string()),
    ] {
        text.push_str(&format!("  {DIM}{name:<8}{DIM:#}{value}\n"));
    }
    if !packed.left_out.is_empty() {
        text.push_str("left out\n");
    }
    for left in &packed.left_out {
        let how = if left.reason == Reason::Tests { "; --include-tests takes them along" } else { "" };
        let reason = escape::line(&left.reason.to_string());
        text.push_str(&format!("  {}  {DIM}{reason}{how}{DIM:#}\n", escape::line(&left.path)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_a_number_or_a_mistake() {
        let time = |text: &str| time(Some(text.into()));
        assert_eq!(time("1735689600"), Ok(1_735_689_600));
        assert_eq!(time(""), Ok(0));
        for text in ["yesterday", "-1", "1.5", " 1"] {
            assert_eq!(time(text).unwrap_err().kind, Kind::User, "{text}");
        }
    }

    #[test]
    fn only_what_is_the_same_or_may_be_replaced_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.skill");
        assert_eq!(write(&path, b"one", false), Ok(Written::New));
        assert_eq!(write(&path, b"one", false), Ok(Written::Unchanged));
        assert_eq!(write(&path, b"two", false).unwrap_err().code, "EXISTS");
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(write(&path, b"two", true), Ok(Written::New));
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("a.skill", &link).unwrap();
        assert_eq!(write(&link, b"x", true).unwrap_err().code, "USAGE");
        assert_eq!(write(Path::new("/dev/null"), b"x", true).unwrap_err().code, "USAGE");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing else is left");
    }
}
