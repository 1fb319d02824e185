//! How a script is called, read from its text: a `Usage:` line, or the arguments that it gives to `argparse`.
//!
//! A script's `--help` would say it best, but nothing here runs what a stranger wrote. So this is what a reader would find,
//! and nothing where that is not plain.

use super::Language;

/// The most characters of a usage line.
const MAX_CHARS: usize = 400;
/// The most arguments that are listed.
const MAX_ARGUMENTS: usize = 40;

/// How the script called `name` is used.
pub(crate) fn usage(language: Language, name: &str, text: &str) -> Option<String> {
    let found = usage_line(name, text).or_else(|| match language {
        Language::Python => argparse(name, text),
        Language::Bash | Language::Node | Language::Other => None,
    })?;
    let mut line: String = found.chars().filter(|character| !character.is_control()).collect();
    if let Some((end, _)) = line.char_indices().nth(MAX_CHARS) {
        line.truncate(end);
        // A half of an option would be a wrong one.
        line.truncate(line.rfind(' ').unwrap_or(end));
        line.push_str(" …");
    }
    (!line.is_empty()).then_some(line)
}

/// What follows `Usage:`, on the same line or the next, in a comment, a docstring or a message.
fn usage_line(name: &str, text: &str) -> Option<String> {
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(at) = find_word(line, "usage:") else { continue };
        // `echo "Usage: $0 FILE" >&2` ends with its quote, a comment with its line.
        let quote = line[..at].chars().rev().find(|character| matches!(character, '"' | '\'' | '`'));
        let mut rest = line[at + "usage:".len()..].trim();
        if rest.is_empty() || rest.trim_matches(['"', '\'', '`']).is_empty() {
            rest = lines.next().unwrap_or_default().trim().trim_start_matches(['#', '*', '/']).trim();
        }
        let named = named(rest, name);
        let end = quote.and_then(|quote| closing(&named, quote)).unwrap_or(named.len());
        let shown = named[..end].trim_end_matches("\\n").trim();
        if shown.chars().any(char::is_alphanumeric) {
            return Some(shown.to_owned());
        }
    }
    None
}

/// Where `quote` ends the text, if it does and is not of an argument such as `[--sep ","]`.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, character)| {
        let ends = character == quote && !escaped;
        escaped = character == '\\' && !escaped;
        ends.then_some(at)
    })
}

/// Finds a word without regard to case, where it starts a word.
fn find_word(line: &str, word: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    lower.match_indices(word).map(|(at, _)| at).find(|at| {
        lower[..*at].chars().next_back().is_none_or(|before| !before.is_alphanumeric() && before != '_')
    })
}

/// The line with the script's name in place of what stands for it.
fn named(line: &str, name: &str) -> String {
    let mut out = line.to_owned();
    for mark in [
        "$(basename \"$0\")",
        "$(basename $0)",
        "${0##*/}",
        "$0",
        "{sys.argv[0]}",
        "{os.path.basename(__file__)}",
        "%(prog)s",
        "{__file__}",
        "${process.argv[1]}",
        "%s",
    ] {
        out = out.replace(mark, name);
    }
    out
}

/// The arguments of all `add_argument` calls, as `argparse` itself would list them, but for their order.
fn argparse(name: &str, text: &str) -> Option<String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(".add_argument(") {
        rest = &rest[at + ".add_argument(".len()..];
        let call = Call::read(rest)?;
        rest = &rest[call.length..];
        parts.extend(call.shown());
        if parts.len() > MAX_ARGUMENTS {
            return None;
        }
    }
    // Options first, then what has a place, as argparse shows them.
    let (options, places): (Vec<String>, Vec<String>) =
        parts.into_iter().partition(|part| part.trim_start_matches('[').starts_with('-'));
    let all: Vec<String> = std::iter::once(name.to_owned()).chain(options).chain(places).collect();
    (all.len() > 1).then(|| all.join(" "))
}

/// The arguments of one `add_argument` call.
struct Call<'text> {
    /// Arguments at the top level of the call, trimmed.
    arguments: Vec<&'text str>,
    /// Bytes up to behind the closing parenthesis.
    length: usize,
}

impl<'text> Call<'text> {
    /// Reads up to the closing parenthesis; `None` when there is none.
    fn read(text: &'text str) -> Option<Self> {
        let (mut arguments, mut start, mut depth) = (Vec::new(), 0, 0_usize);
        let mut quote: Option<char> = None;
        let mut escaped = false;
        for (at, character) in text.char_indices() {
            if let Some(open) = quote {
                if character == open && !escaped {
                    quote = None;
                }
                escaped = character == '\\' && !escaped;
                continue;
            }
            match character {
                '"' | '\'' => quote = Some(character),
                '(' | '[' | '{' => depth += 1,
                ')' if depth == 0 => {
                    arguments.push(text[start..at].trim());
                    return Some(Self { arguments, length: at + 1 });
                }
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    arguments.push(text[start..at].trim());
                    start = at + 1;
                }
                _ => {}
            }
        }
        None
    }

    fn named(&self, key: &str) -> Option<&'text str> {
        self.arguments.iter().find_map(|argument| {
            let (name, value) = argument.split_once('=')?;
            (name.trim() == key).then(|| value.trim())
        })
    }

    /// The argument as a usage line has it; `None` for what is computed or not shown.
    fn shown(&self) -> Option<String> {
        let names: Vec<&str> = self.arguments.iter().map_while(|argument| literal(argument)).collect();
        if self.named("help").is_some_and(|help| help.ends_with("SUPPRESS")) {
            return None;
        }
        let name = *names.first()?;
        let name = names.iter().find(|name| name.starts_with("--")).copied().unwrap_or(name);
        let is_option = name.starts_with('-');
        let metavar = self.named("metavar").and_then(literal).map(str::to_owned);
        let nargs = self.named("nargs").and_then(literal);
        if !is_option {
            let value = metavar.unwrap_or_else(|| name.to_owned());
            return Some(match nargs {
                Some("?") => format!("[{value}]"),
                Some("*") => format!("[{value} ...]"),
                Some("+") => format!("{value} [{value} ...]"),
                _ => value,
            });
        }
        let action = self.named("action").map(|action| literal(action).unwrap_or(action));
        let takes_none = action.is_some_and(|action| {
            ["store_true", "store_false", "count", "version", "help", "BooleanOptionalAction"]
                .iter()
                .any(|none| action.ends_with(none))
        });
        let choices = self.named("choices").and_then(choices);
        let value = choices
            .or(metavar)
            .unwrap_or_else(|| name.trim_start_matches('-').replace('-', "_").to_uppercase());
        let text = if takes_none { name.to_owned() } else { format!("{name} {value}") };
        Some(if self.named("required") == Some("True") { text } else { format!("[{text}]") })
    }
}

/// The text of a plain string literal.
fn literal(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inner.contains([quote, '\\'])).then_some(inner)
}

/// `{a,b}` of a literal list or tuple of texts.
fn choices(text: &str) -> Option<String> {
    let inner = text.strip_prefix(['(', '['])?.strip_suffix([')', ']'])?;
    let items: Option<Vec<&str>> =
        inner.split(',').map(str::trim).filter(|item| !item.is_empty()).map(literal).collect();
    items.filter(|items| !items.is_empty()).map(|items| format!("{{{}}}", items.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(language: Language, text: &str, expected: Option<&str>) {
        assert_eq!(usage(language, "x.py", text).as_deref(), expected, "{text:?}");
    }

    #[test]
    fn a_usage_line_is_found_where_people_write_it() {
        let python = Language::Python;
        check(
            python,
            "\"\"\"Makes it.\n\nUsage: x.py FILE [--out DIR]\n\"\"\"",
            Some("x.py FILE [--out DIR]"),
        );
        check(python, "\"\"\"Makes it.\n\nUsage:\n    python x.py FILE\n\"\"\"", Some("python x.py FILE"));
        check(python, "    print(f\"Usage: {sys.argv[0]} IN OUT\", file=sys.stderr)\n", Some("x.py IN OUT"));
        check(python, "print('usage: %s FILE' % sys.argv[0])", Some("x.py FILE"));
        let bash = Language::Bash;
        check(bash, "#!/bin/bash\n# Counts.\n# Usage: count.sh FILE...\n", Some("count.sh FILE..."));
        check(bash, "echo \"Usage: $0 IN OUT\" >&2; exit 2\n", Some("x.py IN OUT"));
        check(bash, "echo \"usage: $(basename \"$0\") IN\"\n", Some("x.py IN"));
        check(bash, "cat <<EOF\nUsage: ${0##*/} [-v] FILE\nEOF\n", Some("x.py [-v] FILE"));
        check(bash, "# disk_usage: of no interest\n", None);
        check(bash, "# Usage:\n", None);
        check(Language::Node, "/**\n * Usage: node x.mjs FILE\n */", Some("node x.mjs FILE"));
        check(bash, "# Usage: \u{1b}[31mx FILE\n", Some("[31mx FILE"));
    }

    #[test]
    fn arguments_of_argparse_become_a_line() {
        let text = r#"
p = argparse.ArgumentParser(description="x (y)")
p.add_argument("source", help="where (or what) it is, with a comma")
p.add_argument("more", nargs="*")
p.add_argument("-o", "--output", metavar="NAME", help='the "name", please')
p.add_argument("--format", choices=("png", "svg"))
p.add_argument("--level", choices=LEVELS, type=str.upper)
p.add_argument("--data", required=True)
p.add_argument("-v", action="store_true")
p.add_argument("--no-network", dest="x", action='store_false')
p.add_argument("--secret", help=argparse.SUPPRESS)
p.add_argument(*COMMON)
"#;
        check(
            Language::Python,
            text,
            Some(
                "x.py [--output NAME] [--format {png,svg}] [--level LEVEL] --data DATA [-v] [--no-network] source [more ...]",
            ),
        );
        check(Language::Python, "p.add_argument('unclosed", None);
        check(Language::Python, "import os\n", None);
        check(Language::Bash, "p.add_argument('x')", None);
    }

    #[test]
    fn long_lines_end_between_words() {
        let text = format!("# Usage: x {}\n", "[--word] ".repeat(100));
        let shown = usage(Language::Bash, "x", &text).unwrap();
        assert!(shown.ends_with("[--word] …") && shown.chars().count() <= MAX_CHARS + 2, "{shown}");
    }
}
