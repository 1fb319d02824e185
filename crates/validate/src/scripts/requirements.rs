//! Requirements: those that are not resolved, those without an upper bound, and versions of Python.

use std::ops::Range;

use skill::{Diagnostic, Location, Rule};

use crate::subject::{Findings, Subject, Text};

/// The minor versions of Python 3 that sandboxes have: that of the images first.
const MINORS: [u32; 3] = [11, 12, 13];
/// The most names in one message.
const NAMED: usize = 5;

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for file in &subject.draft.requirements().files {
        let Some(text) = subject.text(&file.path) else { continue };
        let mut unpinned = Vec::new();
        // The lines that go on are one requirement.
        let mut goes_on = false;
        for (range, line) in text.lines() {
            let begins = !goes_on;
            goes_on = line.trim_end().ends_with('\\');
            let line = line.split(" #").next().unwrap_or_default();
            if begins && !line.trim().is_empty() && !line.trim_start().starts_with('#') {
                let start = range.start + line.len() - line.trim_start().len();
                look_at(text, start..range.start + line.trim_end().len(), &mut unpinned, findings);
            }
        }
        note_unpinned(text, &unpinned, findings);
    }
    for script in &subject.draft.requirements().scripts {
        let Some(text) = subject.text(&script.path) else { continue };
        let mut unpinned = Vec::new();
        for dependency in &script.dependencies {
            if let Some(start) = text.content.find(dependency.as_str()) {
                look_at(text, start..start + dependency.len(), &mut unpinned, findings);
            }
        }
        note_unpinned(text, &unpinned, findings);
        if let Some(wanted) = &script.requires_python {
            let range = text.content.find(wanted.as_str()).map(|start| start..start + wanted.len());
            check_python(
                wanted,
                range.map_or_else(|| Location::file(&text.path), |range| text.at(range)),
                findings,
            );
        }
    }
}

fn look_at(text: &Text, range: Range<usize>, unpinned: &mut Vec<Range<usize>>, findings: &mut Findings) {
    let requirement = &text.content[range.clone()];
    match refusal(requirement) {
        Some(reason) => {
            let message = format!("this cannot be made ready: {reason}");
            let diagnostic = Diagnostic::new(Rule::UNRESOLVABLE_REQUIREMENT, text.at(range), message);
            findings.push(diagnostic.with_help("name a released version of a package, as in `qrcode==8.2`"));
        }
        None if !has_upper_bound(requirement) => unpinned.push(range),
        None => {}
    }
}

/// Why the resolver takes no such line; it says the same in its own words.
fn refusal(line: &str) -> Option<&'static str> {
    let before_marker = line.split(';').next().unwrap_or(line);
    let plain = before_marker.split("--hash").next().unwrap_or(before_marker).trim();
    let lower = plain.to_ascii_lowercase();
    let archives = [".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar"];
    if line.starts_with('-') {
        Some("options of pip are not taken")
    } else if line.contains('$') {
        Some("variables are not replaced")
    } else if ["git+", "hg+", "svn+", "bzr+"].iter().any(|scheme| plain.contains(scheme)) {
        Some("repositories are not taken")
    } else if plain.contains("://") || plain.contains("file:") || plain.contains('@') {
        Some("URLs are not taken")
    } else if plain.starts_with(['.', '~'])
        || plain.contains(['/', '\\']) && !plain.ends_with('\\')
        || archives.iter().any(|extension| lower.ends_with(extension))
    {
        Some("paths are not taken")
    } else {
        None
    }
}

fn has_upper_bound(requirement: &str) -> bool {
    let versions = requirement.split([';', '#']).next().unwrap_or_default();
    ["==", "~=", "<", "--hash"].iter().any(|operator| versions.contains(operator))
}

fn note_unpinned(text: &Text, unpinned: &[Range<usize>], findings: &mut Findings) {
    let Some(first) = unpinned.first() else { return };
    let name = |range: &Range<usize>| {
        let requirement = &text.content[range.clone()];
        let end = requirement.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'));
        format!("`{}`", &requirement[..end.unwrap_or(requirement.len())])
    };
    let mut names: Vec<String> = unpinned.iter().take(NAMED).map(name).collect();
    if unpinned.len() > NAMED {
        names.push(format!("{} more", unpinned.len() - NAMED));
    }
    let message = format!("no upper bound on the version: {}", names.join(", "));
    let help = "pin what it was tested with, as in `qrcode==8.2` or `qrcode>=7,<9`";
    findings
        .push(Diagnostic::new(Rule::UNPINNED_REQUIREMENT, text.at(first.clone()), message).with_help(help));
}

fn check_python(wanted: &str, at: Location, findings: &mut Findings) {
    let fits: Vec<u32> = MINORS.into_iter().filter(|minor| admits(wanted, *minor).unwrap_or(true)).collect();
    let message = if fits.is_empty() {
        format!("no sandbox has Python `{}`", wanted.escape_debug())
    } else if !fits.contains(&MINORS[0]) {
        format!("Python `{}` is newer or older than the 3.{} of the images", wanted.escape_debug(), MINORS[0])
    } else {
        return;
    };
    findings.push(Diagnostic::new(Rule::PYTHON_VERSION, at, message));
}

/// Whether a specifier admits Python 3.`minor` in any of its patch releases; `None` when it cannot be read.
fn admits(specifier: &str, minor: u32) -> Option<bool> {
    let mut all = true;
    for clause in specifier.split(',').map(str::trim).filter(|clause| !clause.is_empty()) {
        let end = clause.find(|c| !"=<>!~".contains(c))?;
        let (operator, version) = clause.split_at(end);
        let version = version.trim().trim_end_matches(".*");
        let parts: Vec<u32> = version.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let major = *parts.first()?;
        let wanted = parts.get(1).copied();
        // With a patch level in it, a bound is met by some release of the same minor version.
        let has_patch = parts.len() > 2;
        let have = (3, minor);
        let bound = (major, wanted.unwrap_or(0));
        all &= match operator {
            ">=" => have >= bound,
            ">" => have >= bound,
            "<=" => have <= bound,
            "<" => {
                if has_patch {
                    have <= bound
                } else {
                    have < bound
                }
            }
            "~=" => match wanted {
                Some(_) if has_patch => have == bound,
                Some(_) => have >= bound && major == 3,
                None => return None,
            },
            "==" | "===" => wanted.map_or(major == 3, |wanted| (major, wanted) == have),
            "!=" => has_patch || wanted.map_or(major != 3, |wanted| (major, wanted) != have),
            _ => return None,
        };
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_are_understood() {
        let check = |specifier: &str, expected: [bool; 3]| {
            assert_eq!(MINORS.map(|minor| admits(specifier, minor) == Some(true)), expected, "{specifier}");
        };
        check(">=3.11", [true, true, true]);
        check(">= 3.12", [false, true, true]);
        check(">=3.9,<3.12", [true, false, false]);
        check(">=3.11.4", [true, true, true]);
        check("==3.12.*", [false, true, false]);
        check("~=3.12", [false, true, true]);
        check("~=3.12.1", [false, true, false]);
        check(">=3.14", [false; 3]);
        check("<4", [true; 3]);
        check("!=3.11", [false, true, true]);
        assert_eq!(admits("^3.11", 11), None);
        assert_eq!(admits("", 11), Some(true));
    }

    #[test]
    fn what_the_resolver_refuses_is_refused() {
        for line in [
            "-e .",
            "--index-url https://x",
            "-r other.txt",
            "git+https://github.com/a/b",
            "a @ https://x/a.whl",
            "./a",
            "a/b",
            "a-1.0-py3-none-any.whl",
            "https://x/a.tar.gz",
            "a==${V}",
        ] {
            assert!(refusal(line).is_some(), "{line}");
        }
        for line in
            ["a", "a[b,c]>=1,<2 ; python_version < '3.9'", "a==1 --hash=sha256:00", "a.b_c~=1.0", "a==1.0 \\"]
        {
            assert_eq!(refusal(line), None, "{line}");
        }
    }
}
