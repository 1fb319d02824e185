//! npm packages that Node.js scripts need. Nothing installs them: they are in the image, or in the skill, or missing.

use std::collections::BTreeSet;

use skill::{Diagnostic, Language, Rule};

use crate::{
    pattern::Pattern,
    scripts::is_run,
    subject::{Findings, Subject},
};

/// What Node.js itself has.
const BUILT_IN: [&str; 41] = [
    "assert",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "domain",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "repl",
    "stream",
    "string_decoder",
    "sys",
    "timers",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "worker_threads",
    "zlib",
];

/// An import at the beginning of a line, and a `require` that is the value of a variable.
static IMPORT: Pattern = Pattern::new(
    r#"(?m)^(?:import\s(?:[^'";]*?\sfrom\s+)?|\}\s*from\s+|(?:const|let|var)\s[^=;\n]*=\s*require\(\s*)['"]((?:@[a-z0-9~][\w.~-]*/)?[a-z0-9~][\w.~-]*)(?:/[^'"]*)?['"]"#,
    &[&["import", "require", "from"], &["'", "\""]],
);

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let brought: BTreeSet<&str> = subject
        .draft
        .ignored()
        .iter()
        .map(String::as_str)
        .chain(subject.draft.files().iter().map(|file| file.path.as_str()))
        .filter(|path| path.contains("node_modules"))
        .collect();
    for script in subject.draft.scripts() {
        if script.language != Language::Node || !is_run(&script.path) {
            continue;
        }
        let Some(text) = subject.text(&script.path) else { continue };
        let mut seen = BTreeSet::new();
        for found in IMPORT.captures_iter(&text.content) {
            let Some(name) = found.get(1) else { continue };
            let package = name.as_str();
            let is_there = BUILT_IN.contains(&package)
                || subject.environment.node_packages.iter().any(|known| known == package)
                || !brought.is_empty();
            if is_there || !seen.insert(package) {
                continue;
            }
            let message =
                format!("the npm package `{package}` is needed, and nothing installs it in a sandbox");
            let help = "run the skill with an image that has it, or bundle it into the script";
            findings.push(
                Diagnostic::new(Rule::UNDECLARED_PACKAGE, text.at(name.range()), message).with_help(help),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use skill::Draft;

    use super::*;
    use crate::{Environment, Options, check};

    fn found(script: &str, packages: &[&str]) -> Vec<String> {
        let draft = Draft::from_files([("SKILL.md", ""), ("scripts/a.mjs", script)], None).unwrap();
        let node_packages = packages.iter().map(|name| (*name).to_owned()).collect();
        let environment = Environment { node_packages, ..Environment::default() };
        let found = check(&draft, &Options { environment, ..Options::default() }).into_iter();
        found
            .filter(|diagnostic| diagnostic.rule == Rule::UNDECLARED_PACKAGE)
            .map(|diagnostic| diagnostic.message.split('`').nth(1).unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_words_of_the_pattern_are_needed() {
        IMPORT.prove();
    }

    #[test]
    fn packages_of_the_index_are_told_from_what_is_there() {
        let script = "import fs from 'fs';\nimport { x } from \"node:path\";\nimport sharp from 'sharp';\n\
            import './own.js';\nimport {\n  a,\n} from '@scope/name/part';\nconst { y } = require(\"docx\");\n\
            // import z from 'commented'\nimport again from 'sharp';\n";
        assert_eq!(found(script, &["docx"]), ["sharp", "@scope/name"]);
    }
}
