//! A program's stream as text of bounded size: the head live, the tail at the end, the middle counted.
//!
//! Init cuts the streams, not the runner, so that a flood costs the sandbox's CPU time and nobody else's. What
//! is not UTF-8 becomes U+FFFD, exactly as `String::from_utf8_lossy` does it over the whole stream.

use std::collections::VecDeque;

/// Takes a stream's bytes and gives out text of at most so many characters.
#[derive(Debug)]
pub struct CappedText {
    /// Characters that may still go out live.
    head_left: u64,
    /// Characters that the tail may hold.
    tail_limit: u64,
    tail: VecDeque<u8>,
    tail_characters: u64,
    omitted: u64,
    decoder: LossyText,
}

/// What is left at the end of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CappedTextEnd {
    /// Characters left out between what went out live and `tail`.
    pub omitted: u64,
    /// The end of the stream.
    pub tail: String,
}

/// Makes text of bytes that come in pieces, wherever they were cut.
#[derive(Clone, Debug, Default)]
pub struct LossyText {
    /// A character whose last bytes have not arrived.
    partial: Vec<u8>,
}

impl LossyText {
    /// Takes bytes, and gives the text that they complete to `take`, in order.
    pub fn push(&mut self, bytes: &[u8], mut take: impl FnMut(&str)) {
        let joined;
        let mut rest = if self.partial.is_empty() {
            bytes
        } else {
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(bytes);
            joined = whole;
            &joined
        };
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    take(text);
                    return;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    // Checked by from_utf8 just above; the lossy form only avoids a panic path.
                    take(&String::from_utf8_lossy(valid));
                    match error.error_len() {
                        Some(length) => {
                            take("\u{FFFD}");
                            rest = &after[length..];
                        }
                        None => {
                            self.partial = after.to_vec();
                            return;
                        }
                    }
                }
            }
        }
    }

    /// The end of the stream: what is left of a character that was never completed.
    #[must_use]
    pub fn finish(self) -> &'static str {
        if self.partial.is_empty() { "" } else { "\u{FFFD}" }
    }
}

impl CappedText {
    /// Keeps `limit` characters, half of them head and half tail.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        let limit = u64::from(limit);
        Self {
            head_left: limit - limit / 2,
            tail_limit: limit / 2,
            tail: VecDeque::new(),
            tail_characters: 0,
            omitted: 0,
            decoder: LossyText::default(),
        }
    }

    /// Takes bytes; what may go out now is appended to `out`, which stays valid UTF-8.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut decoder = std::mem::take(&mut self.decoder);
        decoder.push(bytes, |text| self.text(text, out));
        self.decoder = decoder;
    }

    /// The end of the stream.
    #[must_use]
    pub fn finish(mut self, out: &mut Vec<u8>) -> CappedTextEnd {
        let last = std::mem::take(&mut self.decoder).finish();
        self.text(last, out);
        let tail = Vec::from(self.tail);
        CappedTextEnd { omitted: self.omitted, tail: String::from_utf8_lossy(&tail).into_owned() }
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if self.head_left == 0 {
            self.keep_tail(text);
            return;
        }
        let characters = count(text);
        if characters <= self.head_left {
            out.extend_from_slice(text.as_bytes());
            self.head_left -= characters;
            return;
        }
        let cut = byte_index(text, self.head_left);
        out.extend_from_slice(&text.as_bytes()[..cut]);
        self.head_left = 0;
        self.keep_tail(&text[cut..]);
    }

    fn keep_tail(&mut self, text: &str) {
        let mut text = text;
        let mut characters = count(text);
        if characters >= self.tail_limit {
            // This text alone fills the tail: all before it, and its own beginning, is left out.
            self.omitted += self.tail_characters + (characters - self.tail_limit);
            self.tail.clear();
            self.tail_characters = 0;
            let skip = byte_index(text, characters - self.tail_limit);
            text = &text[skip..];
            characters = self.tail_limit;
        }
        self.tail.extend(text.as_bytes());
        self.tail_characters += characters;
        let excess = self.tail_characters.saturating_sub(self.tail_limit);
        for _ in 0..excess {
            // One character: its first byte and all continuation bytes behind it.
            self.tail.pop_front();
            while self.tail.front().is_some_and(|byte| byte & 0xC0 == 0x80) {
                self.tail.pop_front();
            }
        }
        self.tail_characters -= excess;
        self.omitted += excess;
    }
}

fn count(text: &str) -> u64 {
    text.chars().count() as u64
}

/// Byte index of the character with this number.
fn byte_index(text: &str, character: u64) -> usize {
    let character = usize::try_from(character).unwrap_or(usize::MAX);
    text.char_indices().nth(character).map_or(text.len(), |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(limit: u32, pieces: &[Vec<u8>]) -> (String, CappedTextEnd) {
        let mut text = CappedText::new(limit);
        let mut out = Vec::new();
        for piece in pieces {
            text.push(piece, &mut out);
        }
        let end = text.finish(&mut out);
        (String::from_utf8(out).unwrap(), end)
    }

    /// The same by the obvious way: decode all, then cut.
    fn expected(limit: u32, pieces: &[Vec<u8>]) -> (String, CappedTextEnd) {
        let whole = String::from_utf8_lossy(&pieces.concat()).into_owned();
        let all: Vec<char> = whole.chars().collect();
        let tail = limit as usize / 2;
        let head = limit as usize - tail;
        let head_end = head.min(all.len());
        let tail_start = all.len().saturating_sub(tail).max(head_end);
        let end = CappedTextEnd {
            omitted: (tail_start - head_end) as u64,
            tail: all[tail_start..].iter().collect(),
        };
        (all[..head_end].iter().collect(), end)
    }

    #[test]
    fn any_bytes_in_any_pieces_equal_the_lossy_whole() {
        let piece = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "\\PC{0,20}".prop_map(String::into_bytes),
            prop::collection::vec(
                prop::sample::select(vec![0xE2_u8, 0x82, 0xAC, 0xF0, 0x9F, 0x98, b'a']),
                0..20
            ),
        ];
        proptest!(|(pieces in prop::collection::vec(piece, 0..12), limit in 0_u32..60)| {
            prop_assert_eq!(run(limit, &pieces), expected(limit, &pieces));
            let (mut text, mut decoder) = (String::new(), LossyText::default());
            pieces.iter().for_each(|piece| decoder.push(piece, |piece| text.push_str(piece)));
            text.push_str(decoder.finish());
            let whole = pieces.concat();
            prop_assert_eq!(text, String::from_utf8_lossy(&whole));
        });
    }

    #[test]
    fn a_short_stream_is_whole() {
        let (head, end) = run(10, &[b"0123456789".to_vec()]);
        assert_eq!(head + &end.tail, "0123456789");
        assert_eq!(end.omitted, 0);
    }
}
