//! Bearer tokens from a file: one a line, empty lines and lines that begin with `#` left out.
//!
//! The file is looked at again with every request (one `stat`), so that a rotated secret counts at once. What is kept are
//! digests, and every one of them is compared, so that neither time nor memory tells a token. A file that has become
//! unreadable changes nothing: half-written files must not lock everybody out.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use runner::Tenant;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::problem::chain;

/// Shortest token that is taken, in bytes.
const SHORTEST: usize = 16;
/// Largest file.
const LARGEST: u64 = 64 * 1024;

/// The tokens that count now.
pub(crate) struct Tokens {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    version: Version,
    digests: Vec<[u8; 32]>,
}

/// What changes when the file does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Why a file gives no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("cannot read the token file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no list of tokens.
    #[error("the token file `{}` is not usable: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tokens").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Tokens {
    pub(crate) fn open(path: &Path) -> Result<Self, TokenError> {
        let version = version(path)?;
        let state = State { version, digests: read(path)? };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    /// Who has this token: each of them is a tenant, named by the beginning of its digest. `None` for what is no token.
    pub(crate) fn tenant(&self, token: &[u8]) -> Option<Tenant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut state);
        let given: [u8; 32] = Sha256::digest(token).into();
        let found = state.digests.iter().fold(Choice::from(0), |found, digest| found | digest.ct_eq(&given));
        let [a, b, c, d, ..] = given;
        bool::from(found).then(|| Tenant::new(&format!("{:08x}", u32::from_be_bytes([a, b, c, d]))))
    }

    fn refresh(&self, state: &mut State) {
        match version(&self.path) {
            Ok(version) if version == state.version => {}
            Ok(version) => {
                // Also where reading fails, so that it is said once and not with every request.
                state.version = version;
                match read(&self.path) {
                    Ok(digests) => {
                        tracing::info!(tokens = digests.len(), "the token file was read again");
                        state.digests = digests;
                    }
                    Err(error) => tracing::warn!(error = chain(&error), "the tokens from before still count"),
                }
            }
            // Gone, as it is for a moment while it is replaced.
            Err(_) => {}
        }
    }
}

fn version(path: &Path) -> Result<Version, TokenError> {
    let found = fs::metadata(path).map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
    let changed = (found.ctime(), found.ctime_nsec());
    Ok(Version { device: found.dev(), inode: found.ino(), size: found.size(), changed })
}

fn read(path: &Path) -> Result<Vec<[u8; 32]>, TokenError> {
    let refuse = |reason| TokenError::Content { path: path.to_owned(), reason };
    let mut text = String::new();
    let file = File::open(path).map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
    file.take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
    if text.len() as u64 > LARGEST {
        return Err(refuse("it is larger than 64 KiB"));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let tokens: Vec<&str> = lines.collect();
    if tokens.is_empty() {
        return Err(refuse("it has no token; put at least one line of 16 or more characters into it"));
    }
    if tokens.iter().any(|token| token.len() < SHORTEST) {
        return Err(refuse("a token has fewer than 16 characters; `openssl rand -hex 32` makes a good one"));
    }
    if tokens.iter().any(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(refuse("a token has a space or a character that no header can carry"));
    }
    Ok(tokens.iter().map(|token| Sha256::digest(token).into()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef-one";
    const TWO: &str = "0123456789abcdef-two";

    impl Tokens {
        fn accept(&self, token: &[u8]) -> bool {
            self.tenant(token).is_some()
        }
    }

    #[test]
    fn each_token_is_a_tenant() {
        let (_directory, tokens) = open(&format!("{ONE}\n{TWO}")).unwrap();
        let tenant = |token: &str| tokens.tenant(token.as_bytes()).unwrap();
        assert!(tenant(ONE) == tenant(ONE) && tenant(ONE) != tenant(TWO));
        assert!(!ONE.contains(&tenant(ONE).to_string()));
    }

    fn open(text: &str) -> Result<(tempfile::TempDir, Tokens), TokenError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        fs::write(&path, text).unwrap();
        Tokens::open(&path).map(|tokens| (directory, tokens))
    }

    #[test]
    fn each_line_is_a_token_and_nothing_else_is() {
        let (_directory, tokens) = open(&format!("# comment\n{ONE}\r\n\n  {TWO}\n")).unwrap();
        assert!(tokens.accept(ONE.as_bytes()) && tokens.accept(TWO.as_bytes()));
        let both = format!("{ONE}\n{TWO}");
        for bad in ["", "# comment", &ONE[..19], &format!("{ONE} "), &both, "0123456789ABCDEF-ONE"] {
            assert!(!tokens.accept(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn weak_files_are_refused() {
        for (text, reason) in [
            ("", "no token"),
            ("# only\n", "no token"),
            ("short\n", "fewer than 16"),
            ("0123456789 abcdefgh\n", "space"),
        ] {
            assert!(open(text).unwrap_err().to_string().contains(reason), "{text:?}");
        }
        let huge = format!("{ONE}\n").repeat(4000);
        assert!(open(&huge).unwrap_err().to_string().contains("larger"));
    }

    #[test]
    fn a_changed_file_counts_and_a_broken_one_does_not() {
        let (directory, tokens) = open(ONE).unwrap();
        let (path, new) = (directory.path().join("tokens"), directory.path().join("new"));
        fs::write(&new, TWO).unwrap();
        fs::rename(&new, &path).unwrap();
        assert!(tokens.accept(TWO.as_bytes()) && !tokens.accept(ONE.as_bytes()));
        fs::write(&path, "").unwrap();
        assert!(tokens.accept(TWO.as_bytes()));
        fs::remove_file(&path).unwrap();
        assert!(tokens.accept(TWO.as_bytes()));
        fs::write(&path, format!("{ONE}\n{TWO}\n")).unwrap();
        assert!(tokens.accept(ONE.as_bytes()) && tokens.accept(TWO.as_bytes()));
    }
}
