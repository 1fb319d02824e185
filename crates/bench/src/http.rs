//! A real `skillbox serve`, and just enough of an HTTP client to talk to it without adding time of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::host::SNIPPET;

/// Longest wait for the server to be ready.
const READY_TIME: Duration = Duration::from_secs(20);

/// A running server with a store of its own.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    place: tempfile::TempDir,
    address: String,
    token: String,
    connection: Mutex<BufReader<TcpStream>>,
}

impl Server {
    pub(crate) fn start(skillbox: &Path) -> anyhow::Result<Self> {
        let place = tempfile::tempdir()?;
        let token = "bench-0123456789abcdef0123456789abcdef".to_owned();
        let token_file = place.path().join("token");
        std::fs::write(&token_file, &token)?;
        std::fs::create_dir(place.path().join("skills"))?;
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut child = Command::new(skillbox)
            .args([
                "serve",
                "--listen",
                &address,
                "--store",
                &format!("file:{}", place.path().join("store").display()),
            ])
            .arg("--skills")
            .arg(place.path().join("skills"))
            .arg("--token-file")
            .arg(&token_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| {
                format!("{} does not start (build it: cargo build --release)", skillbox.display())
            })?;
        let connection = match wait_until_ready(&address, &mut child) {
            Ok(connection) => Mutex::new(connection),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
        };
        Ok(Self { child, place, address, token, connection })
    }

    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        // Its sandboxes are all destroyed already: nothing is lost by ending it at once.
        self.child.kill()?;
        self.child.wait()?;
        self.place.close()?;
        Ok(())
    }

    /// A trigger's first tool call: Python that saves a file, until its result with the stored file is here.
    pub(crate) fn first_call(&self, trigger: &str) -> anyhow::Result<()> {
        let result = self.call(trigger, "1", "python", SNIPPET)?;
        let files = &result["outputFiles"];
        ensure!(result["exitCode"] == 0, "the program failed: {result}");
        ensure!(files[0]["name"] == "out.txt" && files[0]["url"].is_string(), "no file arrived: {result}");
        Ok(())
    }

    /// One code_run; its result.
    pub(crate) fn call(&self, trigger: &str, id: &str, language: &str, code: &str) -> anyhow::Result<Value> {
        let args = json!({"language": language, "code": code});
        let call = json!({"toolCallId": id, "toolName": "octavus_code_run", "args": args});
        let body = json!({"toolCalls": [call]}).to_string();
        let answer = self.request("POST", &format!("/v1/triggers/{trigger}/tool-calls"), &body)?;
        Ok(answer["toolResults"][0]["result"].clone())
    }

    /// Ends a trigger and its sandbox.
    pub(crate) fn end(&self, trigger: &str) -> anyhow::Result<()> {
        self.request("DELETE", &format!("/v1/triggers/{trigger}"), "").map(drop)
    }

    fn request(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let mut connection = self.connection.lock().map_err(|_| anyhow::anyhow!("the connection broke"))?;
        let (address, token) = (&self.address, &self.token);
        let content_type = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n{content_type}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.get_mut().write_all(request.as_bytes())?;
        let (status, body) = read_response(&mut connection)?;
        ensure!(
            (200..300).contains(&status),
            "{method} {path}: {status}: {}",
            String::from_utf8_lossy(&body)
        );
        if body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&body)?) }
    }
}

fn wait_until_ready(address: &str, child: &mut Child) -> anyhow::Result<BufReader<TcpStream>> {
    let end = Instant::now() + READY_TIME;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            bail!("skillbox serve ended: {status}");
        }
        if let Ok(stream) = TcpStream::connect(address) {
            stream.set_nodelay(true)?;
            let mut connection = BufReader::new(stream);
            write!(connection.get_mut(), "GET /readyz HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
            if read_response(&mut connection)?.0 == 200 {
                return Ok(connection);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("skillbox serve was not ready in {READY_TIME:?}")
}

fn read_response(connection: &mut BufReader<TcpStream>) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let status = line.split(' ').nth(1).context("no status line")?.parse()?;
    let mut length = 0;
    loop {
        line.clear();
        ensure!(connection.read_line(&mut line)? > 0, "the connection closed");
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok((status, body))
}
