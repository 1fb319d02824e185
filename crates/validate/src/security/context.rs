//! Whether a text speaks of a danger instead of being one.
//!
//! Most commands that would do harm stand in texts that warn of them, in lists that a guard compares with, in the tests of such a
//! guard, and in messages that a program prints. What counts is what would be run, so the surroundings of a place are read: the
//! headings above it, the sentence before a block, the comment before a line, the list that a text is an element of.
//! An author who means harm can write such words on purpose; these rules find what is careless, and promise nothing else.

use std::ops::Range;

use crate::{
    markdown::Markdown,
    paths::folder,
    pattern::Pattern,
    subject::{Subject, Text},
};

/// How far before a place its surroundings begin, in bytes.
const BEFORE: usize = 4_000;
/// How many lines before a line of a program are read.
const LINES: usize = 14;

/// Words that say what something is shown for.
static WARNING: Pattern = Pattern::new(
    r"(?ix)\b(?:never|do\s+not|don'?t|must\s+not|cannot|avoid|danger(?:s|ous(?:ly)?)?|block(?:s|ed|ing|list)?|den(?:y|ies|ied)|forbid(?:s|den)?|prohibit\w*|disallow\w*
        |malicious|malware|detect\w*|reject\w*|refus\w*|flag(?:s|ged)?|(?:un|not\x20)safe|insecure|attack\w*|suspicious|exfiltrat\w*|destructive|harmful|threats?|risk(?:s|y)?
        |vulnerab\w*|exploit\w*|anti-?patterns?|bad|wrong|inject\w*|payloads?|adversar\w*|ssrf|cwe|owasp|pentest\w*|scan(?:s|ned|ner|ning)?|audit\w*|red\s+flags?
        |guard(?:s|rails?)?|hardening|sandbox\s+escape|privilege\s+escalation|check(?:s|ing)?\s+for|look(?:s|ing)?\s+for|search\s+for|warn(?:s|ing|ings)?|violations?|alerts?)\b
      |❌|🚫|⛔|⚠",
    &[],
);
/// What a file or folder is called that is about dangers.
static SUBJECT: Pattern = Pattern::new(
    r"(?i)secur|threat|attack|vulnerab|inject|malware|exploit|pentest|red-?team|harden|forensic|incident|adversar|guard|safety|owasp|audit|scann|detect|block|danger|sanitiz|escape",
    &[],
);
/// What a line of a program has that compares with a text instead of running it.
static COMPARES: Pattern = Pattern::new(
    r#"(?i)\bre\.(?:compile|search|match|findall|sub)\b|\bregexp?\b|\bpatterns?\b|\.test\(|\.match\(|\bmatches\(|\bassert|\bgrep\b|\bexpect\(|\bin\s+(?:cmd|command|line|text|content|source|code)\b|\.includes\(|\.startswith\(|\[\[[^\]]*=~|\\[sbdwSB.]|\.\*|\[\^|\(\?:"#,
    &[],
);
/// How the list or table begins that a guard compares with.
static LIST: Pattern = Pattern::new(
    r"(?i)(?:pattern|danger|block|den(?:y|ied)|forbid|suspicious|malicious|detect|un_?safe|rule|signature|threat|risk|sensitive|secret|protected|indicator|check|severity|test|case|example|sample|fixture|bad)\w*['\x22]?\s*(?::[^=]*)?[=:(]\s*(?:\w+\(|new\s+\w+\()?[\[({]",
    &[],
);
/// The beginning of a line that only shows a text to people.
static SHOWS: Pattern = Pattern::new(
    r"(?i)^\s*(?:echo|printf|print|console\.\w+|log(?:ger)?[\w.]*|logging\.\w+|die|fail|fatal|error|warn|info|usage|sys\.\w+\.write|fmt\.\w+|puts|write-host|help\s*=|description\s*=|message\s*[=:])",
    &[],
);

/// Whether what stands at `range` is shown rather than meant.
pub(super) fn is_shown(subject: &Subject<'_>, text: &Text, range: &Range<usize>) -> bool {
    if is_about_dangers(&text.path) {
        return true;
    }
    match subject.markdown(&text.path) {
        Some((_, markdown)) => in_document(text, markdown, range.start),
        None => in_program(text, range),
    }
}

/// Whether a file is called as if dangers were its subject, or is a test.
pub(super) fn is_about_dangers(path: &str) -> bool {
    let of_tests = |part: &str| {
        matches!(part, "test" | "tests" | "fixtures" | "evals" | "eval" | "examples" | "__tests__")
    };
    let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    folder(path).split('/').any(of_tests)
        || name.starts_with("test_")
        || name.contains("_test.")
        || name.contains(".test.")
        || SUBJECT.is_match(path)
}

/// Whether the headings above a place, the lines before it or its own line say that it is shown.
fn in_document(text: &Text, markdown: &Markdown, offset: usize) -> bool {
    WARNING.is_match(text.line_around(offset)) || is_announced(text, markdown, offset)
}

/// Whether the headings above a place or the lines before it say that it is shown.
pub(super) fn is_announced(text: &Text, markdown: &Markdown, offset: usize) -> bool {
    let content = &text.content;
    let block = markdown.code_at(offset).map(|block| block.range.start);
    // Within a block, a comment before the line; it may be that of the line's group.
    if let Some(start) = block {
        let said = content[start..offset].lines().rev().take(LINES);
        if said.filter(|line| is_comment(line)).any(|line| WARNING.is_match(line)) {
            return true;
        }
    }
    let end = block.unwrap_or(offset);
    let start = content.floor_char_boundary(end.saturating_sub(BEFORE));
    let before = &content[start..end];
    let near = before.lines().rev().filter(|line| !line.trim().is_empty()).take(3);
    if near.into_iter().any(|line| WARNING.is_match(line)) {
        return true;
    }
    // The nearest heading of each level, up to the highest.
    let mut level = usize::MAX;
    for line in before.lines().rev() {
        let marks = line.bytes().take_while(|byte| *byte == b'#').count();
        if (1..=6).contains(&marks) && line[marks..].starts_with(' ') && marks < level {
            level = marks;
            if WARNING.is_match(line) {
                return true;
            }
        }
    }
    false
}

/// Whether a line of a program compares, lists, explains or prints what stands in it.
fn in_program(text: &Text, range: &Range<usize>) -> bool {
    let line = text.line_around(range.start);
    let content = &text.content;
    let begin = content[..range.start].rfind(['\n', '\r']).map_or(0, |at| at + 1);
    let before = &content[begin..range.start];
    if is_comment(line) || WARNING.is_match(line) || COMPARES.is_match(line) {
        return true;
    }
    let is_quoted = before.matches(['"', '\'', '`']).count() % 2 == 1;
    if is_quoted && SHOWS.is_match(line) {
        return true;
    }
    let above: Vec<&str> = content[..begin].lines().rev().take(LINES).collect();
    // The comment right above is about this line.
    let comment = above.iter().take_while(|line| is_comment(line));
    if comment.into_iter().any(|line| WARNING.is_match(line)) {
        return true;
    }
    // An element of a list: nothing but a text, or a text with what belongs to it.
    let is_element = line.trim_start().starts_with(['"', '\'', '(', '[', '{', '`', 'r', 'f']) && is_quoted;
    is_element && above.iter().any(|line| LIST.is_match(line) || line.trim_start().starts_with("\"\"\""))
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    ["#", "//", "*", "/*", "<!--", "--", "\"\"\"", "'''", "REM "].iter().any(|mark| line.starts_with(mark))
        && !line.starts_with("#!")
}

#[cfg(test)]
mod tests {
    use skill::Rule;

    use super::super::tests::found;

    fn count(path: &str, content: &str) -> usize {
        found(&[(path, content)], Rule::DESTRUCTIVE_COMMAND).len()
    }

    #[test]
    fn what_is_run_is_found() {
        for (path, content) in [
            ("scripts/a.sh", "set -e\nrm -rf /\n"),
            ("scripts/a.py", "import os\nos.system('rm -rf /')\n"),
            ("a.md", "# Clean up\n\nRun this:\n\n```sh\nrm -rf ~\n```\n"),
        ] {
            assert_eq!(count(path, content), 1, "{content}");
        }
    }

    #[test]
    fn what_is_warned_of_compared_with_or_printed_is_not() {
        for (path, content) in [
            (
                "a.md",
                "## Dangerous commands\n\nSome words.\n\nMore words.\n\nAgain.\n\n```sh\nrm -rf /\n```\n",
            ),
            ("a.md", "The hook blocks these:\n\n```sh\nrm -rf /\n```\n"),
            ("a.md", "```sh\n# BAD: deletes all\ncd x\nrm -rf /\n```\n"),
            ("a.md", "| `rm -rf /` | blocked |\n"),
            ("references/security.md", "```sh\nrm -rf /\n```\n"),
            ("scripts/hook.py", "DENIED = [\n    'ls',\n    'rm -rf /',\n]\n"),
            ("scripts/hook.py", "if re.search(r'rm -rf /', command):\n    pass\n"),
            ("scripts/hook.js", "const patterns = [\n  /x/,\n  'rm -rf / ',\n]\n"),
            ("scripts/hook.sh", "# e.g. rm -rf /\nls\n"),
            ("scripts/hook.sh", "echo \"it would run rm -rf /\"\n"),
            ("scripts/test_hook.py", "run('rm -rf /')\n"),
        ] {
            assert_eq!(count(path, content), 0, "{content}");
        }
    }
}
