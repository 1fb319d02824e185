//! Imports of Python scripts: of packages that nothing declares, and of the skill's own modules from where they are not found.

use std::collections::BTreeSet;

use skill::{Diagnostic, Rule, is_own_module, package_of_module};

use crate::{
    python::{Import, Need, Python},
    scripts::{
        is_run,
        packages::{Packages, advice_for, is_standard},
    },
    subject::{Findings, Subject, Text},
};

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let packages = Packages::of(subject);
    let modules = Modules::of(subject);
    for (text, python) in subject.pythons() {
        if !is_run(&text.path) {
            continue;
        }
        let mut seen = BTreeSet::new();
        for import in python.imports.iter().filter(|import| import.need != Need::Optional) {
            let top = import.module.split('.').next().unwrap_or_default();
            if import.level > 0 {
                check_relative(subject, text, python, import, findings);
            } else if is_standard(top) || !seen.insert(top) {
            } else if modules.has(top) {
                check_local(subject, text, &modules, import, findings);
            } else if !packages.have(&import.module) {
                check_missing(text, &modules, import, findings);
            }
        }
    }
}

fn check_missing(text: &Text, modules: &Modules, import: &Import, findings: &mut Findings) {
    let top = import.module.split('.').next().unwrap_or_default();
    let at = text.at(import.range.clone());
    // Where something changes where Python looks, what is no known package may be found there.
    if modules.path_is_changed && package_of_module(&import.module).is_none() {
        return;
    }
    if is_own_module(top) {
        let message = format!("the skill has no module `{top}`");
        findings.push(
            Diagnostic::new(Rule::LOCAL_IMPORT, at, message).with_help("add the file, or correct the name"),
        );
        return;
    }
    let when = if import.need == Need::Later { " when one of its functions is called" } else { "" };
    let message = format!("`{top}` is imported{when}, but no package is declared that has it");
    let help = advice_for(&import.module);
    findings.push(Diagnostic::new(Rule::UNDECLARED_PACKAGE, at, message).with_help(help));
}

/// A relative import works in a package, and a script that is started is none.
fn check_relative(
    subject: &Subject<'_>,
    text: &Text,
    python: &Python,
    import: &Import,
    findings: &mut Findings,
) {
    let is_started = python.has_main || text.content.starts_with("#!");
    let in_package = text
        .path
        .rsplit_once('/')
        .is_some_and(|(folder, _)| subject.draft.file(&format!("{folder}/__init__.py")).is_some());
    if import.need == Need::Start && is_started && !in_package {
        let message = "a relative import fails in a script that is started by its path";
        let help = "import it by its name: Python looks beside the script";
        let at = text.at(import.range.clone());
        findings.push(Diagnostic::new(Rule::LOCAL_IMPORT, at, message).with_help(help));
        return;
    }
    // Where the dots lead, a module or a folder of that name must be.
    if import.module.is_empty() {
        return;
    }
    let folders: Vec<&str> = text.path.split('/').collect();
    let Some(kept) = folders.len().checked_sub(import.level as usize) else { return };
    let mut target: Vec<&str> = folders[..kept].to_vec();
    target.extend(import.module.split('.'));
    let target = target.join("/");
    if !exists(subject, &target) {
        let message = format!("the skill has no module at `{target}.py`");
        findings.push(Diagnostic::new(Rule::LOCAL_IMPORT, text.at(import.range.clone()), message));
    }
}

/// A module of the skill must be beside the script or above it, unless something changes where Python looks.
fn check_local(
    subject: &Subject<'_>,
    text: &Text,
    modules: &Modules,
    import: &Import,
    findings: &mut Findings,
) {
    if modules.path_is_changed || import.need != Need::Start {
        return;
    }
    let top = import.module.split('.').next().unwrap_or_default();
    let mut folder = text.path.as_str();
    let mut found = None;
    while let Some((parent, _)) = folder.rsplit_once('/') {
        folder = parent;
        if exists(subject, &format!("{folder}/{top}")) {
            found = Some(format!("{folder}/"));
            break;
        }
    }
    if found.is_none() && exists(subject, top) {
        found = Some(String::new());
    }
    let at = text.at(import.range.clone());
    let Some(found) = found else {
        let message = format!("`{top}` is in the skill, but not where Python looks for it");
        let help = "put it beside the script, or add its folder to `sys.path`";
        findings.push(Diagnostic::new(Rule::LOCAL_IMPORT, at, message).with_help(help));
        return;
    };
    let path = format!("{found}{}", import.module.replace('.', "/"));
    let is_package =
        subject.draft.files().iter().any(|file| file.path.starts_with(&format!("{found}{top}/")));
    if import.module != top && is_package && !exists(subject, &path) {
        let message = format!("the skill has no module at `{path}.py`");
        findings.push(Diagnostic::new(Rule::LOCAL_IMPORT, at, message));
    }
}

/// Whether a module is at this path without its extension: a file, or a folder with files.
fn exists(subject: &Subject<'_>, path: &str) -> bool {
    let folder = format!("{path}/");
    subject.draft.file(&format!("{path}.py")).is_some()
        || subject.draft.files().iter().any(|file| {
            file.path.starts_with(&folder)
                || file
                    .path
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".so"))
        })
}

/// The modules of the skill itself.
struct Modules {
    names: BTreeSet<String>,
    /// Whether any file changes where Python looks.
    path_is_changed: bool,
}

impl Modules {
    fn of(subject: &Subject<'_>) -> Self {
        let mut names = BTreeSet::new();
        let mut path_is_changed = false;
        for file in subject.draft.files() {
            if let Some(stem) = file.path.strip_suffix(".py").or_else(|| file.path.strip_suffix(".so")) {
                names.extend(stem.split('/').map(|part| part.split('.').next().unwrap_or(part).to_owned()));
                let content = || subject.text(&file.path).map_or("", |text| &text.content);
                path_is_changed = path_is_changed
                    || ["sys.path", "importlib", "PYTHONPATH"].iter().any(|mark| content().contains(mark));
            }
        }
        Self { names, path_is_changed }
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}
