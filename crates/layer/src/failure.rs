//! What pip and uv printed, as one short sentence with the package in it.
//!
//! Both explain a failure at length and for their own users. Whoever runs a skill needs to know which package and
//! what is wrong with it; the full text stays available beside the sentence. Nothing here decides anything: text
//! that is not recognized becomes its own last line of error.

use crate::{error::LayerError, python::Target};

/// Words by which both tools report that they never reached the index.
const NETWORK: [&str; 12] = [
    "Retrying (Retry(",
    "Failed to fetch",
    "Request failed",
    "error sending request",
    "ConnectTimeoutError",
    "NewConnectionError",
    "ProxyError",
    "Name or service not known",
    "Temporary failure in name resolution",
    "Network connectivity is disabled",
    "SSLError",
    "dns error",
];

/// The error for a tool that ended with a failure and this on its standard error.
pub(crate) fn explain(tool: &str, output: &str, target: &Target) -> LayerError {
    let output = redact(output);
    let flat = output.split_whitespace().collect::<Vec<_>>().join(" ");
    let (package, reason) = recognize(&flat, target).unwrap_or_else(|| (None, last_error(&output)));
    LayerError::Failed { package, reason, tool: tool.to_owned(), detail: output }
}

fn recognize(flat: &str, target: &Target) -> Option<(Option<String>, String)> {
    let python = target.version;
    let no_wheel = || format!("it has no wheel for Python {python} on {}", target.platform);
    if flat.contains("No space left on device") {
        return Some((None, "no space is left on the device".to_owned()));
    }
    if NETWORK.iter().any(|word| flat.contains(word)) {
        return Some((None, "the package index could not be reached".to_owned()));
    }
    if let Some(package) = word_after(flat, "Hash mismatch for").or_else(|| {
        flat.contains("DO NOT MATCH THE HASHES")
            .then(|| word_after(flat, "requirements file. ").unwrap_or_default())
    }) {
        return Some((
            named(&package),
            "a downloaded file does not have the hash that was locked".to_owned(),
        ));
    }
    // uv
    if let Some(package) = word_before(flat, " was not found in the package registry") {
        return Some((named(&package), "the index has no package of that name".to_owned()));
    }
    if let Some(package) = word_before(flat, " was not found in the provided package locations") {
        return Some((named(&package), "the index has no package of that name".to_owned()));
    }
    if let Some(package) = word_after(flat, "there are no versions of") {
        return Some((named(&package), format!("the index has no version of it, or {}", no_wheel())));
    }
    if let Some(package) = word_after(flat, "there is no version of") {
        return Some((named(&package), "the index does not have that version".to_owned()));
    }
    if flat.contains("does not satisfy Python")
        && let Some(wanted) = word_after(flat, "does not satisfy Python")
    {
        let package = word_before(flat, " depends on Python").map(|package| bare(&package));
        return Some((package, format!("it needs Python {wanted}, the sandbox has {python}")));
    }
    if flat.contains("hint: Wheels are required for")
        && let Some(package) = word_after(flat, "hint: Wheels are required for")
    {
        return Some((named(&package), format!("{} (source packages are never built)", no_wheel())));
    }
    if flat.contains("no wheels with a matching") {
        let package =
            word_after(flat, "only found wheels for").or_else(|| word_before(flat, " has no wheels with"));
        return Some((package.and_then(|package| named(&package)), no_wheel()));
    }
    if let Some(clause) = between(flat, "cause: Because ", ", we can conclude") {
        return Some((None, format!("the requirements contradict each other: {}", cut(clause))));
    }
    // pip
    if let Some(conflict) = between(flat, "ERROR: Cannot install ", " because these package versions") {
        return Some((None, format!("the requirements contradict each other: {}", cut(conflict))));
    }
    if let Some(package) = word_after(flat, "No matching distribution found for") {
        let versions = between(flat, "(from versions: ", ")").unwrap_or("none");
        let reason = if let Some(wanted) = word_after(flat, "Requires-Python") {
            format!("it needs Python {}, the sandbox has {python}", wanted.trim_end_matches(';'))
        } else if versions == "none" {
            format!("the index has no package of that name, or {}", no_wheel())
        } else {
            let newest: Vec<&str> = versions.rsplit(", ").take(3).collect();
            format!("no such version has a wheel for Python {python}; the newest are {}", newest.join(", "))
        };
        return Some((named(&package), reason));
    }
    None
}

/// The last line that calls itself an error, else the last line at all.
fn last_error(output: &str) -> String {
    let lines = || output.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines()
        .filter_map(|line| line.strip_prefix("ERROR: ").or_else(|| line.strip_prefix("error: ")))
        .next_back()
        .or_else(|| lines().next_back())
        .unwrap_or("the tool failed without a word");
    cut(line)
}

fn word_after(text: &str, marker: &str) -> Option<String> {
    let (_, rest) = text.split_once(marker)?;
    rest.split_whitespace().next().map(|word| word.trim_matches(['`', '\'', ',', ':', '.']).to_owned())
}

fn word_before(text: &str, marker: &str) -> Option<String> {
    let (before, _) = text.split_once(marker)?;
    before.split_whitespace().next_back().map(|word| word.trim_matches(['`', '\'', ',', ':']).to_owned())
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(inside, _)| inside)
}

/// The requirement as the tool wrote it, unless there is nothing left of it.
fn named(word: &str) -> Option<String> {
    (!word.is_empty()).then(|| cut(word))
}

pub(crate) fn bare(word: &str) -> String {
    word.split(['=', '<', '>', '!', '~']).next().unwrap_or(word).to_owned()
}

fn cut(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    if text.chars().count() > 200 { format!("{clean}…") } else { clean }
}

/// Index URLs may hold credentials, and texts of packages may hold terminal sequences: neither may go on.
fn redact(output: &str) -> String {
    let mut clean = String::with_capacity(output.len());
    let mut rest = output;
    while let Some((before, after)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        let authority = after.split(['/', ' ', '\n', '"', '\'', ')', '>']).next().unwrap_or("");
        rest = match authority.rfind('@') {
            Some(at) => {
                clean.push_str("***@");
                &after[at + 1..]
            }
            None => after,
        };
    }
    clean.push_str(rest);
    clean.retain(|c| !c.is_control() || c == '\n' || c == '\t');
    clean
}

#[cfg(test)]
mod tests;
