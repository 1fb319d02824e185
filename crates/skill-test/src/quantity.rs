//! Times, sizes and comparisons as they are written in a test file: `30s`, `256M`, `">100"`, `"!=0"`.
//!
//! The forms are also patterns in the published schema; a test holds both to the same examples.

use std::{fmt, time::Duration};

use serde_json::Value as Json;

use crate::{
    fields::wrong,
    problem::{At, Problems},
    yaml::{Node, Value},
};

/// A number that another one is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    operator: Operator,
    number: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    /// Exactly this number.
    #[must_use]
    pub fn equal(number: i64) -> Self {
        Self { operator: Operator::Equal, number }
    }

    /// Whether it holds for a number.
    #[must_use]
    pub fn holds(self, other: i64) -> bool {
        match self.operator {
            Operator::Equal => other == self.number,
            Operator::NotEqual => other != self.number,
            Operator::Less => other < self.number,
            Operator::AtMost => other <= self.number,
            Operator::Greater => other > self.number,
            Operator::AtLeast => other >= self.number,
        }
    }

    /// Parses `>100`, `!= 0`, `>=10K`, `5`. Letters mean powers of 1024, as sizes are counted.
    fn parse(text: &str) -> Option<Self> {
        let operators = [
            ("!=", Operator::NotEqual),
            (">=", Operator::AtLeast),
            ("<=", Operator::AtMost),
            ("==", Operator::Equal),
            ("=", Operator::Equal),
            (">", Operator::Greater),
            ("<", Operator::Less),
        ];
        let text = text.trim();
        let (operator, rest) = operators
            .into_iter()
            .find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?)))
            .unwrap_or((Operator::Equal, text));
        Some(Self { operator, number: i64::try_from(size(rest.trim())?).ok()? })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.operator {
            Operator::Equal => "",
            Operator::NotEqual => "other than ",
            Operator::Less => "less than ",
            Operator::AtMost => "at most ",
            Operator::Greater => "more than ",
            Operator::AtLeast => "at least ",
        };
        write!(formatter, "{words}{}", self.number)
    }
}

/// A number or a comparison.
pub(crate) fn comparison(node: &Node, what: &str, problems: &mut Problems) -> Option<At<Comparison>> {
    let found = match &node.value {
        Value::Scalar { json: Json::Number(number), .. } => {
            number.as_i64().filter(|number| *number >= 0).map(Comparison::equal)
        }
        Value::Scalar { json: Json::String(text), .. } => Comparison::parse(text),
        _ => None,
    };
    if found.is_none() {
        problems
            .add(node.span, format!("{what} must be a whole number or a comparison"))
            .help("for example `0`, `\"!=0\"` or `\">100\"`");
    }
    Some(At::new(found?, node.span))
}

/// A number that is not negative.
pub(crate) fn whole(node: &Node, what: &str, problems: &mut Problems) -> Option<u64> {
    match &node.value {
        Value::Scalar { json: Json::Number(number), .. } if number.is_u64() => number.as_u64(),
        _ => {
            wrong(node, what, "a whole number", problems);
            None
        }
    }
}

/// A time: `500ms`, `30s`, `2m`, `1m30s`, or a number of seconds.
pub(crate) fn duration(node: &Node, what: &str, problems: &mut Problems) -> Option<At<Duration>> {
    let found = match &node.value {
        Value::Scalar { json: Json::Number(number), .. } => number.as_u64().and_then(seconds),
        Value::Scalar { json: Json::String(text), .. } => parse_duration(text),
        _ => None,
    };
    if found.is_none() {
        problems
            .add(node.span, format!("{what} must be a time"))
            .help("for example `500ms`, `30s` or `1m30s`; at most a day");
    }
    Some(At::new(found?, node.span))
}

/// A size in bytes: `256M`, `1G`, or a number of bytes.
pub(crate) fn bytes(node: &Node, what: &str, problems: &mut Problems) -> Option<At<u64>> {
    let found = match &node.value {
        Value::Scalar { json: Json::Number(number), .. } => number.as_u64(),
        Value::Scalar { json: Json::String(text), .. } => size(text),
        _ => None,
    };
    let found = found.filter(|bytes| *bytes > 0);
    if found.is_none() {
        problems.add(node.span, format!("{what} must be a size")).help("for example `256M` or `1G`");
    }
    Some(At::new(found?, node.span))
}

/// The longest time that makes sense in a test, in milliseconds.
const DAY: u64 = 24 * 3600 * 1000;

fn seconds(number: u64) -> Option<Duration> {
    let milliseconds = number.checked_mul(1000).filter(|ms| (1..=DAY).contains(ms))?;
    Some(Duration::from_millis(milliseconds))
}

fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let (unit, milliseconds) = UNITS.into_iter().find(|(unit, _)| rest[digits..].starts_with(unit))?;
        total = total.checked_add(number.checked_mul(milliseconds)?)?;
        rest = &rest[digits + unit.len()..];
    }
    (1..=DAY).contains(&total).then(|| Duration::from_millis(total))
}

fn size(text: &str) -> Option<u64> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let factor = match &text[digits..] {
        "" => 1,
        "K" | "KB" | "KiB" => 1 << 10,
        "M" | "MB" | "MiB" => 1 << 20,
        "G" | "GB" | "GiB" => 1 << 30,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_read_and_hold() {
        let check = |text: &str, holds: &[i64], fails: &[i64], shown: &str| {
            let comparison = Comparison::parse(text).unwrap();
            assert!(holds.iter().all(|number| comparison.holds(*number)), "{text}");
            assert!(!fails.iter().any(|number| comparison.holds(*number)), "{text}");
            assert_eq!(comparison.to_string(), shown, "{text}");
        };
        check("5", &[5], &[4, 6], "5");
        check("==5", &[5], &[4], "5");
        check("!= 0", &[1, -1], &[0], "other than 0");
        check(">100", &[101], &[100, 0], "more than 100");
        check(">=1K", &[1024], &[1023], "at least 1024");
        check("< 2", &[1], &[2], "less than 2");
        check("<=2", &[2], &[3], "at most 2");
        for bad in ["", ">", "x", ">-1", "1.5", "5X", "> 1 2", "99999999999G", "=>1"] {
            assert_eq!(Comparison::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_and_sizes_are_read() {
        let ms = |text: &str| parse_duration(text).map(|time| time.as_millis());
        assert_eq!(ms("500ms"), Some(500));
        assert_eq!(ms("1m30s"), Some(90_000));
        assert_eq!(ms("2h"), Some(7_200_000));
        for bad in ["", "0s", "5", "5 s", "m", "25h", "1d", "-1s", "99999999999999999999s"] {
            assert_eq!(ms(bad), None, "{bad}");
        }
        assert_eq!(seconds(90), Some(Duration::from_secs(90)));
        assert_eq!(seconds(0), None);
        assert_eq!((size("256M"), size("1GiB"), size("10")), (Some(256 << 20), Some(1 << 30), Some(10)));
        assert_eq!((size("1.5G"), size("M"), size("1T")), (None, None, None));
    }
}
