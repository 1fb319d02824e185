//! What the tests share: which tools are here, a cache of one's own, and wheels made on the spot.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use layer::{Config, Event, Requirements, Resolver, Source, Step, Target, ToolChoice};
use zip::write::SimpleFileOptions;

/// The sandbox's Python on the embedded default.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// The tools of this machine. One that is missing is said, and fails the test when `REQUIRE` names it.
pub(crate) fn tools() -> Vec<ToolChoice> {
    let required = env::var("REQUIRE").unwrap_or_default();
    let works = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let pip = works(PYTHON, &["-m", "pip"])
        || works("pip3", &[])
        || works("pip", &[])
        || works("python3", &["-m", "pip"]);
    let mut tools = Vec::new();
    for (tool, name, here) in [(ToolChoice::Uv, "uv", works("uv", &[])), (ToolChoice::Pip, "pip", pip)] {
        if here {
            tools.push(tool);
        } else {
            assert!(!required.split(',').any(|required| required == name), "{name} is required and not here");
            println!("skipped: no {name}");
        }
    }
    tools
}

/// A cache directory and a folder of wheels, removed at the end.
pub(crate) struct Place {
    root: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("wheels")).unwrap();
        Self { root }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Against the configured index.
    pub(crate) fn config(&self, tool: ToolChoice) -> Config {
        let target = Target::of_interpreter(Path::new(PYTHON)).unwrap();
        let launcher = Some(env!("CARGO_BIN_EXE_layer-room").into());
        Config { tool, launcher, ..Config::new(self.path("layers"), target) }
    }

    /// Against the folder of wheels only.
    pub(crate) fn local(&self, tool: ToolChoice) -> Config {
        let mut config = self.config(tool);
        config.environment.retain(|(name, _)| {
            let name = name.to_string_lossy();
            !name.starts_with("PIP_") && !name.starts_with("UV_")
        });
        let wheels = self.path("wheels").into_os_string();
        let set: [(&str, OsString); 6] = [
            ("PIP_CONFIG_FILE", "/dev/null".into()),
            ("PIP_NO_INDEX", "1".into()),
            ("PIP_FIND_LINKS", wheels.clone()),
            ("UV_NO_INDEX", "1".into()),
            ("UV_FIND_LINKS", wheels),
            // Wheels of the same name differ from test to test.
            ("UV_CACHE_DIR", self.path("uv").into()),
        ];
        config.environment.extend(set.map(|(name, value)| (name.into(), value)));
        config
    }

    /// Against an index of the test's own.
    pub(crate) fn against(&self, tool: ToolChoice, index: &Index) -> Config {
        let mut config = self.local(tool);
        config.environment.retain(|(name, _)| {
            let name = name.to_string_lossy();
            !name.ends_with("_NO_INDEX")
                && !name.ends_with("_FIND_LINKS")
                && !name.to_lowercase().ends_with("_proxy")
        });
        config.environment.push(("PIP_INDEX_URL".into(), index.url("/simple/").into()));
        config
    }

    /// A wheel's bytes.
    pub(crate) fn bytes(&self, name: &str, version: &str) -> Vec<u8> {
        fs::read(self.path("wheels").join(format!("{name}-{version}-py3-none-any.whl"))).unwrap()
    }

    /// Puts a wheel into the folder, with these files beside its metadata.
    pub(crate) fn wheel(&self, name: &str, version: &str, requires: &[&str], files: &[(&str, &str)]) {
        let info = format!("{name}-{version}.dist-info");
        let mut metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
        for requirement in requires {
            metadata.push_str(&format!("Requires-Dist: {requirement}\n"));
        }
        let wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
        let mut files: Vec<(String, String)> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        files.push((format!("{info}/METADATA"), metadata));
        files.push((format!("{info}/WHEEL"), wheel.to_owned()));
        let record: String = files.iter().map(|(path, _)| format!("{path},,\n")).collect();
        files.push((format!("{info}/RECORD"), format!("{record}{info}/RECORD,,\n")));
        let path = self.path("wheels").join(format!("{name}-{version}-py3-none-any.whl"));
        let mut archive = zip::ZipWriter::new(fs::File::create(path).unwrap());
        for (path, text) in files {
            archive.start_file(path, SimpleFileOptions::default()).unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        archive.finish().unwrap();
    }

    /// Nothing of a build is left.
    #[track_caller]
    pub(crate) fn assert_no_build(&self) {
        let building = self.path("layers").join(".building");
        let left: Vec<_> = fs::read_dir(building).unwrap().flatten().map(|entry| entry.path()).collect();
        assert_eq!(left, Vec::<PathBuf>::new());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Layers are read-only, which keeps everyone but root from removing them.
        let path = self.root.path().to_owned();
        let _removed_below_anyway = Command::new("chmod").arg("-R").arg("u+w").arg(path).status().is_ok();
    }
}

pub(crate) fn requirements(text: &str) -> Requirements {
    let source = Source { name: "requirements.txt".to_owned(), text: text.to_owned() };
    Requirements { sources: vec![source], requires_python: None }
}

/// Records the steps of a build.
#[derive(Default)]
pub(crate) struct Steps(Mutex<Vec<(Step, Vec<String>)>>);

impl Steps {
    pub(crate) fn record(&self, event: Event<'_>) {
        self.0.lock().unwrap().push((event.step, event.packages.to_vec()));
    }

    pub(crate) fn names(&self) -> Vec<Step> {
        self.0.lock().unwrap().iter().map(|(step, _)| *step).collect()
    }

    pub(crate) fn packages(&self, step: Step) -> Vec<String> {
        let steps = self.0.lock().unwrap();
        steps
            .iter()
            .find(|(found, _)| *found == step)
            .map(|(_, packages)| packages.clone())
            .unwrap_or_default()
    }
}

/// Resolves with a resolver of its own, as each process has.
pub(crate) async fn resolve(config: &Config, text: &str) -> Result<Option<layer::Layer>, layer::LayerError> {
    Resolver::new(config.clone()).resolve(&requirements(text), None, &|_| {}).await
}

/// What an index of a test's own answers.
pub(crate) enum Reply {
    /// 200 with this media type.
    Ok(&'static str, Vec<u8>),
    /// 200 with this media type, and bytes that are said to be compressed by gzip.
    Gzip(&'static str, Vec<u8>),
    /// This status, and nothing.
    Status(u16),
    /// A redirection.
    To(String),
    /// Nothing, ever: the connection stays open until the test ends.
    Silence,
}

/// An HTTP server on loopback, which notes what it was asked for.
pub(crate) struct Index {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Index {
    pub(crate) fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (answer, noted) = (Arc::new(answer), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
                thread::spawn(move || serve(&stream, &*answer, &noted));
            }
        });
        Self { address, asked }
    }

    /// A page of links in HTML for each project, and files below `/files/`.
    pub(crate) fn of(pages: Vec<(&'static str, String)>, files: Vec<(&'static str, Vec<u8>)>) -> Self {
        Self::start(move |path| {
            if let Some((_, page)) = pages.iter().find(|(name, _)| path == format!("/simple/{name}/")) {
                return Reply::Ok("text/html", page.clone().into_bytes());
            }
            match files.iter().find(|(name, _)| path == format!("/files/{name}")) {
                Some((_, bytes)) => Reply::Ok("application/octet-stream", bytes.clone()),
                None => Reply::Status(404),
            }
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, answer: &dyn Fn(&str) -> Reply, noted: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream).lines();
    let Some(Ok(first)) = lines.next() else { return };
    for line in lines.by_ref() {
        match line {
            Ok(line) if !line.is_empty() => {}
            _ => break,
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    noted.lock().unwrap().push(path.clone());
    let head = |status: &str, headers: &str, length: usize| {
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n")
    };
    let (head, body) = match answer(&path) {
        Reply::Ok(kind, body) => (head("200 OK", &format!("Content-Type: {kind}\r\n"), body.len()), body),
        Reply::Gzip(kind, body) => {
            let headers = format!("Content-Type: {kind}\r\nContent-Encoding: gzip\r\n");
            (head("200 OK", &headers, body.len()), body)
        }
        Reply::Status(status) => (head(&format!("{status} X"), "", 0), Vec::new()),
        Reply::To(url) => (head("302 Found", &format!("Location: {url}\r\n"), 0), Vec::new()),
        Reply::Silence => {
            // Until the other side gives up.
            let _ended = lines.next();
            return;
        }
    };
    let mut stream = stream;
    // Whoever asked may be gone.
    let _gone = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).is_err();
}

/// A link to a file of the index itself.
pub(crate) fn link(filename: &str) -> String {
    format!("<a href=\"/files/{filename}\">{filename}</a>\n")
}
