//! Connections in memory: slow and silent clients, heads that are too large, the end of a connection.

use std::time::Duration;

use sandbox::{Termination, fake::Program};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    task::JoinSet,
    time::Instant,
};

use super::{TOKEN, TestApp, code, until};
use crate::{
    app::Transport,
    connection::{self, Ending},
};

/// Connections to an app; whether each was cut is the result of its task.
struct Connections<'a> {
    app: &'a TestApp,
    tasks: JoinSet<bool>,
    ending: Ending,
}

impl<'a> Connections<'a> {
    fn new(app: &'a TestApp) -> Self {
        Self { app, tasks: JoinSet::new(), ending: Ending::default() }
    }

    fn open(&mut self, buffer: usize) -> DuplexStream {
        let (client, stream) = duplex(buffer);
        let (app, router, ending) = (self.app.app.clone(), self.app.router.clone(), self.ending.clone());
        self.tasks.spawn(async move {
            connection::serve(stream, Transport::Tcp(None), router, &app.config, ending).await
        });
        client
    }

    async fn ended(&mut self) -> bool {
        self.tasks.join_next().await.unwrap().unwrap()
    }
}

fn request(trigger: &str, program: &Program) -> String {
    let body = json!({"toolCalls": [code("c1", program)]}).to_string();
    format!(
        "POST /v1/triggers/{trigger}/tool-calls HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn rest(mut client: DuplexStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    text
}

/// The head of a response.
async fn head(client: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let app = TestApp::new();
    let mut connections = Connections::new(&app);
    for begun in ["", "GET /healthz HTTP/1.1\r\nHost: loc"] {
        let mut client = connections.open(4096);
        client.write_all(begun.as_bytes()).await.unwrap();
        let start = Instant::now();
        let said = rest(client).await;
        assert!(!said.contains("200 OK"), "{said}");
        assert_eq!(start.elapsed().as_secs(), 30);
        assert!(!connections.ended().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_in_drops_is_not_waited_for_either() {
    let app = TestApp::new();
    let mut connections = Connections::new(&app);
    let mut client = connections.open(4096);
    let start = Instant::now();
    client.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    for n in 0.. {
        if client.write_all(format!("X-{n}: y\r\n").as_bytes()).await.is_err() {
            break;
        }
        tokio::time::advance(Duration::from_secs(5)).await;
        tokio::task::yield_now().await;
    }
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_answers_again_and_ends_when_idle() {
    let app = TestApp::new();
    let mut connections = Connections::new(&app);
    let mut client = connections.open(4096);
    for _ in 0..2 {
        client.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let head = head(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("content-length: 15\r\n"), "{head}");
        let mut body = [0; 15];
        client.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"{\"status\":\"ok\"}");
    }
    let start = Instant::now();
    assert!(rest(client).await.is_empty());
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn heads_that_are_too_large_or_no_http_are_refused() {
    let app = TestApp::new();
    let mut connections = Connections::new(&app);
    let long = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(40_000));
    let many = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(70));
    for (text, status) in [
        (long.as_str(), 431),
        (&many, 431),
        ("HELLO\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nA b: c\r\n\r\n", 400),
    ] {
        let mut client = connections.open(64 * 1024);
        client.write_all(text.as_bytes()).await.unwrap();
        let said = rest(client).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {said}");
    }
    // Two lengths: the classic of request smuggling.
    let mut client = connections.open(4096);
    let smuggled =
        "POST /v1/skills HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\nabcd";
    client.write_all(smuggled.as_bytes()).await.unwrap();
    assert!(rest(client).await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut_off_and_gives_its_place_back() {
    let app = TestApp::new();
    let mut connections = Connections::new(&app);
    let mut client = connections.open(1024);
    let free = app.app.calls.available_permits();
    let flood = Program::new().stdout("x".repeat(20_000));
    client.write_all(request("t", &flood).as_bytes()).await.unwrap();
    let start = Instant::now();
    assert!(!connections.ended().await);
    assert_eq!(start.elapsed().as_secs(), 60);
    assert_eq!(app.app.calls.available_permits(), free);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_ends_its_call() {
    let app = TestApp::with(|settings| settings.runner.abandoned = Duration::ZERO);
    for accept in ["application/json", "text/event-stream"] {
        let mut connections = Connections::new(&app);
        let mut client = connections.open(64 * 1024);
        let long = Program::new().sleep(Duration::from_secs(200));
        let ran = app.driver.execs().len();
        let text = request(&format!("t-{ran}"), &long)
            .replace("\r\nContent-Type", &format!("\r\nAccept: {accept}\r\nContent-Type"));
        client.write_all(text.as_bytes()).await.unwrap();
        until("the call runs", || app.driver.execs().len() == ran + 1).await;
        let start = Instant::now();
        drop(client);
        until("it was stopped", || app.driver.execs()[ran].termination == Some(Termination::Cancelled)).await;
        assert!(start.elapsed() < Duration::from_secs(1), "{accept}");
        connections.ended().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_asked_to_end_finishes_what_it_does() {
    let app = TestApp::new();
    let mut connections = Connections::new(&app);
    let mut client = connections.open(64 * 1024);
    client.write_all(request("t", &Program::new().sleep(Duration::from_secs(9))).as_bytes()).await.unwrap();
    until("the call runs", || app.driver.execs().len() == 1).await;
    let idle = connections.open(1024);
    connections.ending.close.cancel();
    let said = rest(client).await;
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.contains("connection: close\r\n"), "{said}");
    assert!(said.contains("\"exitCode\":0"));
    drop(idle);
    assert!(!connections.ended().await && !connections.ended().await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_cut_ends_at_once() {
    let app = TestApp::new();
    let mut connections = Connections::new(&app);
    let mut client = connections.open(64 * 1024);
    client.write_all(request("t", &Program::new().sleep(Duration::from_secs(9))).as_bytes()).await.unwrap();
    until("the call runs", || app.driver.execs().len() == 1).await;
    connections.ending.cut.cancel();
    assert!(connections.ended().await);
    assert!(rest(client).await.is_empty());
}
