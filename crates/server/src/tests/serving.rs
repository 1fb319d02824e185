//! The server on real sockets.

use std::{path::Path, time::Duration};

use sandbox::fake::Program;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    task::JoinSet,
};

use super::{TOKEN, TestApp, code, until};
use crate::{Address, BindError, Config, Listen, ServeError, Server, ShutdownReport, serve};

fn listening(app: &TestApp, listen: &[&str]) -> Config {
    let listen = listen.iter().map(|place| place.parse().unwrap()).collect();
    Config { listen, ..app.app.config.clone() }
}

fn port(server: &Server) -> std::net::SocketAddr {
    match server.addresses()[0] {
        Address::Tcp(address) => address,
        Address::Unix(_) => panic!("no TCP"),
    }
}

/// Sends a request and gives status and body.
async fn exchange(stream: impl AsyncRead + AsyncWrite, request: &str) -> (u16, String) {
    let mut stream = Box::pin(stream);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
}

fn call(id: &str, program: &Program, headers: &str) -> String {
    let body = json!({"toolCalls": [code(id, program)]}).to_string();
    format!(
        "POST /v1/triggers/t/tool-calls HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn authorized() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

async fn unix(path: &Path) -> UnixStream {
    UnixStream::connect(path).await.unwrap()
}

#[tokio::test]
async fn over_tcp_a_token_is_needed_and_over_a_unix_socket_its_mode_is_enough() {
    let app = TestApp::new();
    let socket = app.directory.path().join("api.sock");
    let config = listening(&app, &["127.0.0.1:0", &format!("unix:{}", socket.display())]);
    let server = serve(config, app.runner.clone()).await.unwrap();
    let address = port(&server);
    assert_eq!(server.addresses()[1], Address::Unix(socket.clone()));
    assert_eq!(server.addresses()[1].to_string(), format!("unix:{}", socket.display()));
    let tcp = async |request: &str| exchange(TcpStream::connect(address).await.unwrap(), request).await;
    assert_eq!(tcp(&get("/v1/skills", "")).await.0, 401);
    let (status, body) = tcp(&get("/v1/skills", &authorized())).await;
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["skills"].as_array().unwrap().len(), 2);
    assert_eq!(exchange(unix(&socket).await, &get("/v1/skills", "")).await.0, 200);
    // A name that a socket's client made up is fine; a web page's origin is not.
    let named = get("/v1/skills", "").replace("localhost", "skillbox");
    assert_eq!(exchange(unix(&socket).await, &named).await.0, 200);
    assert_eq!(exchange(unix(&socket).await, &get("/v1/skills", "Origin: http://x\r\n")).await.0, 403);
    assert_eq!(tcp(&named.replace("\r\n\r\n", &format!("\r\n{}\r\n", authorized()))).await.0, 421);
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::symlink_metadata(&socket).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(server.shutdown().await, ShutdownReport { triggers: 0, connections: 0 });
    assert!(!socket.exists());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_would_be_unsafe_or_impossible_does_not_start() {
    let app = TestApp::new();
    let start = async |config: Config| serve(config, app.runner.clone()).await.unwrap_err();
    assert!(matches!(start(listening(&app, &[])).await, ServeError::Nowhere));
    let open = Config { token_file: None, ..listening(&app, &["127.0.0.1:0"]) };
    let error = start(open).await;
    assert_eq!(
        error.to_string(),
        "listening at 127.0.0.1:0 needs a token file; give one, or listen at a unix socket"
    );
    let missing =
        Config { token_file: Some("/nonexistent/tokens".into()), ..listening(&app, &["127.0.0.1:0"]) };
    assert!(matches!(start(missing).await, ServeError::Token(_)));
    let taken = app.directory.path().join("file");
    std::fs::write(&taken, "x").unwrap();
    let config = listening(&app, &[&format!("unix:{}", taken.display())]);
    assert!(matches!(start(config).await, ServeError::Bind(BindError::NotASocket { .. })));
    let long = Config {
        listen: vec![Listen::Unix(app.directory.path().join("x".repeat(200)))],
        ..app.app.config.clone()
    };
    assert!(matches!(start(long).await, ServeError::Bind(BindError::System { .. })));
    // Over a unix socket alone no token is needed.
    let alone = app.directory.path().join("alone.sock");
    let config = Config { token_file: None, ..listening(&app, &[&format!("unix:{}", alone.display())]) };
    let server = serve(config, app.runner.clone()).await.unwrap();
    assert_eq!(exchange(unix(&alone).await, &get("/v1/skills", "")).await.0, 200);
    drop(server);
}

#[tokio::test]
async fn a_shutdown_lets_calls_finish_and_says_that_it_drains() {
    let app = TestApp::new();
    app.driver.on_script("pass", Program::new());
    let server = serve(listening(&app, &["127.0.0.1:0"]), app.runner.clone()).await.unwrap();
    let address = port(&server);
    server.ready().await;
    assert_eq!(exchange(TcpStream::connect(address).await.unwrap(), &get("/readyz", "")).await.0, 200);
    let mut clients = JoinSet::new();
    let brief = Program::new().stdout("begun").sleep(Duration::from_millis(400)).stdout(" done");
    let running = call("c1", &brief, &authorized());
    clients.spawn(async move { exchange(TcpStream::connect(address).await.unwrap(), &running).await });
    let mut progress = TcpStream::connect(address).await.unwrap();
    // The stream's own events say when the program runs.
    until("the trigger is there", || app.runner.load().triggers == 1).await;
    progress.write_all(get("/v1/triggers/t/events", &authorized()).as_bytes()).await.unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("begun") {
        assert!(progress.read_buf(&mut said).await.unwrap() > 0);
    }
    let while_draining = async {
        until("the drain has begun", || !app.runner.load().accepting).await;
        let (status, body) = exchange(TcpStream::connect(address).await.unwrap(), &get("/readyz", "")).await;
        assert_eq!(status, 503);
        assert!(body.contains("the runner is shutting down"), "{body}");
        let refused = call("c2", &Program::new(), &authorized());
        let (status, body) = exchange(TcpStream::connect(address).await.unwrap(), &refused).await;
        assert_eq!(status, 503);
        assert!(body.contains("SHUTTING_DOWN"), "{body}");
    };
    let (report, ()) = tokio::join!(server.shutdown(), while_draining);
    assert_eq!(report, ShutdownReport { triggers: 0, connections: 0 });
    let (status, body) = clients.join_next().await.unwrap().unwrap();
    assert_eq!(status, 200);
    assert!(body.contains("begun done"), "{body}");
    progress.read_to_end(&mut said).await.unwrap();
    assert!(String::from_utf8_lossy(&said).contains("data: [DONE]\n\n"));
    assert_eq!(app.driver.live(), 0);
}

#[tokio::test]
async fn a_shutdown_that_is_hurried_stops_calls_and_cuts_who_stays() {
    let app = TestApp::new();
    let mut config = listening(&app, &["127.0.0.1:0"]);
    config.close = Duration::from_millis(50);
    let server = serve(config, app.runner.clone()).await.unwrap();
    let address = port(&server);
    // In the middle of a head: nothing that could be finished.
    let mut stuck = TcpStream::connect(address).await.unwrap();
    stuck.write_all(b"GET /healthz HTTP/1.1\r\nHost:").await.unwrap();
    let mut clients = JoinSet::new();
    let running = call("c1", &Program::new().sleep(Duration::from_secs(600)), &authorized());
    clients.spawn(async move { exchange(TcpStream::connect(address).await.unwrap(), &running).await });
    let is_bash = |argv: &[String]| argv.join(" ").contains("bash");
    until("the call runs", || app.driver.execs().iter().any(|exec| is_bash(&exec.argv))).await;
    let hurry = async { server.shutdown_now() };
    let (report, ()) = tokio::join!(server.shutdown(), hurry);
    assert_eq!(report, ShutdownReport { triggers: 0, connections: 1 });
    let (status, body) = clients.join_next().await.unwrap().unwrap();
    assert_eq!(status, 200);
    assert!(body.contains("Cancelled"), "{body}");
    assert_eq!(app.driver.live(), 0);
}
