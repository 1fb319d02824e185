//! Where scripts write: only what is in `/output` reaches the user, and the folder they run in is read-only.

use std::{collections::BTreeSet, ops::Range};

use skill::{Diagnostic, Rule};

use crate::{
    python::{Call, Literal},
    scripts::is_run,
    subject::{Findings, Subject, Text},
};

/// Places that can be written and are lost afterwards, or are no files.
const FREE: [&str; 6] = ["/output", "/tmp", "/workspace", "/dev", "/proc/self", "/var/tmp"];
/// Places of other products.
const ELSEWHERE: [&str; 3] = ["/mnt/user-data", "/mnt/skills", "/mnt/data"];

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for (text, python) in subject.pythons() {
        if !is_run(&text.path) {
            continue;
        }
        let moves =
            python.calls.iter().any(|call| matches!(call.name.as_str(), "os.chdir" | "contextlib.chdir"));
        let mut seen = BTreeSet::new();
        for call in &python.calls {
            for path in written(call) {
                if !moves || path.starts_with('/') {
                    look_at(text, path, call.range.clone(), &mut seen, findings);
                }
            }
        }
    }
    for (text, shell) in subject.shells() {
        if !is_run(&text.path) {
            continue;
        }
        let moves = shell.commands.iter().any(|command| {
            command.words.first().is_some_and(|name| matches!(name.start.as_str(), "cd" | "pushd"))
        });
        let mut seen = BTreeSet::new();
        for command in &shell.commands {
            let words = command.program();
            let files = match words.first().and_then(|name| name.text()) {
                Some("tee" | "mkdir" | "touch") => words.get(1..).unwrap_or_default(),
                Some("cp" | "mv" | "install") if words.len() > 2 => &words[words.len() - 1..],
                _ => &[],
            };
            for word in command.outputs.iter().chain(files) {
                let path = word.start.as_str();
                let is_option = path.starts_with(['-', '&', '+']) || path.is_empty();
                if !is_option && (!moves || path.starts_with('/')) && (word.is_literal || path.contains('/'))
                {
                    look_at(text, path, word.range.clone(), &mut seen, findings);
                }
            }
        }
    }
}

/// The paths that a call writes, as far as they stand in the text.
fn written(call: &Call) -> Vec<&str> {
    let argument = |position: usize, keyword: &str| call.argument(position, keyword).and_then(Literal::start);
    let writes = |position: usize| {
        argument(position, "mode").is_some_and(|mode| mode.contains(['w', 'a', 'x', '+']) && mode.len() < 5)
    };
    let receiver = || call.receiver.as_ref().and_then(Literal::start);
    let path = match call.name.as_str() {
        "open" | "io.open" | "codecs.open" | "gzip.open" if writes(1) => argument(0, "file"),
        "zipfile.ZipFile" | "tarfile.open" if writes(1) => argument(0, "file"),
        "os.mkdir" | "os.makedirs" => argument(0, "name"),
        "shutil.copy" | "shutil.copy2" | "shutil.copyfile" | "shutil.copytree" | "shutil.move" => {
            argument(1, "dst")
        }
        "pathlib.Path().write_text"
        | "pathlib.Path().write_bytes"
        | "pathlib.Path().mkdir"
        | "pathlib.Path().touch" => receiver(),
        "pathlib.Path().open" if writes(0) => receiver(),
        _ => match call.method() {
            "savefig" | "to_csv" | "to_excel" | "to_parquet" | "to_json" | "to_html" => argument(0, "fname"),
            // Many things are saved; a name with an extension is a file.
            "save" | "imwrite" => argument(0, "fp").filter(|path| has_extension(path)),
            _ => None,
        },
    };
    path.into_iter().collect()
}

fn has_extension(path: &str) -> bool {
    path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).is_some_and(|(stem, extension)| {
        !stem.is_empty()
            && (2..=5).contains(&extension.len())
            && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

fn look_at(
    text: &Text,
    path: &str,
    range: Range<usize>,
    seen: &mut BTreeSet<String>,
    findings: &mut Findings,
) {
    let within = |folders: &[&str]| {
        folders.iter().any(|folder| {
            path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    if within(&FREE) || path.is_empty() || path.starts_with('$') || path.contains("://") {
        return;
    }
    let shown = path.escape_debug();
    let message = if within(&ELSEWHERE) {
        format!("`{shown}` is a place of another product")
    } else if path.starts_with('/') {
        format!("`{shown}` cannot be written in a sandbox")
    } else if path.starts_with('~') {
        format!("`{shown}` is in the home directory, which nobody reads afterwards")
    } else {
        format!("`{shown}` is in the folder that the script runs in, and that is read-only")
    };
    // The first of each kind of place; a script that writes many files does so for one reason.
    let kind = path.split('/').take(if path.starts_with('/') { 2 } else { 0 }).collect::<Vec<_>>().join("/");
    if seen.insert(kind) {
        let help = "write to the folder that `OUTPUT_DIR` names, or to `/tmp` what is only needed meanwhile";
        findings.push(Diagnostic::new(Rule::WRITE_OUTSIDE_OUTPUT, text.at(range), message).with_help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::Python;

    #[test]
    fn written_paths_are_found() {
        let python = Python::parse(
            "from pathlib import Path\nopen('a', 'w')\nopen('b')\nopen(f'/x/{c}', mode='ab')\nPath('d').mkdir()\n\
             plt.savefig('e.png')\nmodel.save('weights')\nimage.save('f.png')\nshutil.copy(g, 'h')\nos.makedirs('i', exist_ok=True)\n",
        );
        let found: Vec<&str> = python.calls.iter().flat_map(written).collect();
        assert_eq!(found, ["a", "/x/", "d", "e.png", "f.png", "h", "i"]);
    }
}
