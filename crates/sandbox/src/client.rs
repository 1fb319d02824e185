//! The hold on one living sandbox: [`Sandbox`].

use std::time::Duration;

use init_protocol::{Exec, FailKind, FetchFile, FromInit, Kind, Owner, Setup, StreamKind, ToInit, VERSION};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::connection::{Answer, Connection};
use crate::{
    CappedStream, Driver, DriverError, ExecOutcome, ExecRequest, Fetch, FileError, FileRange, Handle,
    Listing, OutOfMemory, SandboxPath, SandboxSpec, Termination, Usage, layout,
};

/// How much longer than a program's own limits the runner waits for init's word before it gives the sandbox up. Init
/// itself ends a program within its limit and grace; this is for an init that is broken or taken over, and long enough
/// for a sound one on a machine that is overloaded, whose saved files would be lost.
const EXEC_MARGIN: Duration = Duration::from_secs(3);

/// Longest time in which a program and its standard input must have been sent. It takes milliseconds.
const SEND_TIME: Duration = Duration::from_secs(5);

/// Longest time that a read or a listing may take as a whole: an init that was taken over could send it drop by drop.
const WHOLE_ANSWER: Duration = Duration::from_secs(60);

/// Time after the end of its lifetime that a sandbox still has, for handing out what was saved.
const LIFETIME_MARGIN: Duration = Duration::from_secs(30);

/// How late a driver may be told of a kill for memory, where somebody else counts. Nearly all programs succeed, and none of
/// those shall wait long for news that do not come.
const LATE_AFTER_SUCCESS: Duration = Duration::from_millis(50);
/// The same after a program that failed, which is worth some patience.
const LATE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Most entries in one answer to a listing, so that a flood of frames is noticed.
const MAX_LISTING: usize = 1_000_000;

/// A fault of the sandbox or its driver: never of the program in it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The driver could not do it.
    #[error("the {driver} driver failed")]
    Driver {
        /// Its name.
        driver: &'static str,
        /// What it said.
        #[source]
        source: DriverError,
    },
    /// The sandbox ended, does not answer, or broke the protocol. It can only be destroyed.
    #[error("the sandbox broke down: {reason}")]
    Broken {
        /// What was seen.
        reason: String,
    },
    /// A request that does not fit a frame: paths, arguments or environment are too long.
    #[error("the request is too large: {reason}")]
    TooLarge {
        /// How large.
        reason: String,
    },
    /// No program could be started inside, for a reason that is not the program's.
    #[error("a program could not be started in the sandbox: {reason}")]
    Start {
        /// What init said.
        reason: String,
    },
}

/// A living sandbox. Owned by one task; whoever owns it calls [`Sandbox::destroy`] on every way out.
#[derive(Debug)]
pub struct Sandbox {
    connection: Connection,
    handle: Box<dyn Handle>,
    driver: &'static str,
    ends: Instant,
    /// Kills for memory before the next program.
    kills: u64,
}

impl Sandbox {
    /// Makes a sandbox and greets its init.
    ///
    /// # Errors
    /// The driver's error, or a sandbox that does not answer; nothing is left behind then.
    pub async fn create(driver: &dyn Driver, spec: &SandboxSpec) -> Result<Self, SandboxError> {
        let name = driver.name();
        let ends = Instant::now() + spec.lifetime;
        let created =
            driver.create(spec).await.map_err(|source| SandboxError::Driver { driver: name, source })?;
        let setup = Setup {
            uid: created.uid,
            gid: created.uid,
            lifetime_ms: milliseconds(spec.lifetime + LIFETIME_MARGIN),
            output: layout::OUTPUT.to_owned(),
            writable: layout::PROGRAM_WRITABLE.map(str::to_owned).to_vec(),
            readable: layout::READABLE.into_iter().chain([layout::SHARE]).map(str::to_owned).collect(),
            max_open_files: spec.limits.open_files,
            max_file_size: spec.limits.file_bytes,
            max_processes: (!created.shares_uid).then_some(u64::from(spec.limits.processes)),
            allow_missing_landlock: created.allow_missing_landlock,
        };
        let mut connection = Connection::new(created.stream);
        let greeting = async {
            let request = connection.request(&ToInit::Hello { version: VERSION, setup }, None).await?;
            match connection.answer(request).await? {
                Answer::Message(FromInit::Ready { version: VERSION, .. }) => Ok(()),
                Answer::Message(FromInit::Failed { message, .. }) => {
                    Err(SandboxError::Start { reason: message })
                }
                _ => Err(connection.broken("init did not greet as expected")),
            }
        };
        if let Err(error) = greeting.await {
            if let Err(destroy) = created.handle.destroy().await {
                tracing::warn!(sandbox.id = %spec.id, error = %destroy, "a sandbox that did not start could not be destroyed");
            }
            return Err(error);
        }
        Ok(Self { connection, handle: created.handle, driver: name, ends, kills: 0 })
    }

    /// Time left of its lifetime.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    /// Whether it can still be used; `false` after any [`SandboxError::Broken`].
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.connection.is_broken()
    }

    /// Unpacks a tar below an absolute directory, which is made where it is missing.
    ///
    /// # Errors
    /// Outer: the sandbox broke down. Inner: the tar does not fit or could not be written.
    pub async fn put(
        &mut self,
        directory: &str,
        tar: &[u8],
        owner: Owner,
    ) -> Result<Result<(), FileError>, SandboxError> {
        let message = ToInit::Put { directory: directory.to_owned(), owner };
        let request = self.connection.request(&message, Some(tar)).await?;
        self.connection.done(request).await
    }

    /// Creates or replaces a file.
    ///
    /// # Errors
    /// Outer: the sandbox broke down. Inner: why the file could not be written.
    pub async fn write(
        &mut self,
        path: &SandboxPath,
        content: &[u8],
    ) -> Result<Result<(), FileError>, SandboxError> {
        let message = ToInit::Write { path: path.as_str().to_owned() };
        let request = self.connection.request(&message, Some(content)).await?;
        self.connection.done(request).await
    }

    /// Reads a range of a file.
    ///
    /// # Errors
    /// Outer: the sandbox broke down. Inner: why the file could not be read.
    pub async fn read(
        &mut self,
        path: &SandboxPath,
        offset: u64,
        limit: u64,
    ) -> Result<Result<FileRange, FileError>, SandboxError> {
        let message = ToInit::Read { path: path.as_str().to_owned(), offset, limit };
        let deadline = Instant::now() + WHOLE_ANSWER;
        let request = self.connection.request(&message, None).await?;
        let mut range = match self.connection.answer_until(request, deadline).await? {
            Answer::Message(FromInit::File { size, .. }) => FileRange { size, bytes: Vec::new() },
            Answer::Message(FromInit::Failed { kind, message }) => {
                return Ok(Err(FileError::new(kind, message)));
            }
            _ => return Err(self.connection.broken("unexpected answer to a read")),
        };
        loop {
            match self.connection.answer_until(request, deadline).await? {
                Answer::Raw(Kind::Data, bytes) if (range.bytes.len() + bytes.len()) as u64 <= limit => {
                    range.bytes.extend_from_slice(&bytes);
                }
                Answer::Message(FromInit::Done) => return Ok(Ok(range)),
                Answer::Message(FromInit::Failed { kind, message }) => {
                    return Ok(Err(FileError::new(kind, message)));
                }
                _ => return Err(self.connection.broken("unexpected answer to a read")),
            }
        }
    }

    /// Lists what is below `/output`, at most so many entries.
    ///
    /// # Errors
    /// The sandbox broke down.
    pub async fn list_output(&mut self, max_entries: u32) -> Result<Listing, SandboxError> {
        self.list(layout::OUTPUT, max_entries).await
    }

    /// Lists what is below `/workspace`, at most so many entries.
    ///
    /// # Errors
    /// The sandbox broke down.
    pub async fn list_workspace(&mut self, max_entries: u32) -> Result<Listing, SandboxError> {
        self.list(layout::WORKSPACE, max_entries).await
    }

    async fn list(&mut self, directory: &str, max_entries: u32) -> Result<Listing, SandboxError> {
        let deadline = Instant::now() + WHOLE_ANSWER;
        let message = ToInit::List { directory: directory.to_owned(), max_entries };
        let request = self.connection.request(&message, None).await?;
        let mut listing = Listing::default();
        let most = MAX_LISTING.min(usize::try_from(max_entries).unwrap_or(usize::MAX));
        loop {
            match self.connection.answer_until(request, deadline).await? {
                Answer::Message(FromInit::Entries(entries))
                    if listing.entries.len() + entries.len() <= most =>
                {
                    listing.entries.extend(entries);
                }
                Answer::Message(FromInit::Listed { truncated }) => {
                    listing.truncated = truncated;
                    return Ok(listing);
                }
                Answer::Message(FromInit::Failed { message, .. }) => {
                    return Err(self.connection.broken(message));
                }
                _ => return Err(self.connection.broken("unexpected answer to a listing")),
            }
        }
    }

    /// Fetches files below `/output`, in this order. Read the result to its end.
    ///
    /// # Errors
    /// The sandbox broke down.
    pub async fn fetch(&mut self, files: Vec<FetchFile>) -> Result<Fetch<'_>, SandboxError> {
        let limits = files.iter().map(|file| file.limit).collect();
        let request = self.connection.request(&ToInit::Fetch { files }, None).await?;
        Ok(Fetch::new(&mut self.connection, request, limits))
    }

    /// Runs a program to its end; everything that it started is dead when this returns. `on_output` gets what it
    /// prints as it comes: text of whole characters where the request has a stream limit, the program's own bytes where it
    /// has none. The program's time is `request.timeout`, or what is left of the sandbox's lifetime where that is less.
    /// When `cancel` fires, everything gets SIGTERM, after the grace period SIGKILL, and the outcome says so.
    ///
    /// Dropping the future leaves the sandbox unusable.
    ///
    /// # Errors
    /// The sandbox broke down, or could start no program. A program that does not exist is an outcome: 127, or 126
    /// where it cannot be executed.
    pub async fn exec(
        &mut self,
        request: &ExecRequest,
        cancel: &CancellationToken,
        on_output: &mut (dyn FnMut(StreamKind, &[u8]) + Send),
    ) -> Result<ExecOutcome, SandboxError> {
        let timeout = request.timeout.min(self.remaining());
        let message = ToInit::Exec(Exec {
            argv: request.argv.clone(),
            env: request.env.clone(),
            cwd: request.cwd.clone(),
            stdin: request.stdin.is_some(),
            timeout_ms: milliseconds(timeout),
            grace_ms: milliseconds(request.grace),
            stream_limit: request.stream_limit,
        });
        let sent = tokio::select! {
            // What is small is out at once, even for a call that is cancelled already: then it is killed in order.
            biased;
            sent = timeout_at(Instant::now() + SEND_TIME, self.connection.request(&message, request.stdin.as_deref())) => sent,
            // A frame may be half out: the sandbox is of no more use.
            () = cancel.cancelled() => return Err(self.connection.broken("cancelled while the program was sent")),
        };
        let id = match sent {
            Ok(id) => id?,
            Err(_) => return Err(self.connection.broken("init takes no input")),
        };
        let give_up = Instant::now() + timeout + request.grace + EXEC_MARGIN;
        // From here until the last answer the connection counts as left in the middle.
        self.connection.begin_answer();
        let mut streams = Streams::default();
        let mut cancelled = false;
        let (termination, usage, swept) = loop {
            let answer = tokio::select! {
                answer = self.connection.answer_until(id, give_up) => answer?,
                () = cancel.cancelled(), if !cancelled => {
                    cancelled = true;
                    self.connection.kill(id).await?;
                    continue;
                }
            };
            match answer {
                Answer::Raw(Kind::Stdout, bytes) => {
                    streams.add(StreamKind::Stdout, &bytes, request.stream_limit, on_output);
                }
                Answer::Raw(Kind::Stderr, bytes) => {
                    streams.add(StreamKind::Stderr, &bytes, request.stream_limit, on_output);
                }
                Answer::Message(FromInit::Omitted { stream, characters }) => streams.omit(stream, characters),
                Answer::Message(FromInit::Exited { termination, usage, swept }) => {
                    break (termination, usage, swept);
                }
                Answer::Message(FromInit::Failed { kind, message }) => {
                    self.connection.end_answer();
                    return match kind {
                        FailKind::CannotExecute | FailKind::NotFound | FailKind::Permission => {
                            Ok(not_started(kind, message))
                        }
                        _ => Err(SandboxError::Start { reason: message }),
                    };
                }
                _ => return Err(self.connection.broken("unexpected answer to an exec")),
            }
        };
        self.connection.end_answer();
        let termination = match termination {
            init_protocol::Termination::Exited(code) => Termination::Exited(code),
            init_protocol::Termination::Signaled(signal) => Termination::Signaled(signal),
            init_protocol::Termination::TimedOut => Termination::TimedOut,
            init_protocol::Termination::Killed => Termination::Cancelled,
        };
        // Whatever the exit code: a pipeline, or a pool of workers, may hide that one of its processes was killed.
        let late =
            if termination == Termination::Exited(0) { LATE_AFTER_SUCCESS } else { LATE_AFTER_FAILURE };
        let out_of_memory = self.new_kills(late).await?;
        Ok(ExecOutcome {
            termination,
            stdout: streams.stdout,
            stderr: streams.stderr,
            usage: Usage {
                wall: Duration::from_micros(usage.wall_us),
                cpu: Duration::from_micros(usage.cpu_us),
                peak_rss_bytes: usage.peak_rss_bytes,
            },
            out_of_memory,
            swept,
        })
    }

    /// Kills everything inside and waits until nothing is left.
    ///
    /// # Errors
    /// The driver could not remove it; what is left is reaped later.
    pub async fn destroy(self) -> Result<(), SandboxError> {
        let Self { connection, handle, driver, .. } = self;
        drop(connection);
        handle.destroy().await.map_err(|source| SandboxError::Driver { driver, source })
    }

    /// The memory controller's counts, where it killed something since the last program.
    async fn new_kills(&mut self, late: Duration) -> Result<Option<OutOfMemory>, SandboxError> {
        let driver = self.driver;
        let now = self.handle.memory(late).await.map_err(|source| SandboxError::Driver { driver, source })?;
        let killed = now.oom_kills.saturating_sub(self.kills);
        self.kills = now.oom_kills;
        Ok((killed > 0).then_some(OutOfMemory { killed, peak_bytes: now.peak_bytes }))
    }
}

/// The outcome where the program itself could not be executed, as a shell would show it.
fn not_started(kind: FailKind, message: String) -> ExecOutcome {
    let code = if kind == FailKind::NotFound { 127 } else { 126 };
    ExecOutcome {
        termination: Termination::Exited(code),
        stdout: CappedStream::default(),
        stderr: CappedStream { head: message + "\n", ..CappedStream::default() },
        usage: Usage::default(),
        out_of_memory: None,
        swept: 0,
    }
}

/// Collects both streams within their limits, whatever init sends.
#[derive(Default)]
struct Streams {
    stdout: CappedStream,
    stderr: CappedStream,
}

impl Streams {
    fn of(&mut self, stream: StreamKind) -> &mut CappedStream {
        match stream {
            StreamKind::Stdout => &mut self.stdout,
            StreamKind::Stderr => &mut self.stderr,
        }
    }

    fn add(
        &mut self,
        stream: StreamKind,
        bytes: &[u8],
        limit: Option<u32>,
        on_output: &mut (dyn FnMut(StreamKind, &[u8]) + Send),
    ) {
        let Some(limit) = limit else {
            on_output(stream, bytes);
            return;
        };
        let text = String::from_utf8_lossy(bytes);
        let kept = self.of(stream);
        // Init cuts by characters. One character has at most four bytes, so this bound only stops a forged flood.
        let room = (4 * limit as usize).saturating_sub(kept.head.len() + kept.tail.len());
        if text.len() > room {
            return;
        }
        let part = if kept.omitted_characters > 0 { &mut kept.tail } else { &mut kept.head };
        part.push_str(&text);
        on_output(stream, text.as_bytes());
    }

    fn omit(&mut self, stream: StreamKind, characters: u64) {
        self.of(stream).omitted_characters = characters;
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
