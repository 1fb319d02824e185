//! The whole contract over a real runner: fake sandboxes, real stores, real skills, and a paused clock where time matters.

mod access;
mod calls;
mod connections;
mod files;
mod limits;
mod metrics;
mod registry;
mod serving;
mod streams;
mod triggers;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use artifact::{ArtifactStore, Durability, LocalOptions, LocalStore, LocalUrls, memory::MemoryStore};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
    response::Response,
};
use http_body_util::BodyExt as _;
use layer::{Platform, Policy, Resolver, Target};
use runner::{Parts, Runner};
use sandbox::fake::{FakeDriver, Program};
use serde_json::{Value, json};
use skill::{Catalog, SourceLimits};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::{Config, app::App, router::router};

const TOKEN: &str = "a-token-for-tests-only";

/// A server without listeners, with everything around it.
struct TestApp {
    app: App,
    router: Router,
    runner: Runner,
    driver: FakeDriver,
    store: MemoryStore,
    directory: TempDir,
}

/// What a [`TestApp`] is made with.
struct Settings {
    server: Config,
    runner: runner::Config,
    /// The store on disk with its signed links, instead of the one in memory.
    on_disk: bool,
    uploads: bool,
}

impl TestApp {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let token_file = directory.path().join("tokens");
        std::fs::write(&token_file, format!("{TOKEN}\n")).unwrap();
        let mut server = Config::standard();
        server.token_file = Some(token_file);
        let mut settings =
            Settings { server, runner: runner::Config::standard(), on_disk: false, uploads: true };
        change(&mut settings);
        let memory = MemoryStore::new();
        let mut store: Arc<dyn ArtifactStore> = Arc::new(memory.clone());
        if settings.on_disk {
            let urls = LocalUrls::Signed {
                base_url: "http://localhost:8080".into(),
                lifetime: Duration::from_secs(3600),
            };
            let options = LocalOptions {
                directory: directory.path().join("store"),
                urls,
                durability: Durability::Rename,
            };
            let local = LocalStore::open(options).unwrap();
            settings.server.signed_urls = local.signed_urls().cloned();
            store = Arc::new(local);
        }
        let skills = directory.path().join("skills");
        for (name, description) in [("qr-code", "Makes QR codes."), ("notes", "Takes <notes> & keeps them.")]
        {
            write_skill(&skills.join(name), name, description);
        }
        let uploads = directory.path().join("uploads");
        let uploads = settings.uploads.then_some(uploads.as_path());
        let target =
            Target { version: "3.11".parse().unwrap(), interpreter: None, platform: Platform::host() };
        let mut layers = layer::Config::new(directory.path().join("layers"), target);
        layers.policy = Policy::Offline;
        let driver = FakeDriver::new();
        let parts = Parts {
            driver: Arc::new(driver.clone()),
            store,
            catalog: Catalog::open(&[skills], uploads, &SourceLimits::default()).unwrap(),
            layers: Arc::new(Resolver::new(layers)),
        };
        let runner = Runner::new(parts, settings.runner);
        let app = App::new(settings.server, runner.clone()).unwrap();
        Self { router: router(app.clone()), app, runner, driver, store: memory, directory }
    }

    fn ask(&self, method: Method, path: &str) -> Ask {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost:8080"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {TOKEN}")).unwrap());
        Ask { router: self.router.clone(), method, path: path.to_owned(), headers, body: Body::empty() }
    }

    fn get(&self, path: &str) -> Ask {
        self.ask(Method::GET, path)
    }

    fn post(&self, path: &str, body: &Value) -> Ask {
        self.ask(Method::POST, path).json(body)
    }

    fn put(&self, path: &str, body: &Value) -> Ask {
        self.ask(Method::PUT, path).json(body)
    }

    fn delete(&self, path: &str) -> Ask {
        self.ask(Method::DELETE, path)
    }

    /// One call of the code tool.
    fn run(&self, trigger: &str, id: &str, program: &Program) -> Ask {
        self.post(&format!("/v1/triggers/{trigger}/tool-calls"), &json!({"toolCalls": [code(id, program)]}))
    }
}

/// A request on its way.
struct Ask {
    router: Router,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Body,
}

impl Ask {
    fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    fn another_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    fn without(mut self, name: &'static str) -> Self {
        self.headers.remove(name);
        self
    }

    /// The response as soon as its head is there.
    async fn begin(self) -> Response {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.path.parse().unwrap();
        *request.headers_mut() = self.headers;
        self.router.oneshot(request).await.unwrap()
    }

    async fn send(self) -> Reply {
        let (parts, body) = self.begin().await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: parts.status, headers: parts.headers, body: body.to_vec() }
    }

    /// The body of a success.
    async fn value(self) -> Value {
        let reply = self.send().await;
        assert!(reply.status.is_success(), "{} {}", reply.status, reply.text());
        reply.json()
    }

    /// Checks a whole problem document. Members beside the standard ones come in `more`.
    async fn refused(self, status: u16, title: &str, code: &str, detail: &str, more: Value) -> Reply {
        let reply = self.send().await;
        let mut expected = json!({
            "type": "about:blank", "title": title, "status": status, "detail": detail, "error": detail, "code": code,
        });
        expected.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(reply.json(), expected);
        assert_eq!(reply.status.as_u16(), status);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.headers.contains_key("retry-after"), matches!(status, 429 | 503), "{code}");
        reply
    }

    /// Status and code of a refusal.
    async fn code(self) -> (u16, String) {
        let reply = self.send().await;
        let problem = reply.json();
        assert_eq!(problem["status"], reply.status.as_u16());
        assert_eq!(problem["error"], problem["detail"]);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        (reply.status.as_u16(), problem["code"].as_str().unwrap().to_owned())
    }
}

/// A whole response.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn code(id: &str, program: &Program) -> Value {
    json!({"toolCallId": id, "toolName": "octavus_code_run", "args": {"language": "bash", "code": program.script()}})
}

fn write_skill(root: &std::path::Path, name: &str, description: &str) {
    std::fs::create_dir_all(root.join("scripts")).unwrap();
    let text = format!("---\nname: {name}\ndescription: {description}\n---\n# {name}\n");
    std::fs::write(root.join("SKILL.md"), text).unwrap();
    let script = format!("\"\"\"Does {name}.\"\"\"\nprint('{name}')\n");
    std::fs::write(root.join("scripts/main.py"), script).unwrap();
}

/// Lets other tasks go on until something is so. The clock of the tests may be paused; the deadline is of the real one.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::task::yield_now().await;
    }
}

/// The next piece of a response's body.
async fn piece(response: &mut Response) -> String {
    let frame = response.body_mut().frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}
