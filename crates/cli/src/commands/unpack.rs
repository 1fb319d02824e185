//! `skillbox unpack`: a bundle made into a folder to look at or to work in.
//!
//! The bundle is judged as a whole before the first byte is written, then unpacked beside its place, and moved there at
//! once. What never belongs to a skill is not kept: somebody will work in this folder, and a `.git` that a stranger
//! made runs programs.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::json;
use skill::{BundleError, BundleLimits, Digest, Skill, UnpackedBundle, unpack_bundle};

use crate::{
    args::Unpack,
    error::{CommandError, Kind},
    escape,
    exit::Exit,
    output::{self, DIM, Output},
    units::show_size,
};

pub(crate) fn execute(command: &Unpack, output: Output) -> Result<Exit, CommandError> {
    let shown = command.bundle.display();
    let unreadable = |error: &io::Error| CommandError::io(format!("cannot read `{shown}`"), error);
    let limits = BundleLimits::default();
    let bytes = read(&command.bundle, limits.max_bundle_bytes).map_err(|error| unreadable(&error))?;
    // Beside the place where it goes, so that moving it there is one step.
    let parent = match &command.output {
        Some(wanted) => prepare(wanted)?,
        None => PathBuf::from("."),
    };
    let mut unpacked =
        unpack_bundle(io::Cursor::new(&bytes), &parent, &limits).map_err(|error| refused(&error))?;
    let place = match &command.output {
        Some(wanted) => wanted.clone(),
        None => free(default_place(&unpacked)?)?,
    };
    let failed = |error: &io::Error| CommandError::io(format!("cannot write `{}`", place.display()), error);
    let foreign = unpacked.remove_foreign().map_err(|error| failed(&error))?;
    let files = unpacked.files().to_vec();
    let skill = Skill::from_directory(unpacked.root(), &skill::FolderLimits::default());
    let digest = match &skill {
        Ok(skill) => skill.digest().ok(),
        Err(_) => None,
    };
    let top = unpacked.top().map(str::to_owned);
    unpacked.persist(&place).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            occupied(&place)
        }
        _ => failed(&error),
    })?;
    for (path, reason) in &foreign {
        output.warn(&format!("`{}` is not kept: {reason}", escape::line(path)));
    }
    let total = files.iter().map(|file| file.size).sum();
    if output.json {
        let entries = files
            .iter()
            .map(|file| json!({"path": file.path, "size": file.size, "executable": file.executable}))
            .collect::<Vec<_>>();
        let not_kept = foreign
            .iter()
            .map(|(path, reason)| json!({"path": path, "reason": reason.code()}))
            .collect::<Vec<_>>();
        let mut document = json!({
            "schemaVersion": 1,
            "path": place.to_string_lossy(),
            "sha256": Digest::of(&bytes).to_string(),
            "files": entries,
            "notKept": not_kept,
        });
        if let Ok(skill) = &skill {
            document["slug"] = json!(skill.name().as_str());
        }
        if let Some(digest) = digest {
            document["digest"] = json!(digest.to_string());
        }
        if let Some(top) = top {
            document["topFolder"] = json!(top);
        }
        output.print_json(&document)?;
        return Ok(Exit::OK);
    }
    let mut text =
        format!("{}/  {} files, {}\n", escape::line(&place.to_string_lossy()), files.len(), show_size(total));
    for file in &files {
        let executable = if file.executable { "  executable" } else { "" };
        text.push_str(&format!(
            "  {}  {DIM}{}{executable}{DIM:#}\n",
            escape::line(&file.path),
            show_size(file.size)
        ));
    }
    output::print(&text)?;
    if skill.is_err() {
        let place = escape::line(&place.to_string_lossy());
        output.hint(&format!("this is not a valid skill; `skillbox validate {place}` says why"));
    }
    Ok(Exit::OK)
}

/// The whole bundle, unless it is larger than any that is taken; then enough of it to say so.
fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let file = fs::File::open(path)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn refused(error: &BundleError) -> CommandError {
    let Some(code) = error.rule().map(skill::Rule::code) else {
        return CommandError::of(Kind::User, "IO", error);
    };
    let mut new = CommandError::of(Kind::Refused, code, error);
    new.message = format!("the bundle is refused [{code}]: {}", new.message);
    match error.help() {
        Some(help) => new.hint(help),
        None => new,
    }
}

/// Makes sure that the place is free, and gives the directory that it is in.
fn prepare(place: &Path) -> Result<PathBuf, CommandError> {
    let here = |path: &Path| {
        std::env::current_dir().is_ok_and(|here| path.canonicalize().is_ok_and(|path| path == here))
    };
    if here(place) {
        let message = "the current directory cannot be replaced by a skill's folder";
        return Err(CommandError::usage(message).hint("name a folder in it: `-o NAME`"));
    }
    if place.file_name().is_none() {
        return Err(CommandError::usage(format!("`{}` does not name a folder", place.display())));
    }
    free(place.to_owned())?;
    let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(parent.to_owned())
}

/// The place itself, if nothing or an empty directory is there.
fn free(place: PathBuf) -> Result<PathBuf, CommandError> {
    match fs::symlink_metadata(&place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(place),
        Err(error) => Err(CommandError::io(format!("cannot look at `{}`", place.display()), &error)),
        Ok(metadata) => {
            let empty =
                metadata.is_dir() && fs::read_dir(&place).is_ok_and(|mut entries| entries.next().is_none());
            if empty { Ok(place) } else { Err(occupied(&place)) }
        }
    }
}

fn occupied(place: &Path) -> CommandError {
    CommandError::new(Kind::User, "EXISTS", format!("`{}` already exists", place.display()))
        .hint("name another folder with `-o`; nothing is ever unpacked over something else")
}

/// The skill's name; where it has none, what its top folder is called.
fn default_place(unpacked: &UnpackedBundle) -> Result<PathBuf, CommandError> {
    match Skill::from_directory(unpacked.root(), &skill::FolderLimits::default()) {
        // Read from the fresh directory, `skill`, so a name that comes from the directory is no name.
        Ok(skill) if skill.frontmatter().name() == Some(skill.name().as_str()) => {
            Ok(PathBuf::from(skill.name().as_str()))
        }
        // A stranger's bundle does not decide on a hidden name.
        _ => unpacked.top().filter(|top| !top.starts_with('.')).map(PathBuf::from).ok_or_else(|| {
            CommandError::new(Kind::User, "USAGE", "the bundle does not say how its skill is called")
                .hint("name the folder with `-o`")
        }),
    }
}
