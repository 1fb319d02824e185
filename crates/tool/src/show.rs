//! How values of callers, lists and sizes are written into sentences.

/// Most characters of a caller's value that are repeated.
const SHOWN: usize = 200;
/// Most entries of a list that are named.
const NAMED: usize = 50;

/// The value in double quotes, escaped and shortened: a caller's value cannot break out of the sentence.
pub(crate) fn quoted(value: &str) -> String {
    let mut out = String::from('"');
    let mut characters = value.chars();
    for character in characters.by_ref().take(SHOWN) {
        match character {
            '\'' => out.push('\''),
            // `escape_debug` leaves printable characters, also non-ASCII ones, as they are.
            other => out.extend(other.escape_debug()),
        }
    }
    if characters.next().is_some() {
        out.push('…');
    }
    out.push('"');
    out
}

/// Entries with commas between; a long list ends with how many more there are.
pub(crate) fn list<S: AsRef<str>>(entries: &[S]) -> String {
    let named: Vec<&str> = entries.iter().take(NAMED).map(AsRef::as_ref).collect();
    let mut out = named.join(", ");
    if entries.len() > NAMED {
        out.push_str(&format!(" and {} more", entries.len() - NAMED));
    }
    out
}

/// A size as people write it: `10 MB`, `1.5 MB`, `512 bytes`. A megabyte has 1,048,576 bytes here.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)];
    for (unit, one) in UNITS {
        if bytes >= one {
            let whole = bytes / one;
            let tenth = (bytes % one) * 10 / one;
            return if tenth == 0 { format!("{whole} {unit}") } else { format!("{whole}.{tenth} {unit}") };
        }
    }
    format!("{bytes} bytes")
}

/// The candidate that a misspelt word most likely meant, if any is near enough.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words than any of ours cannot be near, and the distance is quadratic.
    if word.len() > 40 {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= candidate.len().max(3) / 3 || (word.len() >= 3 && candidate.starts_with(&word))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let sizes =
            [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KB"), (1536, "1.5 KB"), (10 << 20, "10 MB")];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(u64::MAX), "17179869183.9 GB");
    }

    #[test]
    fn the_nearest_word_is_found_and_far_ones_are_not() {
        let names = ["language", "code", "timeout"];
        for (word, near) in [
            ("lang", Some("language")),
            ("Code", Some("code")),
            ("timeuot", Some("timeout")),
            ("script", None),
        ] {
            assert_eq!(nearest(word, names), near, "{word}");
        }
    }

    #[test]
    fn long_lists_end_with_a_count() {
        let many: Vec<String> = (0..60).map(|n| n.to_string()).collect();
        assert!(list(&many).ends_with("48, 49 and 10 more"));
    }
}
