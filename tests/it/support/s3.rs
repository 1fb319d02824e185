//! Real S3 servers for tests: `s3s-fs`, which runs in this process, and Garage, where it is installed. Both check
//! signatures, checksums and the end of links.
//!
//! Also used by the tests of `artifact-s3`, which have nothing else of the code beside this file.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinSet};

/// The bucket that every server has.
pub(crate) const BUCKET: &str = "outputs";

/// How a server is reached.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) key: String,
    pub(crate) secret: String,
}

/// `s3s-fs` on a port of its own. Ends with this.
#[derive(Debug)]
pub(crate) struct S3s {
    pub(crate) access: Access,
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Garage in a directory of its own. Ends with this.
#[derive(Debug)]
pub(crate) struct Garage {
    pub(crate) access: Access,
    child: Child,
    _directory: TempDir,
}

impl S3s {
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(directory.path()).unwrap());
        let (key, secret) = ("key-of-the-tests".to_owned(), "secret-of-the-tests".to_owned());
        service.set_auth(SimpleAuth::from_single(key.clone(), secret.clone()));
        let service = service.build();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (stop, mut stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let mut connections = JoinSet::new();
                loop {
                    let accepted = tokio::select! {
                        accepted = listener.accept() => accepted,
                        _ = &mut stopped => return,
                    };
                    let service = service.clone();
                    connections.spawn(async move {
                        let server = auto::Builder::new(TokioExecutor::new());
                        let stream = TokioIo::new(accepted.unwrap().0);
                        // A client that goes away in the middle is what some tests are about.
                        drop(server.serve_connection(stream, service).await);
                    });
                }
            });
        });
        let access = Access { endpoint, region: "us-east-1".to_owned(), key, secret };
        Self { access, directory, stop: Some(stop), thread: Some(thread) }
    }

    /// The keys of all objects.
    pub(crate) fn keys(&self) -> Vec<String> {
        let bucket = self.directory.path().join(BUCKET);
        let mut keys: Vec<String> = files(&bucket)
            .iter()
            .map(|path| path.strip_prefix(&bucket).unwrap().display().to_string())
            .collect();
        keys.sort();
        keys
    }

    /// What unfinished uploads have left.
    pub(crate) fn unfinished(&self) -> Vec<PathBuf> {
        let is_part = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(".upload")
        };
        files(self.directory.path()).into_iter().filter(is_part).collect()
    }
}

impl Drop for S3s {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Garage {
    /// Where it is installed: see `tests/setup.sh`.
    pub(crate) fn installed() -> Option<PathBuf> {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
        Some(cache.join("skillbox-test/garage/bin/garage")).filter(|program| program.exists())
    }

    pub(crate) fn start() -> Self {
        let program = Self::installed().expect("Garage is installed");
        let directory = TempDir::new().unwrap();
        let [s3, rpc, admin] = [free_address(), free_address(), free_address()];
        let at = |name: &str| directory.path().join(name).display().to_string();
        let config = format!(
            "metadata_dir = \"{}\"\ndata_dir = \"{}\"\ndb_engine = \"sqlite\"\nreplication_factor = 1\n\
             rpc_bind_addr = \"{rpc}\"\nrpc_public_addr = \"{rpc}\"\nrpc_secret = \"{}\"\n\
             [s3_api]\ns3_region = \"garage\"\napi_bind_addr = \"{s3}\"\n[admin]\napi_bind_addr = \"{admin}\"\n",
            at("meta"),
            at("data"),
            "5a".repeat(32),
        );
        let file = directory.path().join("garage.toml");
        fs::write(&file, config).unwrap();
        let (key, secret) = (format!("GK{}", "7e".repeat(12)), "3c".repeat(32));
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(&file).args(["server", "--single-node", "--default-bucket"]);
        command.env("GARAGE_DEFAULT_ACCESS_KEY", &key).env("GARAGE_DEFAULT_SECRET_KEY", &secret);
        command
            .env("GARAGE_DEFAULT_BUCKET", BUCKET)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut child = command.spawn().unwrap();
        let since = Instant::now();
        while !is_healthy(admin) {
            let text = fs::read_to_string(directory.path().join("log")).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "Garage ended:\n{text}");
            assert!(since.elapsed() < Duration::from_secs(60), "Garage is not ready:\n{text}");
            thread::yield_now();
        }
        let access = Access { endpoint: format!("http://{s3}"), region: "garage".to_owned(), key, secret };
        Self { access, child, _directory: directory }
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn is_healthy(admin: SocketAddr) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = std::net::TcpStream::connect(admin) else { return false };
    let asked = stream.write_all(b"GET /health HTTP/1.1\r\nHost: garage\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}
