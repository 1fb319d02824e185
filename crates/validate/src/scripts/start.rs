//! How scripts start: interpreters, shebangs, modes, line ends, and what is no script at all.

use skill::{Diagnostic, Edit, Language, Location, Rule, Script};

use crate::{
    scripts::is_run,
    subject::{Findings, MAX_TEXT, Subject, Text},
};

/// Interpreters that every sandbox has. `uv` stands for Python there.
const INTERPRETERS: [&str; 9] = ["python", "bash", "sh", "dash", "env", "uv", "perl", "awk", "sed"];
/// Files in `scripts/` that are no scripts, though their names have no extension.
const NO_SCRIPTS: [&str; 14] = [
    "license",
    "licence",
    "notice",
    "readme",
    "makefile",
    "dockerfile",
    "procfile",
    "gemfile",
    "rakefile",
    "version",
    "justfile",
    "vagrantfile",
    "jenkinsfile",
    "codeowners",
];
/// What compiled files begin with.
const MAGIC: [(&[u8], &str); 7] = [
    (b"\x7fELF", "a program for Linux"),
    (b"MZ", "a program for Windows"),
    (b"\xcf\xfa\xed\xfe", "a program for macOS"),
    (b"\xca\xfe\xba\xbe", "a program for macOS or Java"),
    (b"\xfe\xed\xfa\xcf", "a program for macOS"),
    (b"\0asm", "WebAssembly"),
    (b"!<arch>", "a library of compiled code"),
];
/// Extensions of compiled files.
const COMPILED: [&str; 10] = ["pyc", "pyo", "so", "dll", "dylib", "exe", "class", "o", "a", "pyd"];

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for script in subject.draft.scripts().iter().chain(subject.draft.hidden_scripts()) {
        if !is_run(&script.path) {
            continue;
        }
        let text = subject.text(&script.path);
        let first = text.and_then(|text| text.content.lines().next()).unwrap_or_default();
        match (text, first.strip_prefix("#!")) {
            (Some(text), Some(line)) => {
                check_shebang(subject, text, line, findings);
                check_line_ends(text, findings);
            }
            _ => {
                if script.language == Language::Bash
                    && let Some(text) = text
                {
                    check_line_ends(text, findings);
                }
                check_language(subject, script, findings);
            }
        }
    }
    for file in subject.draft.files() {
        let Some(name) = file.path.strip_prefix("scripts/") else { continue };
        let is_script = || subject.draft.scripts().iter().any(|script| script.path == file.path);
        let is_text = || subject.text(&file.path).is_some_and(|text| !text.content.contains('\0'));
        let is_other = name.contains(['.', '/']) || NO_SCRIPTS.contains(&name.to_ascii_lowercase().as_str());
        if !is_other && file.size > 0 && !is_script() && is_text() {
            let message = "nothing says what runs this file";
            let help =
                "give it an extension such as `.py` or `.sh`, or a first line such as `#!/usr/bin/env bash`";
            let location = Location::file(&file.path);
            findings
                .push(Diagnostic::new(Rule::SCRIPT_WITHOUT_INTERPRETER, location, message).with_help(help));
        }
    }
    check_modes(subject, findings);
}

fn check_shebang(subject: &Subject<'_>, text: &Text, line: &str, findings: &mut Findings) {
    let mut words = line.split_ascii_whitespace();
    let Some(path) = words.next() else { return };
    let at = || text.at(0..2 + line.len());
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut program = name(path);
    if program == "env" {
        let Some(named) = words.find(|word| !word.starts_with('-') && !word.contains('=')) else { return };
        program = name(named);
    }
    let bare = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let is_old = program.starts_with("python2");
    let known = INTERPRETERS.contains(&bare)
        || matches!(bare, "node" | "nodejs") && subject.environment.programs.is_empty()
        || subject.environment.programs.iter().any(|known| known == &program || known == bare);
    if is_old || !known {
        let message = format!("sandboxes have no `{}`", program.escape_debug());
        let diagnostic = Diagnostic::new(Rule::SHEBANG_INTERPRETER, at(), message);
        let help = match bare {
            "node" | "nodejs" => "run the skill with an image that has Node.js, such as `node` or `office`",
            _ => "write it in Python or bash, or run the skill with an image that has the interpreter",
        };
        findings.push(diagnostic.with_help(help));
    } else if !is_usual_place(path) {
        let message = format!("`{}` is a place of one machine", path.escape_debug());
        let help = format!("write `#!/usr/bin/env {}`", program.escape_debug());
        findings.push(Diagnostic::new(Rule::SHEBANG_PATH, at(), message).with_help(help));
    }
}

fn is_usual_place(path: &str) -> bool {
    ["/bin/", "/usr/bin/"].iter().any(|folder| {
        path.strip_prefix(folder).is_some_and(|name| {
            // Debian has no `/bin/python`; `sh` and `bash` are at both places since they were merged.
            !name.is_empty() && !name.contains('/')
        })
    })
}

fn check_line_ends(text: &Text, findings: &mut Findings) {
    let Some(first) = text.content.find("\r\n") else { return };
    let ends: Vec<usize> = memchr::memmem::find_iter(text.content.as_bytes(), "\r\n").collect();
    let message = "the lines end with carriage returns, which shells and the kernel take for text";
    let edits = ends.iter().map(|at| Edit::Replace {
        file: text.path.clone(),
        range: *at..*at + 1,
        text: String::new(),
    });
    let diagnostic = Diagnostic::new(Rule::SCRIPT_CRLF, text.at(first..first + 1), message);
    findings.push(diagnostic.with_help("save it with line ends of Unix").with_fix(edits));
}

fn check_language(subject: &Subject<'_>, script: &Script, findings: &mut Findings) {
    if script.language != Language::Other {
        return;
    }
    let extension = script.path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let (language, interpreters): (&str, &[&str]) = match extension.as_str() {
        "ts" | "mts" => ("TypeScript", &["tsx", "ts-node", "deno", "bun"]),
        "rb" => ("Ruby", &["ruby"]),
        // Every Debian has these two.
        "pl" | "awk" => return,
        "php" => ("PHP", &["php"]),
        "lua" => ("Lua", &["lua"]),
        "r" => ("R", &["Rscript"]),
        "go" => ("Go", &["go"]),
        "swift" => ("Swift", &["swift"]),
        "ps1" => ("PowerShell", &["pwsh"]),
        "bat" | "cmd" => ("Windows' command language", &[]),
        "zsh" => ("zsh", &["zsh"]),
        "fish" => ("fish", &["fish"]),
        _ => return,
    };
    if interpreters.iter().any(|known| subject.environment.programs.iter().any(|program| program == known)) {
        return;
    }
    let message = format!("sandboxes do not run {language}");
    let diagnostic = Diagnostic::new(Rule::UNSUPPORTED_LANGUAGE, Location::file(&script.path), message);
    findings.push(diagnostic.with_help("Python, bash and Node.js are run"));
}

/// Scripts that the instructions start by their path.
fn check_modes(subject: &Subject<'_>, findings: &mut Findings) {
    let Some((text, start)) = subject.body() else { return };
    let body = &text.content[start..];
    for script in subject.draft.scripts() {
        let Some(file) = subject.draft.file(&script.path) else { continue };
        if file.executable {
            continue;
        }
        let call = format!("./{}", script.path);
        let started = memchr::memmem::find_iter(body.as_bytes(), call.as_bytes()).find(|at| {
            let line = body[..*at].rsplit('\n').next().unwrap_or_default().trim_end();
            let after = body[*at + call.len()..].chars().next();
            let ends =
                after.is_none_or(|after| !after.is_alphanumeric() && !matches!(after, '.' | '/' | '_' | '-'));
            // What stands before it is no program that reads it.
            ends && (line.is_empty() || line.ends_with(['`', '$', ';', '|', '&', '(', '>']))
                && !line.ends_with("](")
        });
        if let Some(at) = started {
            let at = start + at;
            let message = format!("`{call}` is not executable");
            let help = format!("name what runs it, as in `{} {}`", runs(script.language), script.path);
            let diagnostic =
                Diagnostic::new(Rule::SCRIPT_NOT_EXECUTABLE, text.at(at..at + call.len()), message);
            let edit = Edit::MakeExecutable { file: script.path.clone() };
            findings.push(diagnostic.with_help(help).with_fix([edit]));
        }
    }
}

fn runs(language: Language) -> &'static str {
    match language {
        Language::Python => "python3",
        Language::Node => "node",
        _ => "bash",
    }
}

pub(crate) fn check_compiled(subject: &Subject<'_>, findings: &mut Findings) {
    for file in subject.draft.files() {
        let extension = file.path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        let has_extension = extension.as_deref().is_some_and(|extension| !extension.contains('/'));
        let by_name =
            has_extension && extension.as_deref().is_some_and(|extension| COMPILED.contains(&extension));
        let is_script = || subject.draft.scripts().iter().any(|script| script.path == file.path);
        let what = if !has_extension || by_name {
            let head = subject.draft.read(&file.path, 8).unwrap_or_default();
            let by_magic = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, what)| *what);
            // A short word in capitals is no program.
            let by_magic = by_magic.filter(|_| file.size > 64);
            by_magic.or(by_name.then_some("compiled code"))
        } else if file.size > MAX_TEXT && is_script() {
            Some("a script of more than a megabyte")
        } else {
            None
        };
        if let Some(what) = what {
            let message = format!("this is {what}");
            let help = "bring its source, or name a package that has it in requirements.txt";
            let location = Location::file(&file.path);
            findings.push(Diagnostic::new(Rule::COMPILED_FILE, location, message).with_help(help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_places_are_usual() {
        for path in ["/bin/sh", "/usr/bin/env", "/usr/bin/python3", "/bin/bash"] {
            assert!(is_usual_place(path), "{path}");
        }
        for path in
            ["/usr/local/bin/python3", "/opt/x/bin/bash", "/home/me/bin/python", "python3", "/usr/bin/"]
        {
            assert!(!is_usual_place(path), "{path}");
        }
    }
}
