//! The judgement on a bundle's entries: names, kinds, declared sizes, and which of them is `SKILL.md`.
//!
//! Pure: it sees only what the directory says, and gives back a plan of what to write where.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization as _;

use super::{
    BundleLimits,
    error::{BundleError, EntryName, NotRegular, PathProblem},
    layout::Entry,
};
use crate::{ignored::is_sample, name::is_windows_device};

/// What to unpack, and from where.
#[derive(Debug)]
pub(super) struct Plan {
    /// In the order of the file.
    pub(super) entries: Vec<PlannedEntry>,
    /// The name of the only top folder, when the skill is in one.
    pub(super) top: Option<String>,
}

/// An entry that passed.
#[derive(Debug)]
pub(super) struct PlannedEntry {
    pub(super) entry: Entry,
    pub(super) deflated: bool,
    /// Where to write, relative to the skill's root; `None` for what operating systems add.
    pub(super) path: Option<String>,
    pub(super) directory: bool,
    pub(super) executable: bool,
}

/// Judges all entries.
pub(super) fn plan(entries: Vec<Entry>, limits: &BundleLimits) -> Result<Plan, BundleError> {
    let mut named = Vec::with_capacity(entries.len());
    for entry in &entries {
        let name = entry_name(entry)?;
        let directory = name.ends_with('/');
        // A lone `/` keeps its slash, so that it is seen as absolute.
        let path = name.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(&name).to_owned();
        check_path(&path, limits)?;
        check_kind(entry, directory)?;
        if !matches!(entry.method, 0 | 8) {
            return Err(BundleError::Method { name: entry.name(), method: entry.method });
        }
        named.push((path, directory));
    }
    check_collisions(&named)?;
    check_sizes(&entries, limits)?;
    let top = find_skill(&named)?;
    let entries = entries
        .into_iter()
        .zip(named)
        .map(|(entry, (path, directory))| {
            let path = (!is_junk(&path)).then_some(path).and_then(|path| match &top {
                None => Some(path),
                Some(top) => path.strip_prefix(top)?.strip_prefix('/').map(str::to_owned),
            });
            let executable = entry.attributes >> 16 & 0o111 != 0;
            PlannedEntry { deflated: entry.method == 8, entry, path, directory, executable }
        })
        .collect();
    Ok(Plan { entries, top })
}

/// The name as text. Bytes that are UTF-8 are taken for it, marked or not: `zip` on Linux writes them without the mark. Of
/// anything else nobody knows which of many code pages is meant.
fn entry_name(entry: &Entry) -> Result<String, BundleError> {
    match std::str::from_utf8(&entry.raw_name) {
        Ok(name) => Ok(name.to_owned()),
        Err(_) => Err(BundleError::NameEncoding { name: entry.name() }),
    }
}

fn check_path(path: &str, limits: &BundleLimits) -> Result<(), BundleError> {
    let problem = |problem| Err(BundleError::Path { name: EntryName::from(path), problem });
    let too_long = |what, limit| Err(BundleError::PathTooLong { name: EntryName::from(path), what, limit });
    // An absolute path replaces the directory it is joined to.
    if path.starts_with('/') {
        return problem(PathProblem::Absolute);
    }
    // A separator on Windows only: one name here, a traversal there.
    if path.contains('\\') {
        return problem(PathProblem::Backslash);
    }
    // `C:x` is on another drive, `a:b` is a hidden stream of `a`.
    if path.contains(':') {
        return problem(PathProblem::Colon);
    }
    // NUL cuts names in C, escapes repaint terminals, bidirectional marks make `exe.md` of `dm.exe`.
    if path.chars().any(|character| {
        character.is_control()
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    }) {
        return problem(PathProblem::Control);
    }
    if path.len() > limits.max_path_bytes {
        return too_long("its length in bytes", limits.max_path_bytes);
    }
    for (index, component) in path.split('/').enumerate() {
        match component {
            "" => return problem(PathProblem::Empty),
            // The classic way out: `../../etc/cron.d/x`.
            "." | ".." => return problem(PathProblem::Dots),
            _ => {}
        }
        // Windows drops these, so `a.` overwrites `a`.
        if component.ends_with(['.', ' ']) {
            return problem(PathProblem::TrailingDotOrSpace);
        }
        if is_windows_device(component) {
            return problem(PathProblem::Device);
        }
        if component.len() > limits.max_component_bytes {
            return too_long("a part in bytes", limits.max_component_bytes);
        }
        if index >= limits.max_depth {
            return too_long("its depth", limits.max_depth);
        }
    }
    Ok(())
}

/// Links are how a later entry is written outside, or a file of the host read; so the mode is looked at whatever system the
/// entry says it comes from, since some readers do not look at that.
fn check_kind(entry: &Entry, directory: bool) -> Result<(), BundleError> {
    const DOS_DIRECTORY: u32 = 0x10;
    const DOS_REPARSE_POINT: u32 = 0x400;
    let refuse = |kind| Err(BundleError::NotRegular { name: entry.name(), kind });
    match (entry.attributes >> 16 & 0o170_000, directory) {
        (0, _) | (0o040_000, true) | (0o100_000, false) => {}
        (0o120_000, _) => return refuse(NotRegular::Symlink),
        (0o040_000, false) | (0o100_000, true) => return refuse(NotRegular::Ambiguous),
        _ => return refuse(NotRegular::Special),
    }
    if entry.attributes & DOS_REPARSE_POINT != 0 {
        return refuse(NotRegular::Symlink);
    }
    if entry.attributes & DOS_DIRECTORY != 0 && !directory {
        return refuse(NotRegular::Ambiguous);
    }
    if directory && entry.size != 0 {
        return refuse(NotRegular::DirectoryWithContent);
    }
    Ok(())
}

/// Which readers win when two entries have one name differs; on case-folding systems, that holds for `a` and `A` as well, and
/// for the spellings of `é`. Directories count too, also those that only appear in longer paths.
fn check_collisions(named: &[(String, bool)]) -> Result<(), BundleError> {
    /// What is known of a folded path: its spelling, whether it is a directory, whether an entry names it.
    struct Known<'a> {
        path: &'a str,
        directory: bool,
        named: bool,
    }
    let mut seen: HashMap<String, Known<'_>> = HashMap::with_capacity(named.len());
    for (path, directory) in named {
        let parents = path.match_indices('/').map(|(end, _)| (&path[..end], true, false));
        for (path, directory, named) in parents.chain([(path.as_str(), *directory, true)]) {
            let Some(known) = seen.get_mut(&fold(path)) else {
                seen.insert(fold(path), Known { path, directory, named });
                continue;
            };
            if known.path != path {
                return Err(BundleError::Collision { first: known.path.into(), second: path.into() });
            }
            // Where the file came first, making the directory fails or replaces it, by reader.
            if known.directory != directory {
                return Err(BundleError::FileAsDirectory { name: path.into() });
            }
            if known.named && named {
                return Err(BundleError::Duplicate { name: path.into() });
            }
            known.named |= named;
        }
    }
    Ok(())
}

/// The same for all spellings that some file system takes for one name.
fn fold(path: &str) -> String {
    // Up and down again, so that `ß` and `SS`, `ſ` and `s` meet.
    path.nfkc().collect::<String>().to_uppercase().to_lowercase().nfkc().collect()
}

fn check_sizes(entries: &[Entry], limits: &BundleLimits) -> Result<(), BundleError> {
    let bomb = |size: u64, compressed: u64| {
        size > limits.ratio_floor && size > compressed.saturating_mul(limits.max_ratio)
    };
    let (mut size, mut compressed) = (0_u64, 0_u64);
    for entry in entries {
        if entry.size > limits.max_file_bytes {
            return Err(BundleError::FileTooLarge {
                name: entry.name(),
                size: entry.size,
                limit: limits.max_file_bytes,
            });
        }
        if bomb(entry.size, entry.compressed) {
            return Err(BundleError::Ratio { what: entry.name(), limit: limits.max_ratio });
        }
        size = size.saturating_add(entry.size);
        compressed = compressed.saturating_add(entry.compressed);
        if size > limits.max_total_bytes {
            return Err(BundleError::TotalTooLarge { size, limit: limits.max_total_bytes });
        }
    }
    // Two thousand files just below the floor are a bomb as well.
    if bomb(size, compressed) {
        return Err(BundleError::Ratio { what: "the bundle".into(), limit: limits.max_ratio });
    }
    Ok(())
}

/// Finds the folder that `SKILL.md` is in: the root, or the only top folder. Further ones are files like any other only
/// where samples are kept; anywhere else two readers could see two skills.
fn find_skill(named: &[(String, bool)]) -> Result<Option<String>, BundleError> {
    let wanted = || named.iter().filter(|(path, _)| !is_junk(path));
    let mut found: Vec<&str> = wanted()
        .filter(|(path, directory)| {
            !directory && path.rsplit('/').next().is_some_and(|name| name.eq_ignore_ascii_case("SKILL.md"))
        })
        .map(|(path, _)| path.as_str())
        .collect();
    found.sort_unstable_by_key(|path| (path.matches('/').count(), *path));
    let Some((path, others)) = found.split_first() else { return Err(BundleError::SkillFileMissing) };
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let inside = |other: &str| match folder {
        "" => Some(other.to_owned()),
        folder => Some(other.strip_prefix(folder)?.strip_prefix('/')?.to_owned()),
    };
    if !others.iter().all(|other| inside(other).is_some_and(|inner| is_sample(&inner))) {
        return Err(BundleError::SeveralSkillFiles {
            paths: found.iter().copied().map(EntryName::from).collect(),
        });
    }
    match path.split_once('/') {
        None => Ok(None),
        Some((top, rest)) if !rest.contains('/') => {
            let below_top = |path: &str| {
                path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            if wanted().all(|(path, _)| below_top(path)) {
                Ok(Some(top.to_owned()))
            } else {
                Err(BundleError::SkillFileNested { path: (*path).into() })
            }
        }
        Some(_) => Err(BundleError::SkillFileNested { path: (*path).into() }),
    }
}

/// What operating systems add without being asked.
fn is_junk(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    path.split('/').next() == Some("__MACOSX") || name == ".DS_Store" || name.starts_with("._")
}
