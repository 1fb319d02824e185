//! Paths and variables that exist somewhere else only.

use std::collections::{BTreeMap, btree_map::Entry};

use skill::{Diagnostic, Rule};

use super::is_for_people;
use crate::{
    paths::extension,
    pattern::Pattern,
    subject::{Findings, Subject, more_in_file},
};

static HOME: Pattern = Pattern::new(
    r"(?:/Users/|/home/|\b[A-Z]:\\{1,2}Users\\{1,2})([A-Za-z][\w.-]*)",
    &[&["/Users/", "/home/", r":\Users\", r":\\Users\"]],
);
static HOSTS: [Pattern; 2] = [
    Pattern::new(
        r"(?:~|\$HOME|\$\{HOME\})/\.(?:claude|openclaw|codex|cursor|agents|gemini|copilot|hermes|config/opencode)/(?:skills|plugins)\b[\w./-]*",
        &[&["/skills", "/plugins"], &["~/.", "HOME/.", "HOME}/."]],
    ),
    Pattern::new(
        r"(?x)
        (?:\$\{CODEX_HOME[^}]*\} | \$CODEX_HOME)[\w./-]*
        | /mnt/(?:skills|user-data)\b[\w./-]*
        | /home/claude\b[\w./-]*
        | \{baseDir\}
        | \$\{CLAUDE_(?:PLUGIN_ROOT|SKILL_DIR|PROJECT_DIR)[^}]*\}
        | \$CLAUDE_(?:PLUGIN_ROOT|SKILL_DIR|PROJECT_DIR)\b",
        &[&["{CODEX_HOME", "$CODEX_HOME", "/mnt/", "/home/claude", "{baseDir}", "{CLAUDE_", "$CLAUDE_"]],
    ),
];
const PROVIDED: &str = "here the skill is at `/skills/<name>` (`$SKILL_DIR`), results go to `/output` (`$OUTPUT_DIR`) and commands run \
                        in `/workspace`; paths relative to the skill work everywhere";

/// How much of a path is shown, in bytes.
const MAX_SHOWN: usize = 120;

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for file in subject.draft.files() {
        let path = file.path.as_str();
        let is_document = extension(path) == "md";
        if is_for_people(path) || !(is_document || is_program(path)) {
            continue;
        }
        let Some(text) = subject.text(path) else { continue };
        let mut homes: BTreeMap<&str, (std::ops::Range<usize>, usize)> = BTreeMap::new();
        for found in HOME.captures_iter(&text.content) {
            let (Some(whole), Some(user)) = (found.get(0), found.get(1)) else { continue };
            // `https://host/Users/x` and `src/home/page` are no such paths.
            let before = text.content[..whole.start()].chars().next_back();
            if before.is_some_and(|before| before.is_alphanumeric() || "/._-}>*".contains(before))
                || is_nobody(user.as_str())
            {
                continue;
            }
            count(&mut homes, user.as_str(), whole.range());
        }
        for (range, more) in homes.into_values() {
            let message = format!(
                "`{}` is somebody's home directory{}",
                shortened(&text.content[range.clone()]),
                more_in_file(more)
            );
            findings.push(
                Diagnostic::new(Rule::HOME_PATH, text.at(range), message)
                    .with_help("use a path relative to the skill, or say what the path stands for"),
            );
        }
        // What scripts do with such places is a matter of scripts.
        if !is_document {
            continue;
        }
        let mut hosts: BTreeMap<&str, (std::ops::Range<usize>, usize)> = BTreeMap::new();
        for found in HOSTS.iter().flat_map(|host| host.find_iter(&text.content)) {
            // `~/.claude/skills/a` and `~/.claude/skills/b` are one mistake.
            let end = found.as_str().match_indices('/').nth(2).map_or(found.len(), |(at, _)| at);
            count(&mut hosts, &found.as_str()[..end], found.range());
        }
        for (range, more) in hosts.into_values() {
            let message = format!(
                "`{}` exists in another product only{}",
                shortened(&text.content[range.clone()]),
                more_in_file(more)
            );
            findings.push(Diagnostic::new(Rule::HOST_PATH, text.at(range), message).with_help(PROVIDED));
        }
    }
}

/// A path as it is shown; one that goes on for ever is no path.
fn shortened(path: &str) -> &str {
    &path[..path.floor_char_boundary(MAX_SHOWN.min(path.len()))]
}

/// Remembers the first place of each kind, and how many more there are.
fn count<'text>(
    seen: &mut BTreeMap<&'text str, (std::ops::Range<usize>, usize)>,
    kind: &'text str,
    range: std::ops::Range<usize>,
) {
    match seen.entry(kind) {
        Entry::Vacant(entry) => {
            entry.insert((range, 0));
        }
        Entry::Occupied(mut entry) => entry.get_mut().1 += 1,
    }
}

fn is_program(path: &str) -> bool {
    matches!(
        extension(path).as_str(),
        "py" | "sh" | "bash" | "js" | "mjs" | "cjs" | "ts" | "rb" | "pl" | "ps1"
    )
}

/// Whether a user's name stands for any user, or for one that exists on many machines.
fn is_nobody(user: &str) -> bool {
    let user = user.trim_end_matches(['.', '-']).to_lowercase();
    let words = [
        "user",
        "username",
        "users",
        "you",
        "your",
        "yourname",
        "yourusername",
        "me",
        "my",
        "name",
        "someone",
        "somebody",
        "example",
        "foo",
        "bar",
        "alice",
        "bob",
        "jane",
        "john",
        "johndoe",
        "jdoe",
        "test",
        "testuser",
        "runner",
        "ubuntu",
        "node",
        "app",
        "admin",
        "root",
        "shared",
        "public",
        "dev",
        "developer",
        "claude",
        "agent",
        "ec2-user",
        "vscode",
        "xxx",
        "xyz",
        "pi",
        "git",
        "sandbox",
        "default",
        "guest",
        "linuxbrew",
        "someuser",
        "youruser",
        "myuser",
        "coder",
        "jovyan",
        "appuser",
        "nonroot",
        "debian",
        "vagrant",
        "builder",
        "circleci",
        "oai",
        "u",
        "x",
        "username1",
    ];
    words.contains(&user.as_str()) || user.starts_with("your") || user.contains("user")
}

#[cfg(test)]
mod tests {
    use super::{super::tests::found, *};

    fn shown(body: &str) -> Vec<String> {
        let found = found(&[("SKILL.md", body)], &[Rule::HOME_PATH, Rule::HOST_PATH]);
        found.iter().map(|diagnostic| diagnostic.to_string()).collect()
    }

    #[test]
    fn paths_of_nobody_are_good() {
        for body in [
            "/Users/you/x /home/user/x C:\\Users\\<name>\\x /Users/$USER/x https://a.b/Users/ann src/home/ann",
            "~/.config/x ~/.claude.json $HOME/x /mnt/data",
        ] {
            assert_eq!(shown(body), [""; 0], "{body}");
        }
    }

    #[test]
    fn paths_of_somebody_and_of_other_products_are_found_once() {
        assert_eq!(
            shown("/Users/ann/a /Users/ann/b `C:\\Users\\<you>` C:\\Users\\Carl\\x"),
            [
                "SKILL.md:5:1: warning[SB129]: `/Users/ann` is somebody's home directory (and once more in this file)",
                "SKILL.md:5:44: warning[SB129]: `C:\\Users\\Carl` is somebody's home directory",
            ]
        );
        assert_eq!(
            shown(
                "`~/.claude/skills/x/run.py` {baseDir}/a {baseDir}/b ${CLAUDE_PLUGIN_ROOT}/c /mnt/user-data/outputs/d"
            ),
            [
                "SKILL.md:5:2: warning[SB131]: `~/.claude/skills/x/run.py` exists in another product only",
                "SKILL.md:5:29: warning[SB131]: `{baseDir}` exists in another product only (and once more in this file)",
                "SKILL.md:5:53: warning[SB131]: `${CLAUDE_PLUGIN_ROOT}` exists in another product only",
                "SKILL.md:5:77: warning[SB131]: `/mnt/user-data/outputs/d` exists in another product only",
            ]
        );
    }
}
