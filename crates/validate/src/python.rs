//! A Python script, taken apart once: what it imports and calls, and where its syntax is wrong.
//!
//! The parser recovers from errors, but what it makes of a broken script is not looked at. The tree is as deep as the text
//! wants; the walk stops at [`MAX_DEPTH`], and a deeper tree is dropped on a stack of its own, so no text can exhaust the stack.

mod nesting;
mod reader;

use std::ops::Range;

use ruff_python_ast::{Expr, FStringPart, Mod, PythonVersion, visitor::Visitor as _};
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};

use self::reader::Reader;

/// The deepest nesting of statements and expressions that is looked at. Written programs stay below 50.
const MAX_DEPTH: usize = 200;
/// Stack for each byte of a text whose tree is deeper than that, in bytes.
const STACK_FOR_BYTE: usize = 512;

/// The most texts that begin with something computed; a script with more is not looked at.
const MAX_OPENINGS: usize = 5_000;

/// What is known about a Python script.
#[derive(Debug, Default)]
pub(crate) struct Python {
    /// Why it is no Python, in order.
    pub(crate) errors: Vec<(Range<usize>, String)>,
    /// Syntax that Python 3.11 does not have.
    pub(crate) newer: Vec<(Range<usize>, String)>,
    pub(crate) imports: Vec<Import>,
    pub(crate) calls: Vec<Call>,
    /// Variables of the environment that are read without a default.
    pub(crate) variables: Vec<(Range<usize>, String)>,
    /// Whether it has `if __name__ == "__main__"`.
    pub(crate) has_main: bool,
}

/// One imported module.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) range: Range<usize>,
    /// The module with its dots; empty in `from . import x`.
    pub(crate) module: String,
    /// How many dots stand before it.
    pub(crate) level: u32,
    /// What is imported from it.
    pub(crate) names: Vec<String>,
    pub(crate) need: Need,
}

/// When an import must succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// When the script starts.
    Start,
    /// When a function is called.
    Later,
    /// Never: its failure is handled, it depends on the system, or it is for type checkers.
    Optional,
}

/// One call of something with a name.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) range: Range<usize>,
    /// What is called, with imported names in full: `subprocess.run`, `pathlib.Path().write_text`, `?.save`.
    pub(crate) name: String,
    /// The first literal argument of the call that the called method belongs to: `out` in `Path("out").write_text`.
    pub(crate) receiver: Option<Literal>,
    pub(crate) arguments: Vec<Literal>,
    /// Whether the script goes on when it fails.
    pub(crate) is_handled: bool,
    /// The arguments with a name. A list, as there are few: a map takes half a kilobyte for each of many thousand calls.
    pub(crate) keywords: Vec<(String, Literal)>,
}

/// An argument, as far as it stands in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Literal {
    Text(String),
    /// A text that begins so and goes on with something computed.
    Prefix(String),
    List(Vec<Self>),
    Unknown,
}

impl Literal {
    /// The text or what it begins with.
    pub(crate) fn start(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Prefix(text) => Some(text),
            Self::List(_) | Self::Unknown => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Prefix(_) | Self::List(_) | Self::Unknown => None,
        }
    }

    fn of(expression: &Expr) -> Self {
        match expression {
            Expr::StringLiteral(text) => Self::Text(text.value.to_str().to_owned()),
            Expr::FString(text) => {
                let mut start = String::new();
                for part in &text.value {
                    match part {
                        FStringPart::Literal(literal) => start.push_str(literal.as_str()),
                        FStringPart::FString(part) => {
                            for element in &part.elements {
                                match element.as_literal() {
                                    Some(literal) => start.push_str(literal),
                                    None => return Self::Prefix(start),
                                }
                            }
                        }
                    }
                }
                Self::Text(start)
            }
            // Only the leftmost part of a sum can be the start of the text.
            Expr::BinOp(sum) => match &*sum.left {
                Expr::StringLiteral(text) => Self::Prefix(text.value.to_str().to_owned()),
                _ => Self::Unknown,
            },
            Expr::List(list) => Self::List(list.elts.iter().map(Self::of_item).collect()),
            Expr::Tuple(list) => Self::List(list.elts.iter().map(Self::of_item).collect()),
            _ => Self::Unknown,
        }
    }

    /// Lists in lists are no argument of anything that is looked at.
    fn of_item(expression: &Expr) -> Self {
        match expression {
            Expr::List(_) | Expr::Tuple(_) => Self::Unknown,
            other => Self::of(other),
        }
    }
}

impl Call {
    /// The argument at `position` or called `keyword`.
    pub(crate) fn argument(&self, position: usize, keyword: &str) -> Option<&Literal> {
        let named = self.keywords.iter().find(|(name, _)| name == keyword).map(|(_, value)| value);
        named.or_else(|| self.arguments.get(position))
    }

    /// The last part of the name.
    pub(crate) fn method(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }
}

impl Python {
    pub(crate) fn parse(text: &str) -> Self {
        // Nobody writes such a thing but to see what becomes of its readers.
        if nesting::is_too_deep(text) {
            return Self::default();
        }
        // The parser's time grows with the square of how deep these are in each other.
        let openings =
            ["'{", "\"{"].map(|opening| memchr::memmem::find_iter(text.as_bytes(), opening).count());
        if openings.iter().sum::<usize>() > MAX_OPENINGS {
            return Self::default();
        }
        // An editor's mark at the start is no part of the program.
        let skipped = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let options = ParseOptions::from(Mode::Module).with_target_version(PythonVersion::PY311);
        let parsed = parse_unchecked(&text[skipped..], options);
        let mut reader = Reader::new(skipped);
        for error in parsed.errors() {
            reader.python.errors.push((reader.range(error.location), error.error.to_string()));
        }
        for error in parsed.unsupported_syntax_errors() {
            reader.python.newer.push((reader.range(error.range), error.to_string()));
        }
        if reader.python.errors.is_empty()
            && let Mod::Module(module) = parsed.syntax()
        {
            reader.visit_body(&module.body);
        }
        // What was not walked may be deep as well.
        if reader.too_deep || !reader.python.errors.is_empty() {
            stacker::grow(text.len() * STACK_FOR_BYTE + (1 << 20), || drop(parsed));
        }
        reader.python
    }

    /// The calls of any of `names`.
    pub(crate) fn calls_of<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a Call> {
        self.calls.iter().filter(|call| names.contains(&call.name.as_str()))
    }

    /// The programs that it starts, each as its words as far as they are known.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (&Call, Vec<Literal>)> {
        const STARTERS: [&str; 11] = [
            "subprocess.run",
            "subprocess.call",
            "subprocess.check_call",
            "subprocess.check_output",
            "subprocess.Popen",
            "subprocess.getoutput",
            "subprocess.getstatusoutput",
            "os.system",
            "os.popen",
            "asyncio.create_subprocess_shell",
            "asyncio.create_subprocess_exec",
        ];
        self.calls_of(&STARTERS).filter_map(|call| {
            let words = match call.argument(0, "args")? {
                Literal::List(words) => words.clone(),
                Literal::Text(line) | Literal::Prefix(line) if call.name.ends_with("_exec") => {
                    let mut words = vec![Literal::Text(line.clone())];
                    words.extend(call.arguments.iter().skip(1).cloned());
                    words
                }
                Literal::Text(line) | Literal::Prefix(line) => {
                    line.split_whitespace().map(|word| Literal::Text(word.to_owned())).collect()
                }
                Literal::Unknown => return None,
            };
            Some((call, words))
        })
    }
}

#[cfg(test)]
mod tests;
