//! How many tokens of a language model a text takes, about.
//!
//! Models cut texts differently, and none of their tables is here. The rule of thumb that their makers give for English
//! text is used, one token for four characters, rounded up. Code and tables take more than that, and so do most other
//! languages; it is for telling a short text from a long one, and for nothing else.

/// Characters of one token.
const CHARACTERS: usize = 4;

/// About how many tokens `text` takes.
pub fn estimate_tokens(text: &str) -> usize {
    text.chars().count().div_ceil(CHARACTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_and_not_bytes() {
        assert_eq!(estimate_tokens(""), 0);
        assert_eq!(estimate_tokens("a"), 1);
        assert_eq!(estimate_tokens("abcd"), 1);
        assert_eq!(estimate_tokens("äöüß"), 1);
        assert_eq!(estimate_tokens("abcde"), 2);
    }
}
