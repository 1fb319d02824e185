//! A proxy in front of an S3 server that does what networks and overloaded servers do.
//!
//! It reads whole requests, one on each connection, and passes them on as they came, so signatures stay right. Bodies are
//! read into memory. Also used by the tests of `artifact-s3`.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// What happens to requests that change something. Others pass, as does everything when `times` are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The connection is closed before a byte of the request is read.
    Refuse,
    /// This status and nothing else.
    Status {
        code: u16,
        times: usize,
    },
    /// No answer, until the fault changes.
    Hang,
    /// The connection ends in the middle of the body.
    Cut {
        times: usize,
    },
    /// One byte of the body is another.
    Corrupt {
        times: usize,
    },
    /// The request is passed on, but its answer is lost.
    LoseAnswer {
        times: usize,
    },
}

/// The proxy. Ends with this.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    upstream: String,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    ended: bool,
    /// Faults that happened.
    faults: usize,
}

impl Proxy {
    /// In front of a server at `http://…`.
    pub(crate) fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { fault: Fault::None, ended: false, faults: 0 };
        let upstream = upstream.strip_prefix("http://").unwrap().to_owned();
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), upstream });
        let for_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if for_thread.state().ended {
                    return;
                }
                let shared = Arc::clone(&for_thread);
                // A connection that breaks is what this is about.
                thread::spawn(move || drop(shared.serve(client)));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this happens.
    pub(crate) fn set(&self, fault: Fault) {
        let mut state = self.shared.state();
        state.fault = fault;
        state.faults = 0;
        self.shared.changed.notify_all();
    }

    /// How often it happened.
    pub(crate) fn faults(&self) -> usize {
        self.shared.state().faults
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to the next request; counted.
    fn fault(&self) -> Fault {
        let mut state = self.state();
        let fault = state.fault;
        let left = match fault {
            Fault::None => false,
            Fault::Refuse | Fault::Hang => true,
            Fault::Status { times, .. }
            | Fault::Cut { times }
            | Fault::Corrupt { times }
            | Fault::LoseAnswer { times } => state.faults < times,
        };
        if !left {
            return Fault::None;
        }
        state.faults += 1;
        fault
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let (head, mut body) = read_request(&mut client)?;
        let changes = !head.starts_with("GET ") && !head.starts_with("HEAD ");
        match if changes { self.fault() } else { Fault::None } {
            Fault::None => {}
            Fault::Refuse => return client.shutdown(Shutdown::Both),
            Fault::Status { code, .. } => {
                let answer =
                    format!("HTTP/1.1 {code} Fault\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                return client.write_all(answer.as_bytes());
            }
            Fault::Hang => {
                let state = self.state();
                let over = |state: &mut State| state.fault == Fault::Hang && !state.ended;
                drop(self.changed.wait_while(state, over).unwrap_or_else(PoisonError::into_inner));
                return client.shutdown(Shutdown::Both);
            }
            Fault::Cut { .. } => {
                let mut server = TcpStream::connect(&self.upstream)?;
                server.write_all(with_close(&head).as_bytes())?;
                server.write_all(&body[..body.len() / 2])?;
                server.shutdown(Shutdown::Both)?;
                return client.shutdown(Shutdown::Both);
            }
            Fault::Corrupt { .. } => {
                let middle = body.len() / 2;
                if let Some(byte) = body.get_mut(middle) {
                    *byte ^= 1;
                }
            }
            Fault::LoseAnswer { .. } => {
                let mut answer = Vec::new();
                self.pass(&head, &body, &mut answer)?;
                return client.shutdown(Shutdown::Both);
            }
        }
        self.pass(&head, &body, &mut client)
    }

    fn pass(&self, head: &str, body: &[u8], answer: &mut dyn io::Write) -> io::Result<()> {
        let mut server = TcpStream::connect(&self.upstream)?;
        server.write_all(with_close(head).as_bytes())?;
        server.write_all(body)?;
        io::copy(&mut server, answer)?;
        Ok(())
    }
}

/// The head of a request, empty line included, and its body.
fn read_request(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 256 * 1024];
    let end = loop {
        let read = client.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..read]);
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8(bytes).map_err(io::Error::other)?;
    let value = |name: &str| {
        head.lines().find_map(|line| {
            let (given, value) = line.split_once(':')?;
            given.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let length: usize = value("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if value("expect").is_some() {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let have = body.len();
    body.resize(length.max(have), 0);
    client.read_exact(&mut body[have..])?;
    Ok((head, body))
}

/// One request a connection: the end of the answer is the end of the connection.
fn with_close(head: &str) -> String {
    let kept = head.trim_end().lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default();
        !name.eq_ignore_ascii_case("connection") && !name.eq_ignore_ascii_case("expect")
    });
    format!("{}\r\nConnection: close\r\n\r\n", kept.collect::<Vec<_>>().join("\r\n"))
}
