//! Where connections come from: TCP, or a unix socket that only its owner can open.
//!
//! A socket file outlives a killed runner. It is taken over only when nobody listens on it, under a lock of its directory,
//! so that of two runners that start at once one is refused. The new socket is made in a directory that is closed to
//! others, gets its mode there, and is moved into its place as a whole.

use std::{
    fmt, fs,
    io::{self, ErrorKind},
    net,
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::{SocketAddr, UnixStream as BlockingUnixStream},
    },
    path::{Path, PathBuf},
    str::FromStr,
};

use tokio::net::{TcpListener, UnixListener};
use uuid::Uuid;

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and port of this machine; port 0 for any free one.
    Tcp(net::SocketAddr),
    /// A socket file.
    Unix(PathBuf),
}

/// The text names no place to listen at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no place to listen at; write ADDRESS:PORT (127.0.0.1:8080, [::1]:8080) or unix:PATH")]
pub struct InvalidListen {
    /// As given.
    pub text: String,
}

/// Where a server listens, as a client finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// With the port that was chosen.
    Tcp(net::SocketAddr),
    /// The socket file.
    Unix(PathBuf),
}

/// Why a place cannot be listened at.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refuses.
    #[error("cannot listen at {address}")]
    System {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process listens there, or is about to.
    #[error("cannot listen at unix:{}: another process already does", path.display())]
    InUse {
        /// The socket file.
        path: PathBuf,
    },
    /// The path is taken by something that is no socket.
    #[error("cannot listen at unix:{}: the path exists and is no socket; remove it, or choose another", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
}

/// A place that is listened at.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a socket; removed with it, unless another took its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl FromStr for Listen {
    type Err = InvalidListen;

    fn from_str(text: &str) -> Result<Self, InvalidListen> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        let address = numeric.as_deref().unwrap_or(text).parse();
        address.map(Self::Tcp).map_err(|_| InvalidListen { text: text.escape_debug().to_string() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "http://{address}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl Listener {
    pub(crate) async fn bind(listen: &Listen) -> Result<Self, BindError> {
        match listen {
            Listen::Tcp(address) => TcpListener::bind(address)
                .await
                .map(Self::Tcp)
                .map_err(|source| BindError::System { address: address.to_string(), source }),
            Listen::Unix(path) => bind_unix(path),
        }
    }

    pub(crate) fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Self::Unix(_, file) => Ok(Address::Unix(file.path.clone())),
        }
    }
}

fn bind_unix(path: &Path) -> Result<Listener, BindError> {
    let system = |source| BindError::System { address: format!("unix:{}", path.display()), source };
    // Clients could not name a longer path; we could, as the socket is made elsewhere.
    SocketAddr::from_pathname(path).map_err(system)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let lock = fs::File::open(parent).map_err(system)?;
    lock.try_lock().map_err(|_| BindError::InUse { path: path.to_owned() })?;
    remove_stale(path, system)?;
    // A short name: the whole path of a socket must fit into about a hundred bytes.
    let random = Uuid::new_v4().simple().to_string();
    let closed = parent.join(format!(".{}", &random[..8]));
    fs::DirBuilder::new().mode(0o700).create(&closed).map_err(system)?;
    let new = closed.join("s");
    let bound = UnixListener::bind(&new).and_then(|listener| {
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        let found = fs::symlink_metadata(&new)?;
        fs::rename(&new, path)?;
        let file = SocketFile { path: path.to_owned(), device_and_inode: (found.dev(), found.ino()) };
        Ok(Listener::Unix(listener, file))
    });
    // Empty where all went well.
    let _ = fs::remove_dir_all(&closed);
    bound.map_err(system)
}

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path, system: impl Fn(io::Error) -> BindError) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match BlockingUnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(system),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // Somebody answers, or somebody else's socket does not let us ask.
        Ok(_) | Err(_) => Err(BindError::InUse { path: path.to_owned() }),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.device_and_inode);
        if ours {
            // Best effort: what stays is found stale by the next runner.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_as_people_write_them() {
        let tcp = |text: &str| Listen::Tcp(text.parse().unwrap());
        for (text, expected) in [
            ("127.0.0.1:8080", tcp("127.0.0.1:8080")),
            ("localhost:0", tcp("127.0.0.1:0")),
            ("[::1]:1", tcp("[::1]:1")),
            ("unix:/run/a.sock", Listen::Unix("/run/a.sock".into())),
        ] {
            assert_eq!(text.parse(), Ok(expected));
        }
        for bad in ["", "8080", "unix:", "example.com:80", "localhost:x", "127.0.0.1"] {
            assert!(bad.parse::<Listen>().unwrap_err().to_string().contains("unix:PATH"), "{bad}");
        }
    }

    #[tokio::test]
    async fn only_the_owner_can_open_the_socket_and_it_goes_with_its_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("api.sock");
        let listener = Listener::bind(&Listen::Unix(path.clone())).await.unwrap();
        let found = fs::symlink_metadata(&path).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else stays");
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("api.sock");
        let listen = Listen::Unix(path.clone());
        // The standard library leaves the file behind, as a killed process does.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let living = Listener::bind(&listen).await.unwrap();
        assert!(matches!(Listener::bind(&listen).await, Err(BindError::InUse { .. })));
        BlockingUnixStream::connect(&path).unwrap();
        // Another has taken the place: it is not ours to remove.
        fs::remove_file(&path).unwrap();
        let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(living);
        assert!(path.exists());
        drop(other);
    }

    #[tokio::test]
    async fn what_is_no_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.txt");
        fs::write(&path, "precious").unwrap();
        let refused = Listener::bind(&Listen::Unix(path.clone())).await.unwrap_err();
        assert!(matches!(refused, BindError::NotASocket { .. }));
        let target = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &target).unwrap();
        assert!(matches!(Listener::bind(&Listen::Unix(target)).await, Err(BindError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
