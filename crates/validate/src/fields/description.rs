//! The description: what a model sees of the skill before it picks it.

use skill::{Diagnostic, Field, Rule};

use super::value;
use crate::{
    pattern::Pattern,
    subject::{Findings, Subject, Text},
};

/// Fewer characters can hardly say what and when.
const SHORT: usize = 20;
/// So many quoted words, or short pieces between commas, are a heap of keywords.
const MANY_QUOTED: usize = 5;
const MANY_PIECES: usize = 8;

/// Words that say when something is used.
const WHEN: &str = "when whenever trigger triggers triggered ask asks want wants help helps before after during while guide guides guidance \
                    quand wenn cuando quando";
const WHEN_PHRASES: [&[&str]; 4] =
    [&["in", "case"], &["to", "be", "used"], &["should", "be", "used"], &["applies", "to"]];
/// Words that say it together with one of those behind them.
const WHEN_BEFORE: [(&str, &str); 6] = [
    ("if", "the you a an someone user users"),
    ("use", "this it for to the with before after during"),
    ("used", "for to"),
    ("for", "use tasks working creating users any"),
    ("need", "to"),
    ("needs", "to"),
];

/// What a template has where an author should write.
static TEMPLATE: Pattern = Pattern::new(
    r"(?i)\b(todo|tbd|fixme|lorem ipsum|replace with|replace this|your description|description (goes )?here|insert .{1,20} here)\b",
    &[&[
        "todo",
        "tbd",
        "fixme",
        "lorem ipsum",
        "replace with",
        "replace this",
        "your description",
        "description",
        "insert ",
    ]],
);
/// Markdown that a list of descriptions would show as it is written.
static MARKUP: Pattern = Pattern::new(
    r"(?m)\*\*[^*\n]+\*\*|^#{1,6} |^\s*[-*] .*\n\s*[-*] |\]\(https?://|```",
    &[&["**", "#", "\n", "](http", "```"]],
);
/// Sentences that command a model.
static INJECTION: [Pattern; 5] = [
    Pattern::new(
        r"(?i)\b(ignore|disregard|forget|override)\s+(all\s+|any\s+|the\s+|your\s+)*(previous|prior|above|earlier|other|system)\s+(instruction|prompt|rule|message|skill)s?\b",
        &[&["ignore", "disregard", "forget", "override"]],
    ),
    Pattern::new(r"(?i)\byou\s+are\s+now\s+(a|an|the|in)\b", &[&[r"\byou"], &["now"]]),
    Pattern::new(
        r"(?i)\b(do\s+not|don't|never)\s+(tell|inform|mention|reveal)\b.{0,30}\b(user|human)\b",
        &[&["tell", "inform", "mention", "reveal"], &["not", "don't", "never"]],
    ),
    Pattern::new(r"(?i)</?\s*(system|assistant|available_skills|skill)\s*>", &[&["<"]]),
    Pattern::new(
        r"(?i)\balways\s+(use|invoke|run|select|prefer)\s+this\s+skill\b.{0,40}\b(regardless|no\s+matter|every\s+(request|task|message)|instead\s+of)\b",
        &[&["always"]],
    ),
];

pub(super) fn check(subject: &Subject<'_>, found: &mut Findings) {
    let (Some(text), Some(frontmatter)) = (subject.skill_text(), subject.frontmatter()) else { return };
    let Some(field) = frontmatter.field("description") else { return };
    // The whole of it, as prompts have it; only its white space around is nobody's business.
    let Some(description) = frontmatter.description() else { return };
    let about = About { text, field, description };
    about.angle_brackets(found);
    about.length(frontmatter.name(), found);
    about.trigger(found);
    about.stuffing(found);
    about.template(found);
    about.markup(found);
    about.injection(found);
}

struct About<'skill> {
    text: &'skill Text,
    field: &'skill Field,
    description: &'skill str,
}

impl About<'_> {
    fn whole(&self, rule: Rule, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(rule, value(self.text, self.field), message)
    }

    /// A finding about a part, where that stands in the file as it is in the value.
    fn part(&self, rule: Rule, part: &str, message: impl Into<String>) -> Diagnostic {
        let span = self.field.value_span;
        let written = self.text.content.get(span.start.offset..span.end.offset).unwrap_or_default();
        let at = match written.find(part) {
            Some(at) if !part.is_empty() => {
                let start = span.start.offset + at;
                self.text.at(start..start + part.len())
            }
            _ => value(self.text, self.field),
        };
        Diagnostic::new(rule, at, message)
    }

    fn angle_brackets(&self, found: &mut Findings) {
        let Some(at) = self.description.find(['<', '>']) else { return };
        let bracket = &self.description[at..=at];
        found.push(
            self.part(
                Rule::DESCRIPTION_ANGLE_BRACKETS,
                bracket,
                format!("the description contains `{bracket}`; it is put between tags in prompts"),
            )
            .with_help("describe tags and placeholders in words"),
        );
    }

    fn length(&self, name: Option<&str>, found: &mut Findings) {
        let chars = self.description.chars().count();
        let letters = |text: &str| -> String {
            text.chars()
                .filter(|character| character.is_alphanumeric())
                .flat_map(char::to_lowercase)
                .collect()
        };
        // An ideograph says as much as a word.
        let dense = self.description.chars().any(|character| ('\u{3040}'..='\u{9fff}').contains(&character));
        let short = chars < if dense { SHORT / 2 } else { SHORT };
        let repeats = name.is_some_and(|name| letters(name) == letters(self.description));
        if short || repeats {
            let message = if repeats {
                "the description only repeats the name".to_owned()
            } else {
                format!("the description has only {chars} characters")
            };
            found.push(
                self.whole(Rule::DESCRIPTION_TOO_SHORT, message)
                    .with_help("say what the skill does and when to use it"),
            );
        }
    }

    fn trigger(&self, found: &mut Findings) {
        if !says_when(self.description) {
            found.push(
                self.whole(
                    Rule::DESCRIPTION_NO_TRIGGER,
                    "the description does not say when to use the skill",
                )
                .with_help("add a sentence such as `Use it when …`"),
            );
        }
    }

    fn stuffing(&self, found: &mut Findings) {
        let quoted = self.description.matches('"').count() / 2;
        // Sentences have commas, too; a heap of keywords has hardly anything else.
        let longest = self
            .description
            .split(['.', ';', '\n'])
            .map(|sentence| {
                let pieces = sentence.split(',').map(str::trim);
                let short = pieces.filter(|piece| !piece.is_empty() && piece.split_whitespace().count() <= 2);
                (short.count(), sentence.split_whitespace().count())
            })
            .filter(|(short, words)| *words < short * 2)
            .map(|(short, _)| short)
            .max()
            .unwrap_or_default();
        let message = if quoted >= MANY_QUOTED * 2 {
            format!("the description quotes {quoted} phrases")
        } else if longest >= MANY_PIECES {
            format!("the description lists {longest} keywords in a row")
        } else {
            return;
        };
        found.push(
            self.whole(Rule::DESCRIPTION_STUFFING, message)
                .with_help("write sentences; a model understands what is near"),
        );
    }

    fn template(&self, found: &mut Findings) {
        let Some(part) = TEMPLATE.find(self.description) else { return };
        // `todo` is also what skills about lists of tasks are about.
        let word = part.as_str();
        if word.eq_ignore_ascii_case("todo") && word != "TODO" {
            return;
        }
        if word == "TODO" && self.description.contains("TODOs") {
            return;
        }
        found.push(
            self.part(Rule::DESCRIPTION_TEMPLATE, word, format!("`{word}` was meant to be replaced"))
                .with_help("describe this skill"),
        );
    }

    fn markup(&self, found: &mut Findings) {
        let hidden = self.description.chars().find(|character| is_invisible(*character));
        if let Some(character) = hidden {
            let message =
                format!("the description has an invisible character (U+{:04X})", u32::from(character));
            found.push(
                self.part(Rule::DESCRIPTION_MARKUP, &character.to_string(), message).with_help("delete it"),
            );
        } else if let Some(part) = MARKUP.find(self.description) {
            found.push(
                self.part(
                    Rule::DESCRIPTION_MARKUP,
                    part.as_str().lines().next().unwrap_or_default(),
                    "the description is shown as plain text; Markdown stays as it is",
                )
                .with_help("write sentences"),
            );
        } else if self.description.contains('\n') {
            found.push(
                self.whole(Rule::DESCRIPTION_MARKUP, "the description has line breaks")
                    .with_help("write one paragraph; `>-` folds several lines into one"),
            );
        }
    }

    fn injection(&self, found: &mut Findings) {
        let parts = INJECTION.iter().filter_map(|injection| injection.find(self.description));
        let Some(part) = parts.min_by_key(regex::Match::start) else { return };
        let shown: String = part.as_str().chars().take(60).collect();
        found.push(
            self.part(
                Rule::DESCRIPTION_INJECTION,
                part.as_str(),
                format!("`{}` commands the model instead of describing the skill", shown.escape_debug()),
            )
            .with_help("describe what the skill does; a model decides when it fits"),
        );
    }
}

/// Whether a description says when to use the skill; of one in Chinese, Japanese or Korean it is assumed.
fn says_when(description: &str) -> bool {
    let is_dense = |character: char| {
        ('\u{3040}'..='\u{30ff}').contains(&character)
            || ('\u{4e00}'..='\u{9fff}').contains(&character)
            || ('\u{ac00}'..='\u{d7af}').contains(&character)
    };
    let text = description.to_lowercase();
    let words: Vec<&str> =
        text.split(|character: char| !character.is_alphanumeric() && character != '_').collect();
    let is_said = |phrase: &[&str]| words.windows(phrase.len()).any(|window| window == phrase);
    description.chars().any(is_dense)
        || WHEN.split(' ').any(|word| words.contains(&word))
        || WHEN_PHRASES.iter().any(|phrase| is_said(phrase))
        || words.windows(2).any(|pair| {
            WHEN_BEFORE
                .iter()
                .any(|(first, second)| pair[0] == *first && second.split(' ').any(|word| word == pair[1]))
        })
}

/// Characters that are not seen but change what is read.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}')
        || character.is_control() && !matches!(character, '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_every_pattern_are_needed() {
        INJECTION.iter().chain([&TEMPLATE, &MARKUP]).for_each(Pattern::prove);
    }

    #[test]
    fn what_says_when_is_told_from_what_only_says_what() {
        for description in [
            "Use when x.",
            "Makes x, in case of y",
            "Use this for y",
            "If you like",
            "x (for tasks)",
            "画像を作る",
        ] {
            assert!(says_when(description), "{description}");
        }
        for description in ["Makes x.", "Whenceforth", "What if", "Useful this", "for a while-loop_"] {
            assert_eq!(says_when(description), description.contains("while"), "{description}");
        }
    }
}
