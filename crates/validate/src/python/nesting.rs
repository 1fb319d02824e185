//! Whether a script is nested deeper than any that people write, seen before a parser builds a tree of it.
//!
//! A tree needs hundreds of bytes for each level, so a megabyte of `(` or of `not ` would become a gigabyte. Brackets nest, and
//! within a bracket so do operators that follow each other. A comma, or the end of a statement, begins anew on its level; text
//! in quotes and comments count for nothing. CPython itself allows 200 brackets.

/// The most bytes of code that may stand inside of each other. A long condition has hundreds.
const MAX_NESTED: usize = 8 * 1024;
/// The most open brackets.
const MAX_BRACKETS: usize = 200;

/// Whether parsing `text` could cost far more than its size.
pub(super) fn is_too_deep(text: &str) -> bool {
    let bytes = text.as_bytes();
    // What was read on each level since its last comma, innermost last; and the sum of all.
    let mut levels = vec![0_usize];
    let mut sum = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'#' => {
                at += memchr::memchr(b'\n', &bytes[at..]).unwrap_or(bytes.len() - at);
                continue;
            }
            quote @ (b'"' | b'\'') => {
                at = end_of_text(bytes, at, quote);
                // Openings within formatted texts are bounded on their own.
                add(&mut levels, &mut sum, 1);
                if sum > MAX_NESTED {
                    return true;
                }
                continue;
            }
            b'(' | b'[' | b'{' => {
                add(&mut levels, &mut sum, 1);
                levels.push(0);
            }
            b')' | b']' | b'}' if levels.len() > 1 => {
                sum -= levels.pop().unwrap_or_default();
                // `f()()()` is a tree as deep as it is long.
                add(&mut levels, &mut sum, 1);
            }
            b',' => reset(&mut levels, &mut sum),
            b'\n' | b';'
                if levels.len() == 1 && at.checked_sub(1).map(|before| bytes[before]) != Some(b'\\') =>
            {
                reset(&mut levels, &mut sum);
            }
            byte if !byte.is_ascii_whitespace() => add(&mut levels, &mut sum, 1),
            _ => {}
        }
        if sum > MAX_NESTED || levels.len() > MAX_BRACKETS + 1 {
            return true;
        }
        at += 1;
    }
    false
}

fn add(levels: &mut [usize], sum: &mut usize, count: usize) {
    if let Some(level) = levels.last_mut() {
        *level += count;
        *sum += count;
    }
}

fn reset(levels: &mut [usize], sum: &mut usize) {
    if let Some(level) = levels.last_mut() {
        *sum -= std::mem::take(level);
    }
}

/// Where the text in quotes that begins at `at` ends.
fn end_of_text(bytes: &[u8], at: usize, quote: u8) -> usize {
    let triple = bytes[at..].starts_with(&[quote; 3]);
    let mut at = at + if triple { 3 } else { 1 };
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'\n' if !triple => return at,
            byte if byte == quote && !triple => return at + 1,
            byte if byte == quote && bytes[at..].starts_with(&[quote; 3]) => return at + 3,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nests_is_too_deep_and_what_only_is_long_is_not() {
        let deep = [
            "(".repeat(300),
            format!("x = {}1", "-".repeat(9_000)),
            format!("x = ({}1)", "-\n".repeat(9_000)),
            format!("x = {}1", "-\\\n".repeat(9_000)),
            format!("x = {}1", "not ".repeat(9_000)),
            format!("x = {}1", "f(1,----".repeat(190).repeat(20)),
            "x".to_owned() + &"()".repeat(9_000),
            "x".to_owned() + &".a".repeat(9_000),
            format!("x = {}", "'a' ".repeat(9_000)),
            "@".repeat(9_000),
        ];
        for text in &deep {
            assert!(is_too_deep(text), "{}", &text[..20]);
        }
        let long = [
            format!("x = [{}]", "1234, ".repeat(100_000)),
            format!("x = '{}'", "(".repeat(100_000)),
            format!("x = '''{}'''", "(\n".repeat(100_000)),
            format!("# {}\nx = 1\n", "(".repeat(100_000)),
            "x = f(1)[2]\n".repeat(50_000),
            "if a: b; c\n".repeat(50_000),
            format!("x = {{{}}}", "'a': {'b': [1, 2]},\n".repeat(50_000)),
            "x = \"\\\"(((\"\n".repeat(10_000),
        ];
        for text in &long {
            assert!(!is_too_deep(text), "{}", &text[..20]);
        }
    }
}
