//! The index as a tool sees it: one, over plain HTTP, with wheels only.
//!
//! ```text
//!   GET /simple/<project>/                 the first of the operator's indexes that knows the name, and its directories
//!   GET /files/<number>/<filename>         a wheel whose metadata asks for packages of the index only
//!   GET /files/<number>/<filename>.metadata
//! ```
//!
//! A mirror lives for one build. Wheels are kept below the build's directory meanwhile, since both tools ask for one
//! several times. Whatever goes wrong is remembered as a [`Fault`] and answered with an error; the first fault of a build
//! that fails is its cause.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::TryStreamExt as _;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::CONTENT_TYPE,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, sync::Mutex as AsyncMutex, task::JoinSet};
use tokio_util::io::ReaderStream;

use super::{
    fetch::{self, FetchError, Fetcher, host},
    metadata,
    page::{self, Entry, is_wheel, project},
    settings::Settings,
};

/// Bound on a page of an index, decompressed.
const MAX_PAGE: u64 = 32 * 1024 * 1024;

/// Bound on one wheel.
const MAX_WHEEL: u64 = 200 * 1024 * 1024;

/// Bound on connections at a time; both tools use far fewer.
const MAX_CONNECTIONS: usize = 128;

const JSON: &str = "application/vnd.pypi.simple.v1+json";

/// What an index or a package did that a build cannot go on after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The index, or a host that its page names.
    Index { package: String, error: FetchError },
    /// The package itself.
    Package { package: String, reason: String },
    /// No room on the disk, or the like.
    Disk { reason: String },
}

/// One build's view of the operator's index.
#[derive(Debug)]
pub(crate) struct Mirror {
    fetcher: Fetcher,
    settings: Settings,
    directory: PathBuf,
    offers: Offers,
    state: Mutex<State>,
}

/// For which files the mirror offers metadata of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offers {
    /// For all.
    All,
    /// For those whose hash the index tells: without one, pip downloads the wheel in order to lock it.
    Hashed,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Arc<Offered>>,
    by_place: HashMap<String, usize>,
    faults: Vec<Fault>,
    /// What is being fetched, oldest first.
    pending: Vec<String>,
    /// Projects that have files, but no wheel.
    only_sources: Vec<String>,
}

#[derive(Debug)]
struct Offered {
    entry: Entry,
    /// A wheel in a directory of the operator's.
    local: Option<PathBuf>,
    /// Where the wheel is, once it was fetched and looked at.
    fetched: AsyncMutex<Option<PathBuf>>,
}

type Body = BoxBody<Bytes, std::io::Error>;

impl Mirror {
    /// `directory` is for wheels; nobody but the runner needs to see it.
    pub(crate) fn new(settings: Settings, directory: PathBuf, offers: Offers) -> Result<Self, String> {
        let fetcher = Fetcher::new(&settings)?;
        Ok(Self { fetcher, settings, directory, offers, state: Mutex::default() })
    }

    /// Answers a tool for as long as it is polled.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            while connections.len() >= MAX_CONNECTIONS {
                let _ended = connections.join_next().await;
            }
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            while connections.try_join_next().is_some() {}
            let mirror = Arc::clone(&self);
            connections.spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let mirror = Arc::clone(&mirror);
                    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
                    async move { Ok::<_, Infallible>(mirror.answer(method, &path).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                // A tool that hangs up in the middle is its own business.
                let _ended = connection.await.is_ok();
            });
        }
    }

    /// Why the build failed, if that was the index or a package.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.state().faults.first().cloned()
    }

    /// What the index is being waited for.
    pub(crate) fn pending(&self) -> Option<String> {
        self.state().pending.first().cloned()
    }

    /// Whether all that there is of a project is source packages.
    pub(crate) fn has_only_sources(&self, package: &str) -> bool {
        self.state().only_sources.iter().any(|known| known == package)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A list is whole between two operations, also where one of them panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, method: Method, path: &str) -> Response<Body> {
        if method != Method::GET && method != Method::HEAD {
            return status(StatusCode::METHOD_NOT_ALLOWED);
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let answered = match parts[..] {
            ["simple", name] => self.page(name).await,
            ["files", number, name] => {
                match number.parse().ok().and_then(|number: usize| self.state().files.get(number).cloned()) {
                    Some(offered) if name.ends_with(".metadata") => self.metadata(&offered).await,
                    Some(offered) => self.wheel(&offered).await,
                    None => return status(StatusCode::NOT_FOUND),
                }
            }
            _ => return status(StatusCode::NOT_FOUND),
        };
        match answered {
            Ok(Some(response)) => response,
            Ok(None) => status(StatusCode::NOT_FOUND),
            Err(fault) => {
                self.state().faults.push(fault);
                // Not a status that makes a tool try again: the runner has tried.
                status(StatusCode::FORBIDDEN)
            }
        }
    }

    async fn page(&self, name: &str) -> Result<Option<Response<Body>>, Fault> {
        let package = crate::requirement::normalize(name);
        if !package.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Ok(None);
        }
        let mut entries = self.local(&package);
        let mut known = !entries.is_empty();
        for index in &self.settings.indexes {
            let pending = Pending::new(self, &package);
            let found = tokio::time::timeout(self.settings.silence * 2, self.ask(index, &package)).await;
            drop(pending);
            match found.unwrap_or_else(|_| Err(FetchError::Silent { host: host(index) })) {
                Ok(page) => {
                    known = true;
                    if page.entries.is_empty() && page.others > 0 {
                        self.state().only_sources.push(package.clone());
                    }
                    entries.extend(page.entries.into_iter().map(|entry| (entry, None)));
                    break;
                }
                Err(FetchError::Status { status: 404 | 410, .. }) => {}
                // Attack on whoever goes on: the private index is down, and a public one has that name as well.
                Err(error) => return Err(Fault::Index { package, error }),
            }
        }
        if !known {
            return Ok(None);
        }
        let files: Vec<_> = entries.into_iter().map(|(entry, local)| self.offer(entry, local)).collect();
        let page = json!({ "meta": { "api-version": "1.0" }, "name": package, "files": files });
        Ok(Some(full(JSON, page.to_string().into_bytes())))
    }

    async fn ask(&self, index: &Url, package: &str) -> Result<page::Page, FetchError> {
        let broken = |why| FetchError::Broken { host: host(index), why };
        let url = index.join(&format!("{package}/")).map_err(|_| broken("no page"))?;
        let (response, url) = self.fetcher.get(&url, page::ACCEPT).await?;
        let media_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
            .to_ascii_lowercase();
        let body = fetch::body(response, &url, MAX_PAGE).await?;
        page::read(&body, &media_type, &url).map_err(broken)
    }

    /// Wheels in the operator's directories.
    fn local(&self, package: &str) -> Vec<(Entry, Option<PathBuf>)> {
        let mut found = Vec::new();
        for directory in &self.settings.links {
            let Ok(entries) = fs::read_dir(directory) else { continue };
            for entry in entries.flatten() {
                let Ok(filename) = entry.file_name().into_string() else { continue };
                let Ok(url) = Url::from_file_path(entry.path()) else { continue };
                if is_wheel(&filename) && project(&filename) == package && entry.path().is_file() {
                    let hashes = BTreeMap::new();
                    let entry_of = Entry {
                        filename,
                        url,
                        hashes,
                        requires_python: None,
                        yanked: None,
                        upload_time: None,
                        has_metadata: false,
                    };
                    found.push((entry_of, Some(entry.path())));
                }
            }
        }
        found
    }

    /// The entry as the tool may have it.
    fn offer(&self, entry: Entry, local: Option<PathBuf>) -> serde_json::Value {
        let mut state = self.state();
        let place = entry.url.to_string();
        let number = match state.by_place.get(&place) {
            Some(number) => *number,
            None => {
                let number = state.files.len();
                state.files.push(Arc::new(Offered {
                    entry: entry.clone(),
                    local,
                    fetched: AsyncMutex::default(),
                }));
                state.by_place.insert(place, number);
                number
            }
        };
        drop(state);
        // `+` and `!` are all that a name of a wheel has beside what needs no escape.
        let escaped = entry.filename.replace('+', "%2B").replace('!', "%21");
        let metadata = self.offers == Offers::All || entry.hashes.contains_key("sha256");
        let mut file = json!({
            "filename": entry.filename,
            "url": format!("/files/{number}/{escaped}"),
            "hashes": entry.hashes,
            "core-metadata": metadata,
            "yanked": entry.yanked.map_or(json!(false), |reason| if reason.is_empty() { json!(true) } else { json!(reason) }),
        });
        if let Some(requires) = entry.requires_python {
            file["requires-python"] = json!(requires);
        }
        if let Some(time) = entry.upload_time {
            file["upload-time"] = json!(time);
        }
        file
    }

    async fn metadata(&self, offered: &Offered) -> Result<Option<Response<Body>>, Fault> {
        let package = label(&offered.entry.filename);
        let bytes = if offered.entry.has_metadata && offered.local.is_none() {
            let mut url = offered.entry.url.clone();
            url.set_path(&format!("{}.metadata", url.path()));
            let _pending = Pending::new(self, &package);
            let failed = |error| Fault::Index { package: package.clone(), error };
            let (response, url) = self.fetcher.get(&url, "*/*").await.map_err(failed)?;
            fetch::body(response, &url, metadata::MAX_METADATA).await.map_err(failed)?
        } else {
            let path = self.fetch(offered, &package).await?;
            blocking(move || metadata::of_wheel(open(&path)?))
                .await
                .map_err(|reason| Fault::Package { package: package.clone(), reason })?
        };
        metadata::check(&bytes).map_err(|reason| Fault::Package { package, reason })?;
        Ok(Some(full("text/plain", bytes)))
    }

    async fn wheel(&self, offered: &Offered) -> Result<Option<Response<Body>>, Fault> {
        let package = label(&offered.entry.filename);
        let path = self.fetch(offered, &package).await?;
        let disk = |error: std::io::Error| Fault::Disk { reason: error.to_string() };
        let file = tokio::fs::File::open(&path).await.map_err(disk)?;
        let length = file.metadata().await.map_err(disk)?.len();
        let body = StreamBody::new(ReaderStream::with_capacity(file, 64 * 1024).map_ok(Frame::data));
        let mut response = Response::new(body.boxed());
        response.headers_mut().insert(hyper::header::CONTENT_LENGTH, length.into());
        Ok(Some(response))
    }

    /// The wheel on our disk, with its hash and its metadata looked at.
    async fn fetch(&self, offered: &Offered, package: &str) -> Result<PathBuf, Fault> {
        let mut fetched = offered.fetched.lock().await;
        if let Some(path) = &*fetched {
            return Ok(path.clone());
        }
        let path = match &offered.local {
            Some(path) => path.clone(),
            None => {
                let _pending = Pending::new(self, package);
                self.download(&offered.entry, package).await?
            }
        };
        let checked = path.clone();
        blocking(move || metadata::of_wheel(open(&checked)?).and_then(|bytes| metadata::check(&bytes)))
            .await
            .map_err(|reason| Fault::Package { package: package.to_owned(), reason })?;
        Ok(fetched.insert(path).clone())
    }

    async fn download(&self, entry: &Entry, package: &str) -> Result<PathBuf, Fault> {
        let failed = |error| Fault::Index { package: package.to_owned(), error };
        let (mut response, url) = self.fetcher.get(&entry.url, "*/*").await.map_err(failed)?;
        if response.headers().get(hyper::header::CONTENT_ENCODING).is_some_and(|value| value != "identity") {
            return Err(failed(FetchError::Broken { host: host(&url), why: "a compressed wheel" }));
        }
        let disk = |error: std::io::Error| Fault::Disk { reason: error.to_string() };
        let mut file = tempfile::Builder::new().suffix(".whl").tempfile_in(&self.directory).map_err(disk)?;
        let mut hash = Sha256::new();
        let mut length = 0;
        while let Some(chunk) =
            response.chunk().await.map_err(|error| failed(fetch::failure(&url, &error)))?
        {
            length += chunk.len() as u64;
            if length > MAX_WHEEL {
                return Err(failed(FetchError::TooLarge { host: host(&url), limit: MAX_WHEEL }));
            }
            hash.update(&chunk);
            file.write_all(&chunk).map_err(disk)?;
        }
        if let Some(wanted) = entry.hashes.get("sha256")
            && !wanted.eq_ignore_ascii_case(&HEXLOWER.encode(&hash.finalize()))
        {
            let reason = "a downloaded file does not have the hash that its index tells".to_owned();
            return Err(Fault::Package { package: package.to_owned(), reason });
        }
        file.into_temp_path().keep().map_err(|error| disk(error.error))
    }
}

/// Notes what is waited for while it lives.
struct Pending<'a> {
    mirror: &'a Mirror,
    package: String,
}

impl<'a> Pending<'a> {
    fn new(mirror: &'a Mirror, package: &str) -> Self {
        mirror.state().pending.push(package.to_owned());
        Self { mirror, package: package.to_owned() }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut state = self.mirror.state();
        if let Some(at) = state.pending.iter().position(|package| *package == self.package) {
            state.pending.remove(at);
        }
    }
}

/// `kit==1.0` for `kit-1.0-py3-none-any.whl`.
fn label(filename: &str) -> String {
    let mut parts = filename.split('-');
    let name = crate::requirement::normalize(parts.next().unwrap_or_default());
    format!("{name}=={}", parts.next().unwrap_or_default())
}

fn open(path: &Path) -> Result<File, String> {
    File::open(path).map_err(|error| format!("its wheel cannot be read ({error})"))
}

fn full(media_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed());
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(media_type));
    response
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = full("text/plain", Vec::new());
    *response.status_mut() = status;
    response
}

/// ZIP files are read on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err("its wheel could not be looked at".to_owned()))
}
