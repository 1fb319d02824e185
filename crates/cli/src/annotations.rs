//! Workflow commands of GitHub Actions: a line that begins with `::` and becomes an annotation of a changed line.

use std::{env, io::IsTerminal as _};

/// Whether somebody collects them: under GitHub Actions, where standard output is no terminal.
pub(crate) fn are_read() -> bool {
    env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true") && !std::io::stdout().is_terminal()
}

/// What stands behind `::`, as the runner takes it.
pub(crate) fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property.
pub(crate) fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
