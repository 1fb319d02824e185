//! A small HTTP/1.1 client, as bare as curl: it sends exactly what a test says, to TCP or a unix socket, and shows
//! exactly what came back. One connection a request.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use serde_json::Value;

/// Longest silence of a server that a test puts up with.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Tcp(String),
    Unix(PathBuf),
}

/// A request that is being put together.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    address: Address,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A response, whole.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A response whose body is still coming.
pub(crate) struct Streaming {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    reader: BufReader<Box<dyn Stream>>,
    chunked: bool,
    /// Bytes left of a body of known length.
    left: Option<usize>,
}

trait Stream: Read + Write + Send {
    /// Ends the connection in both directions, as a client that goes away does.
    fn hang_up(&self);
}

impl Stream for TcpStream {
    fn hang_up(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Stream for UnixStream {
    fn hang_up(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Request {
    pub(crate) fn new(address: &Address, method: &str, path: &str) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        Self { address: address.clone(), method, path, headers: Vec::new(), body: Vec::new() }
    }

    /// Sets a header, in place of an earlier one of this name.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes a header out again.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string().into_bytes())
    }

    pub(crate) fn body(self, media_type: &str, body: Vec<u8>) -> Self {
        let mut this = self.header("content-type", media_type);
        this.body = body;
        this
    }

    /// Sends it and reads the whole response.
    pub(crate) fn send(self) -> Response {
        self.stream().whole()
    }

    /// Sends it and reads the head of the response.
    pub(crate) fn stream(self) -> Streaming {
        Streaming::read_head(self.write())
    }

    /// Sends it and reads nothing. The client is there until the connection is dropped.
    pub(crate) fn send_only(self) -> impl Sized {
        self.write()
    }

    fn write(self) -> Box<dyn Stream> {
        let mut stream: Box<dyn Stream> = match &self.address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                Box::new(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                Box::new(stream)
            }
        };
        let has = |name: &str| self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if !has("host") {
            let host = match &self.address {
                Address::Tcp(address) => address.as_str(),
                Address::Unix(_) => "localhost",
            };
            let _ = write!(head, "Host: {host}\r\n");
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !self.body.is_empty() || self.method == "POST" || self.method == "PUT" {
            let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        }
        head.push_str("Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // A server may refuse before it has read all of a body; its answer is what counts.
        let _ = stream.write_all(&self.body);
        stream
    }
}

impl Streaming {
    fn read_head(stream: Box<dyn Stream>) -> Self {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a response: {line:?}"));
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let value =
            |name: &str| headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let chunked = value("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        let left = value("content-length").and_then(|length| length.parse().ok());
        let left = if status == 204 || status == 304 { Some(0) } else { left };
        Self { status, headers, reader, chunked, left }
    }

    /// The next piece of the body; `None` at its end. A body that breaks off is a panic.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        if self.chunked {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            let size = usize::from_str_radix(line.trim(), 16)
                .unwrap_or_else(|_| panic!("the body broke off: {line:?}"));
            let mut piece = vec![0; size + 2];
            self.reader.read_exact(&mut piece).unwrap();
            piece.truncate(size);
            return (size > 0).then_some(piece);
        }
        let mut piece = vec![0; self.left.unwrap_or(64 * 1024).min(64 * 1024)];
        let read = self.reader.read(&mut piece).unwrap();
        if let Some(left) = &mut self.left {
            assert!(read > 0 || *left == 0, "the body broke off {left} bytes before its end");
            *left -= read;
        }
        piece.truncate(read);
        (read > 0).then_some(piece)
    }

    /// Reads until the body contains `text`, and returns what there is by then.
    pub(crate) fn until(&mut self, text: &str) -> String {
        let mut body = String::new();
        while !body.contains(text) {
            let piece = self.next().unwrap_or_else(|| panic!("ended before {text:?}: {body}"));
            body.push_str(std::str::from_utf8(&piece).unwrap());
        }
        body
    }

    /// Goes away in the middle.
    pub(crate) fn hang_up(self) {
        self.reader.get_ref().hang_up();
    }

    /// The rest of it.
    pub(crate) fn whole(mut self) -> Response {
        let mut body = Vec::new();
        while let Some(piece) = self.next() {
            body.extend(piece);
        }
        Response { status: self.status, headers: self.headers, body }
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// The JSON of a response that must have this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        if self.body.is_empty() { Value::Null } else { self.value() }
    }
}

/// The events of a server-sent stream.
pub(crate) fn events(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}
