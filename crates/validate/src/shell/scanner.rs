//! One pass over a shell script, with a stack of the lists of commands that are open.

use crate::shell::{Command, Shell, Word, is_assignment, is_name};

/// The deepest nesting of `$(…)` and `(…)` that is looked at.
const MAX_DEPTH: usize = 50;

/// What a frame is inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Script,
    /// `( … )` and `$( … )`.
    Parenthesis,
    /// `` ` … ` ``
    Backquote,
}

/// A list of commands that is being read.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    command: Command,
    word: Option<Word>,
    /// Whether the next word is the file of a redirection: `None`, to be read, or to be written.
    redirection: Option<bool>,
    in_quotes: bool,
    /// How many `case` are open.
    cases: usize,
    /// Whether a pattern of `case` is expected.
    in_pattern: bool,
}

impl Frame {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            command: Command::default(),
            word: None,
            redirection: None,
            in_quotes: false,
            cases: 0,
            in_pattern: false,
        }
    }
}

pub(super) struct Scanner<'text> {
    text: &'text str,
    at: usize,
    pub(super) shell: Shell,
    frames: Vec<Frame>,
    frame: Frame,
    /// Ends of here-documents that begin on the next line; whether tabs before them are dropped.
    heredocs: Vec<(String, bool)>,
}

impl<'text> Scanner<'text> {
    pub(super) fn new(text: &'text str) -> Self {
        Self {
            text,
            at: 0,
            shell: Shell::default(),
            frames: Vec::new(),
            frame: Frame::new(Kind::Script),
            heredocs: Vec::new(),
        }
    }
}

impl Scanner<'_> {
    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn starts_with(&self, text: &str) -> bool {
        self.text.as_bytes()[self.at..].starts_with(text.as_bytes())
    }

    pub(super) fn run(&mut self) {
        while let Some(byte) = self.byte(0) {
            let before = self.at;
            if self.frame.in_quotes {
                self.in_quotes(byte);
            } else {
                self.outside(byte);
            }
            // Whatever happens, the text is read to its end.
            if self.at <= before {
                self.at = before + 1;
            }
        }
        while !self.frames.is_empty() {
            self.pop();
        }
        self.end_command();
    }

    fn in_quotes(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.frame.in_quotes = false;
                self.at += 1;
            }
            b'\\' => {
                self.at += 1;
                self.literal();
            }
            b'$' => self.dollar(),
            b'`' => self.backquote(),
            _ => self.literal(),
        }
    }

    fn outside(&mut self, byte: u8) {
        match byte {
            b' ' | b'\t' | b'\r' => {
                self.end_word();
                self.at += 1;
            }
            b'\n' => {
                self.end_command();
                self.at += 1;
                self.skip_heredocs();
            }
            b'#' if self.frame.word.is_none() => {
                self.at = memchr::memchr(b'\n', &self.text.as_bytes()[self.at..])
                    .map_or(self.text.len(), |end| self.at + end);
            }
            b'\'' => self.single_quotes(),
            b'"' => {
                self.word();
                self.frame.in_quotes = true;
                self.at += 1;
            }
            b'\\' => {
                if self.byte(1) == Some(b'\n') {
                    self.at += 2;
                } else {
                    self.at += 1;
                    self.literal();
                }
            }
            b'$' if self.byte(1) == Some(b'\'') => {
                self.at += 1;
                self.single_quotes();
                self.expanded();
            }
            b'$' => self.dollar(),
            b'`' => self.backquote(),
            b'|' | b'&' if self.is_in_test() => {
                self.end_word();
                self.at += 1;
            }
            b';' | b'|' => {
                self.end_command();
                if byte == b';' && self.byte(1) == Some(b';') && self.frame.cases > 0 {
                    self.frame.in_pattern = true;
                }
                self.at += 1;
            }
            b'&' => self.ampersand(),
            b'<' | b'>' => self.redirection(byte),
            b'(' => self.open_parenthesis(),
            b')' => self.close_parenthesis(),
            _ => self.literal(),
        }
    }

    /// Whether it is between `[[` and `]]`, where operators mean something else.
    fn is_in_test(&self) -> bool {
        let words = &self.frame.command.words;
        words.first().is_some_and(|word| word.start == "[[")
            && words.last().is_some_and(|word| word.start != "]]")
    }

    /// Takes the next character as it is.
    fn literal(&mut self) {
        let Some(character) = self.text[self.at..].chars().next() else { return };
        let (at, length) = (self.at, character.len_utf8());
        let word = self.word();
        if word.is_literal {
            word.start.push(character);
        }
        word.range.end = at + length;
        self.at = at + length;
    }

    fn word(&mut self) -> &mut Word {
        let at = self.at;
        self.frame.word.get_or_insert_with(|| Word { range: at..at, start: String::new(), is_literal: true })
    }

    fn expanded(&mut self) {
        let at = self.at;
        let word = self.word();
        word.is_literal = false;
        word.range.end = at;
    }

    fn single_quotes(&mut self) {
        let start = self.at + 1;
        let length = memchr::memchr(b'\'', &self.text.as_bytes()[start..]).unwrap_or(self.text.len() - start);
        let content = self.text[start..start + length].to_owned();
        let end = (start + length + 1).min(self.text.len());
        let word = self.word();
        if word.is_literal {
            word.start.push_str(&content);
        }
        word.range.end = end;
        self.at = end;
    }

    fn dollar(&mut self) {
        let start = self.at;
        match self.byte(1) {
            Some(b'(') if self.byte(2) == Some(b'(') => {
                self.skip_balanced(b'(', b')');
                self.expanded();
            }
            Some(b'(') => {
                self.at += 2;
                self.expanded();
                self.push(Kind::Parenthesis);
            }
            Some(b'{') => {
                let name: String = self.text[start + 2..]
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                let after = &self.text[start + 2 + name.len()..];
                let has_default = after.starts_with([':', '-', '=', '+']) && !after.starts_with(":?");
                self.skip_balanced(b'{', b'}');
                self.expanded();
                self.variable(start, name, has_default);
            }
            Some(next) if next == b'_' || next.is_ascii_alphabetic() => {
                let name: String = self.text[start + 1..]
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                self.at = start + 1 + name.len();
                self.expanded();
                self.variable(start, name, false);
            }
            Some(next) if next.is_ascii_digit() || b"@*#?$!-".contains(&next) => {
                self.at += 2;
                self.expanded();
            }
            _ => self.literal(),
        }
    }

    fn variable(&mut self, start: usize, name: String, has_default: bool) {
        if is_name(&name) {
            self.shell.variables.push((start..self.at, name, has_default));
        }
    }

    /// Behind what `open` opens, which comes within the next bytes; to the end of the text when it is never closed.
    fn skip_balanced(&mut self, open: u8, close: u8) {
        let mut depth = 0_usize;
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            self.at += 1;
            match *byte {
                b'\\' => self.at += 1,
                byte if byte == open => depth += 1,
                byte if byte == close => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        break;
                    }
                }
                _ => {}
            }
        }
        self.at = self.text.ceil_char_boundary(self.at.min(self.text.len()));
    }

    fn backquote(&mut self) {
        self.at += 1;
        if self.frame.kind == Kind::Backquote && !self.frame.in_quotes {
            self.pop();
        } else {
            self.expanded();
            self.push(Kind::Backquote);
        }
    }

    fn push(&mut self, kind: Kind) {
        // Beyond the bound the inner commands are read as if they stood in the outer list.
        if self.frames.len() < MAX_DEPTH {
            let outer = std::mem::replace(&mut self.frame, Frame::new(kind));
            self.frames.push(outer);
        }
    }

    fn pop(&mut self) {
        self.end_command();
        if let Some(outer) = self.frames.pop() {
            self.frame = outer;
            if self.frame.word.is_some() {
                self.expanded();
            }
        }
    }

    fn ampersand(&mut self) {
        match (self.byte(1), self.text.as_bytes().get(self.at.wrapping_sub(1))) {
            (Some(b'>'), _) => {
                self.end_word();
                self.at += 1;
            }
            // `2>&1`, `<&3`
            (_, Some(b'>' | b'<')) => self.literal(),
            (next, _) => {
                self.end_word();
                self.frame.command.background = next != Some(b'&');
                self.end_command();
                self.at += if next == Some(b'&') { 2 } else { 1 };
            }
        }
    }

    fn redirection(&mut self, byte: u8) {
        // The number before it is no word.
        if self.frame.word.as_ref().is_some_and(|word| word.start.bytes().all(|byte| byte.is_ascii_digit())) {
            self.frame.word = None;
        }
        self.end_word();
        // In a test they compare, and `<(…)` is a file.
        if self.is_in_test() {
            self.at += 1;
        } else if self.byte(1) == Some(b'(') {
            self.word();
            self.at += 2;
            self.expanded();
            self.push(Kind::Parenthesis);
        } else if self.starts_with("<<<") {
            self.at += 3;
            self.frame.redirection = Some(false);
        } else if self.starts_with("<<") {
            self.at += 2;
            let tabs = self.byte(0) == Some(b'-');
            self.at += usize::from(tabs);
            let rest = self.text[self.at..].trim_start_matches([' ', '\t']);
            let end: String = rest
                .chars()
                .take_while(|c| !c.is_whitespace() && !matches!(c, ';' | '&' | '|' | ')' | '<' | '>'))
                .filter(|c| !matches!(c, '\'' | '"' | '\\'))
                .collect();
            if !end.is_empty() {
                self.heredocs.push((end, tabs));
            }
            self.frame.redirection = Some(false);
        } else {
            self.at += 1;
            while self.byte(0).is_some_and(|next| matches!(next, b'>' | b'|')) {
                self.at += 1;
            }
            self.frame.redirection = Some(byte == b'>');
        }
    }

    fn skip_heredocs(&mut self) {
        for (end, tabs) in std::mem::take(&mut self.heredocs) {
            while self.at < self.text.len() {
                let rest = &self.text[self.at..];
                let line = rest.split('\n').next().unwrap_or_default();
                self.at = (self.at + line.len() + 1).min(self.text.len());
                let line = line.strip_suffix('\r').unwrap_or(line);
                if (if tabs { line.trim_start_matches('\t') } else { line }) == end {
                    break;
                }
            }
        }
    }

    fn open_parenthesis(&mut self) {
        // `name()` defines a function, `name=(` an array, `((` computes.
        if let Some(word) = &self.frame.word {
            if self.byte(1) == Some(b')') {
                self.shell.functions.insert(word.start.clone());
                self.frame.word = None;
                self.at += 2;
                return;
            }
            if word.start.ends_with('=') && word.is_literal {
                self.skip_balanced(b'(', b')');
                self.expanded();
                return;
            }
        }
        if self.frame.in_pattern || self.is_in_test() {
            self.at += 1;
        } else if self.byte(1) == Some(b'(') && self.frame.command.words.is_empty() {
            self.skip_balanced(b'(', b')');
        } else if self.byte(1) == Some(b')') && self.frame.command.words.len() == 1 {
            let name = self.frame.command.words.remove(0);
            self.shell.functions.insert(name.start);
            self.at += 2;
        } else {
            self.end_word();
            self.at += 1;
            self.push(Kind::Parenthesis);
        }
    }

    fn close_parenthesis(&mut self) {
        self.at += 1;
        if self.frame.in_pattern {
            self.frame.word = None;
            self.frame.command = Command::default();
            self.frame.in_pattern = false;
        } else if self.is_in_test() {
            self.end_word();
        } else if self.frame.kind == Kind::Parenthesis {
            self.pop();
        } else {
            self.end_command();
        }
    }

    fn end_word(&mut self) {
        let Some(word) = self.frame.word.take() else { return };
        if let Some(written) = self.frame.redirection.take() {
            if written {
                self.frame.command.outputs.push(word);
            }
            return;
        }
        if self.frame.in_pattern {
            if word.text() == Some("esac") {
                self.frame.in_pattern = false;
                self.frame.cases = self.frame.cases.saturating_sub(1);
            }
            return;
        }
        let words = &mut self.frame.command.words;
        if words.is_empty() {
            if let Some(name) = is_assignment(&word.start) {
                self.shell.assigned.insert(name.to_owned());
                return;
            }
            match word.text() {
                Some(
                    "if" | "then" | "else" | "elif" | "do" | "while" | "until" | "!" | "{" | "}" | "fi"
                    | "done",
                ) => return,
                Some("esac") => {
                    self.frame.cases = self.frame.cases.saturating_sub(1);
                    return;
                }
                _ => {}
            }
        }
        if word.text() == Some("{") && words.first().is_some_and(|first| first.start == "function") {
            self.shell.functions.extend(words.get(1).and_then(Word::text).map(str::to_owned));
            self.frame.command = Command::default();
            return;
        }
        let ends_case = word.text() == Some("in") && words.first().is_some_and(|first| first.start == "case");
        words.push(word);
        if ends_case {
            self.frame.command = Command::default();
            self.frame.cases += 1;
            self.frame.in_pattern = true;
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.frame.redirection = None;
        if self.frame.in_pattern {
            return;
        }
        let command = std::mem::take(&mut self.frame.command);
        let literal = |index: usize| command.words.get(index).and_then(Word::text);
        match literal(0) {
            Some("for" | "select") => {
                self.shell.assigned.extend(literal(1).map(str::to_owned));
                return;
            }
            Some("function") => {
                self.shell.functions.extend(literal(1).map(str::to_owned));
                return;
            }
            Some("case" | "[[") => return,
            Some("export" | "local" | "declare" | "readonly" | "typeset" | "read") => {
                for word in &command.words[1..] {
                    let name =
                        is_assignment(&word.start).or_else(|| word.text().filter(|text| is_name(text)));
                    // `export NAME` alone passes on what is there.
                    if literal(0) != Some("export") || word.start.contains('=') {
                        self.shell.assigned.extend(name.map(str::to_owned));
                    }
                }
            }
            _ => {}
        }
        if !command.words.is_empty() || !command.outputs.is_empty() {
            self.shell.commands.push(command);
        }
    }
}
