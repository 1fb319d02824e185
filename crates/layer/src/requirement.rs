//! One requirement of a skill, parsed strictly.
//!
//! What a bundle asks for is untrusted, and what pip and uv accept on a line is far more than a name and a version:
//! options, URLs, paths, `${VARIABLES}`. So a line is parsed here to the last byte, and the tools only ever see the
//! text that [`Requirement`] prints again from its parts. Whatever this grammar does not know is refused; there is
//! no pass-through.
//!
//! ```text
//!   name [extras] (specifiers) ; marker --hash=sha256:…
//! ```

use std::fmt;

/// Words that a marker may compare, from the dependency specifier standard.
const MARKER_VARIABLES: [&str; 12] = [
    "python_version",
    "python_full_version",
    "os_name",
    "sys_platform",
    "platform_release",
    "platform_system",
    "platform_version",
    "platform_machine",
    "platform_python_implementation",
    "implementation_name",
    "implementation_version",
    "extra",
];

/// Longest operators first, so that `==` is never read out of `===`.
const OPERATORS: [&str; 8] = ["===", "~=", "==", "!=", "<=", ">=", "<", ">"];

/// The one hash that locks a file: what pip, uv and the index write. md5 and sha1 are forgeable.
const HASH: (&str, usize) = ("sha256", 64);

/// Bound on the nesting of parentheses in a marker, since the parser recurses.
const MARKER_DEPTH: usize = 16;

/// A package that a skill needs: the only form of requirement that reaches pip or uv.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Requirement {
    /// Normalized name: lowercase, with single hyphens.
    pub(crate) name: String,
    /// Normalized, sorted, without repetition.
    pub(crate) extras: Vec<String>,
    /// Each an operator and a version, sorted.
    pub(crate) specifiers: Vec<String>,
    /// The environment marker in canonical spacing.
    pub(crate) marker: Option<String>,
    /// `sha256:<hex>` values, sorted. Never given to the tools as they are: the lock is held against them.
    pub(crate) hashes: Vec<String>,
}

impl Requirement {
    /// Parses one logical line: comments removed, continuations joined.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        refuse_other_forms(line)?;
        let mut cursor = Cursor { rest: line.trim() };
        let name = cursor.name().ok_or("it does not start with the name of a package")?;
        let extras = cursor.extras()?;
        let specifiers = cursor.specifiers()?;
        cursor.space();
        let marker = if cursor.eat(";") { Some(cursor.marker(0)?) } else { None };
        let hashes = cursor.hashes()?;
        cursor.space();
        if !cursor.rest.is_empty() {
            return Err(format!("`{}` is not understood there", shorten(cursor.rest)));
        }
        Ok(Self { name, extras, specifiers, marker, hashes })
    }

    /// The name with its extras, as people know the package.
    pub(crate) fn label(&self) -> String {
        if self.extras.is_empty() {
            self.name.clone()
        } else {
            format!("{}[{}]", self.name, self.extras.join(","))
        }
    }
}

/// The line for the tools, without hashes: one line, printable ASCII, and nothing in it but the parsed parts.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.label(), self.specifiers.join(","))?;
        match &self.marker {
            Some(marker) => write!(f, " ; {marker}"),
            None => Ok(()),
        }
    }
}

/// The normalized form of a package name: names that differ only in case or in `-`, `_`, `.` are one package.
pub(crate) fn normalize(name: &str) -> String {
    let mut normalized = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normalized.ends_with('-') => {}
            '-' | '_' | '.' => normalized.push('-'),
            c => normalized.push(c.to_ascii_lowercase()),
        }
    }
    normalized
}

/// At most 80 characters of text from a bundle, for a message.
pub(crate) fn shorten(text: &str) -> String {
    let escaped: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().count() > 80 { format!("{escaped}…") } else { escaped }
}

/// Names the known dangerous forms, so that the author learns why and not only that the grammar failed.
fn refuse_other_forms(line: &str) -> Result<(), String> {
    // Attack: control characters or look-alike letters that make a line read differently for people and for tools.
    if let Some(c) = line.chars().find(|c| !c.is_ascii() || (c.is_ascii_control() && *c != '\t')) {
        return Err(format!("the character U+{:04X} is not allowed", u32::from(c)));
    }
    let head = line.trim_start();
    // Attack: options choose another index, read files of the host or switch source builds on.
    if head.starts_with('-') {
        let option = head.split(['=', ' ', '\t']).next().unwrap_or(head);
        return Err(format!("the option `{}` is not allowed; only packages are", shorten(option)));
    }
    // Attack: pip replaces `${NAME}` by the environment, which would send a secret to an index.
    if line.contains('$') {
        return Err("environment variables are not replaced".to_owned());
    }
    let before_marker = line.split(';').next().unwrap_or(line);
    let before_hash = before_marker.split("--hash").next().unwrap_or(before_marker);
    // Attack: a URL is a request from the host to anywhere, and the file there is in no index.
    if ["git+", "hg+", "svn+", "bzr+"].iter().any(|scheme| before_hash.contains(scheme)) {
        return Err("version control URLs are not allowed; name a released version instead".to_owned());
    }
    if before_hash.contains("://") || before_hash.contains("file:") || before_hash.contains('@') {
        return Err("direct URLs are not allowed; name a released version instead".to_owned());
    }
    // Attack: a path is a file of the host, and a source folder would be built, which runs its code.
    let path = before_hash.trim().to_ascii_lowercase();
    let archive = [".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar"];
    if path.starts_with(['.', '~'])
        || path.contains(['/', '\\'])
        || archive.iter().any(|extension| path.ends_with(extension))
    {
        return Err("paths are not allowed; name a released version instead".to_owned());
    }
    Ok(())
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn take(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// A name starts and ends with a letter or digit.
    fn name(&mut self) -> Option<String> {
        self.space();
        let taken = self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        let sound = taken.len() <= 128
            && taken.starts_with(|c: char| c.is_ascii_alphanumeric())
            && taken.ends_with(|c: char| c.is_ascii_alphanumeric());
        sound.then(|| normalize(taken))
    }

    fn extras(&mut self) -> Result<Vec<String>, String> {
        let mut extras = Vec::new();
        self.space();
        if !self.eat("[") {
            return Ok(extras);
        }
        loop {
            self.space();
            if extras.is_empty() && self.eat("]") {
                break;
            }
            extras.push(self.name().ok_or("an extra in `[…]` has no valid name")?);
            self.space();
            if self.eat("]") {
                break;
            }
            if !self.eat(",") {
                return Err("the extras in `[…]` are not closed".to_owned());
            }
        }
        extras.sort();
        extras.dedup();
        Ok(extras)
    }

    fn specifiers(&mut self) -> Result<Vec<String>, String> {
        self.space();
        let parenthesis = self.eat("(");
        let mut specifiers = Vec::new();
        loop {
            self.space();
            let Some(operator) = OPERATORS.iter().find(|operator| self.eat(operator)) else {
                if specifiers.is_empty() {
                    break;
                }
                return Err("a comma must be followed by another version, as in `>=1,<2`".to_owned());
            };
            self.space();
            let version =
                self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '*' | '+' | '!' | '-' | '_'));
            if !version.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                return Err(format!("no version follows `{operator}`"));
            }
            specifiers.push(format!("{operator}{version}"));
            self.space();
            if !self.eat(",") {
                break;
            }
        }
        self.space();
        if parenthesis && !self.eat(")") {
            return Err("the versions in `(…)` are not closed".to_owned());
        }
        specifiers.sort();
        specifiers.dedup();
        Ok(specifiers)
    }

    /// A marker: comparisons joined by `and`, `or` and parentheses, printed back with one space between words.
    fn marker(&mut self, depth: usize) -> Result<String, String> {
        if depth > MARKER_DEPTH {
            return Err("its marker is nested too deeply".to_owned());
        }
        let mut text = String::new();
        loop {
            self.space();
            if self.eat("(") {
                let inner = self.marker(depth + 1)?;
                self.space();
                if !self.eat(")") {
                    return Err("a parenthesis in its marker is not closed".to_owned());
                }
                text.push_str(&format!("({inner})"));
            } else {
                let left = self.marker_value()?;
                let operator = self.marker_operator()?;
                let right = self.marker_value()?;
                text.push_str(&format!("{left} {operator} {right}"));
            }
            match self.word(&["and", "or"]) {
                Some(word) => text.push_str(&format!(" {word} ")),
                None => return Ok(text),
            }
        }
    }

    fn marker_value(&mut self) -> Result<String, String> {
        self.space();
        for quote in ['"', '\''] {
            if let Some(rest) = self.rest.strip_prefix(quote) {
                let end = rest.find(quote).ok_or("a quotation mark in its marker is not closed")?;
                let (value, rest) = (&rest[..end], &rest[end + 1..]);
                // Attack: `#`, `$` and `\` mean something to the readers of requirements files even in quotes.
                if !value.chars().all(|c| c.is_ascii_alphanumeric() || " ._-+*!,/()".contains(c)) {
                    return Err(format!(
                        "`{}` in its marker has characters that are not allowed",
                        shorten(value)
                    ));
                }
                self.rest = rest;
                return Ok(format!("\"{value}\""));
            }
        }
        let word = self.take(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        match MARKER_VARIABLES.contains(&word) {
            true => Ok(word.to_owned()),
            false => Err(format!("its marker has `{}`, which no marker knows", shorten(word))),
        }
    }

    fn marker_operator(&mut self) -> Result<&'static str, String> {
        self.space();
        if let Some(operator) = OPERATORS.into_iter().find(|operator| self.eat(operator)) {
            return Ok(operator);
        }
        match self.word(&["in", "not"]) {
            Some("not") if self.word(&["in"]).is_some() => Ok("not in"),
            Some("in") => Ok("in"),
            _ => Err("its marker has no comparison where one is needed".to_owned()),
        }
    }

    /// Takes one of the words when it stands here as a whole word.
    fn word(&mut self, words: &[&'static str]) -> Option<&'static str> {
        self.space();
        words.iter().copied().find(|word| {
            let Some(rest) = self.rest.strip_prefix(word) else { return false };
            let whole = !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            if whole {
                self.rest = rest;
            }
            whole
        })
    }

    fn hashes(&mut self) -> Result<Vec<String>, String> {
        let mut hashes = Vec::new();
        loop {
            self.space();
            if !self.rest.starts_with('-') {
                break;
            }
            if !(self.eat("--hash=") || self.eat("--hash ")) {
                let option = self.take(|c| c != ' ' && c != '=');
                return Err(format!("the option `{}` is not allowed; only `--hash` is", shorten(option)));
            }
            self.space();
            let hash = self.take(|c| c != ' ' && c != '\t').to_ascii_lowercase();
            let sound = hash.split_once(':').is_some_and(|(algorithm, digest)| {
                (algorithm, digest.len()) == HASH && digest.bytes().all(|b| b.is_ascii_hexdigit())
            });
            if !sound {
                return Err(format!("`{}` is not a sha256 hash", shorten(&hash)));
            }
            hashes.push(hash);
        }
        hashes.sort();
        hashes.dedup();
        Ok(hashes)
    }
}

#[cfg(test)]
mod tests;
