//! The other end of a fake sandbox's stream: what init does, in memory and in tokio's time.
//!
//! One task per sandbox. It answers requests one at a time; only `Kill` and the end of the stream are looked at
//! while a program runs. Anything that the protocol does not allow ends the sandbox, as with the real one.

use std::sync::Arc;
use std::time::Duration;

use init_protocol::{
    CappedText, Decoder, Exec, FailKind, FetchFile, Frame, FromInit, Kind, Owner, Setup, StreamKind,
    Termination, ToInit, Usage, VERSION, encode_message, encode_raw, parse_message,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::files::{FsError, absolute, root_among};
use super::process::{Deed, Process, Surroundings};
use super::program::Program;
use super::state::{Cell, Fault, Operation, Request};
use crate::layout;

/// Bytes that wait to be written before a program is made to wait.
const QUEUE: usize = 256 * 1024;

/// Entries in one answer to a listing.
const ENTRIES: usize = 256;

/// What a fake process claims as its largest resident set.
const RESIDENT: u64 = 8 * 1024 * 1024;

/// Programs that are there without a text of ours: what looks for them must get 127.
const PROGRAMS: [&str; 8] = ["bash", "sh", "python3", "python", "node", "true", "false", "env"];

/// The sandbox is over.
#[derive(Debug)]
pub(super) struct Over;

/// See the module.
pub(super) struct Init {
    reader: Reader,
    writer: WriteHalf<DuplexStream>,
    out: Vec<u8>,
    cell: Arc<Cell>,
    setup: Option<Setup>,
}

struct Reader {
    stream: ReadHalf<DuplexStream>,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Reader {
    /// The next frame. Dropping the future loses nothing.
    async fn next(&mut self) -> Result<Frame, Over> {
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(|_| Over)? {
                return Ok(frame);
            }
            self.buffer.clear();
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(Over),
                Ok(_) => self.decoder.push(&self.buffer),
            }
        }
    }

    /// The data of a request, up to its `End`.
    async fn data(&mut self, request: u32) -> Result<Vec<u8>, Over> {
        let mut data = Vec::new();
        loop {
            let frame = self.next().await?;
            match frame.kind {
                Kind::Data if frame.request == request => data.extend_from_slice(&frame.payload),
                Kind::Message if frame.request == request => match parse_message(&frame.payload) {
                    Ok(ToInit::End) => return Ok(data),
                    _ => return Err(Over),
                },
                _ => return Err(Over),
            }
        }
    }
}

impl Init {
    pub(super) fn new(stream: DuplexStream, cell: Arc<Cell>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let reader =
            Reader { stream: reader, decoder: Decoder::new(), buffer: Vec::with_capacity(64 * 1024) };
        Self { reader, writer, out: Vec::new(), cell, setup: None }
    }

    /// Answers until the stream ends, the lifetime is over, or something breaks.
    pub(super) async fn run(mut self) -> Over {
        let Err(over) = self.greet().await else {
            let lifetime = self.setup.as_ref().map_or(0, |setup| setup.lifetime_ms);
            // A lifetime beyond what the clock can say is none.
            let far = Instant::now() + Duration::from_secs(365 * 24 * 3600);
            let ends = Instant::now().checked_add(Duration::from_millis(lifetime)).unwrap_or(far);
            return match timeout_at(ends, self.serve()).await {
                Ok(over) => over,
                Err(_) => Over,
            };
        };
        over
    }

    async fn greet(&mut self) -> Result<(), Over> {
        let (request, message) = self.message().await?;
        self.fault(Request::Hello, request).await?;
        match message {
            ToInit::Hello { version: VERSION, setup } => self.setup = Some(setup),
            _ => return Err(Over),
        }
        self.answer(request, &FromInit::Ready { version: VERSION, landlock_abi: 0 }).await
    }

    async fn serve(&mut self) -> Over {
        loop {
            if let Err(over) = self.one().await {
                return over;
            }
        }
    }

    async fn message(&mut self) -> Result<(u32, ToInit), Over> {
        let frame = self.reader.next().await?;
        if frame.kind != Kind::Message {
            return Err(Over);
        }
        Ok((frame.request, parse_message(&frame.payload).map_err(|_| Over)?))
    }

    async fn one(&mut self) -> Result<(), Over> {
        let (request, message) = self.message().await?;
        match message {
            ToInit::Put { directory, owner } => {
                let tar = self.reader.data(request).await?;
                self.cell.record(Operation::Put { directory: directory.clone() });
                self.fault(Request::Put, request).await?;
                let done = self.put(&directory, &tar, owner);
                self.done(request, done).await
            }
            ToInit::Write { path } => {
                let content = self.reader.data(request).await?;
                self.cell.record(Operation::Write { path: path.clone(), size: content.len() });
                self.fault(Request::Write, request).await?;
                let roots = self.setup.as_ref().map(|setup| setup.writable.clone()).unwrap_or_default();
                let done = match root_among(path.as_bytes(), &roots) {
                    Some(root) => {
                        self.cell.files(|files| files.write_beneath(path.as_bytes(), root, content))
                    }
                    None => Err(FsError::Outside),
                };
                self.done(request, done.map_err(failed(path.as_bytes()))).await
            }
            ToInit::Read { path, offset, limit } => {
                self.cell.record(Operation::Read { path: path.clone() });
                self.fault(Request::Read, request).await?;
                let roots = self.setup.as_ref().map(|setup| setup.readable.clone()).unwrap_or_default();
                let found = match root_among(path.as_bytes(), &roots) {
                    Some(root) => self.cell.files(|files| files.open_beneath(path.as_bytes(), root)),
                    None => Err(FsError::Outside),
                };
                match found {
                    Ok((place, size)) => {
                        self.send_range(request, &place, size, offset, limit).await?;
                        self.answer(request, &FromInit::Done).await
                    }
                    Err(error) => self.done(request, Err(failed(path.as_bytes())(error))).await,
                }
            }
            ToInit::List { directory, max_entries } => {
                self.cell.record(Operation::List { directory: directory.clone() });
                if directory == layout::OUTPUT {
                    self.fault(Request::ListOutput, request).await?;
                }
                let most = usize::try_from(max_entries).unwrap_or(usize::MAX);
                let (entries, truncated) = self.cell.files(|files| files.list(&directory, most));
                for entries in entries.chunks(ENTRIES) {
                    self.answer(request, &FromInit::Entries(entries.to_vec())).await?;
                }
                self.answer(request, &FromInit::Listed { truncated }).await
            }
            ToInit::Fetch { files } => {
                self.cell.record(Operation::Fetch { files: files.len() });
                self.fault(Request::Fetch, request).await?;
                self.fetch(request, files).await
            }
            ToInit::Exec(exec) => self.exec(request, exec).await,
            // It came too late for its exec, which has been answered.
            ToInit::Kill { .. } => Ok(()),
            ToInit::Hello { .. } | ToInit::End => Err(Over),
        }
    }

    fn put(&self, directory: &str, tar: &[u8], owner: Owner) -> Result<(), (FailKind, String)> {
        let refused = |reason: &str| (FailKind::BadRequest, format!("the tar was refused: {reason}"));
        let mut roots = self.setup.as_ref().map(|setup| setup.writable.clone()).unwrap_or_default();
        roots.push(layout::SKILLS.to_owned());
        if root_among(directory.as_bytes(), &roots).is_none() {
            return Err(failed(directory.as_bytes())(FsError::Outside));
        }
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().map_err(|error| refused(&error.to_string()))?;
        let make =
            |path: &[u8]| self.cell.files(|files| files.make_directories(path, owner)).map_err(failed(path));
        make(directory.as_bytes())?;
        for entry in entries {
            let mut entry = entry.map_err(|error| refused(&error.to_string()))?;
            let name = entry.path_bytes().into_owned();
            if name.starts_with(b"/") || name.split(|byte| *byte == b'/').any(|part| part == b"..") {
                return Err(refused("a name leads outside"));
            }
            let path = absolute(directory, &name);
            match entry.header().entry_type() {
                tar::EntryType::Directory => make(&path)?,
                tar::EntryType::Regular => {
                    let mut content = Vec::new();
                    std::io::Read::read_to_end(&mut entry, &mut content)
                        .map_err(|error| refused(&error.to_string()))?;
                    let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
                    self.cell
                        .files(|files| {
                            files.write(&path, content, owner)?;
                            if executable {
                                files.set_executable(&path);
                            }
                            Ok(())
                        })
                        .map_err(failed(&path))?;
                }
                _ => return Err(refused("only files and directories are taken")),
            }
        }
        Ok(())
    }

    async fn fetch(&mut self, request: u32, files: Vec<FetchFile>) -> Result<(), Over> {
        for file in files {
            match self.cell.files(|files| files.open_output(&file.path)) {
                Ok((place, size)) => self.send_range(request, &place, size, file.offset, file.limit).await?,
                Err(error) => self.done(request, Err(failed(&file.path)(error))).await?,
            }
        }
        self.answer(request, &FromInit::Done).await
    }

    /// `File` and its data. The range is taken at once, so it cannot shrink meanwhile.
    async fn send_range(
        &mut self,
        request: u32,
        place: &[u8],
        size: u64,
        offset: u64,
        limit: u64,
    ) -> Result<(), Over> {
        let range = self.cell.files(|files| files.range(place, offset, limit));
        self.answer(request, &FromInit::File { size, sending: range.len() as u64 }).await?;
        encode_raw(&mut self.out, request, Kind::Data, &range);
        self.flush().await
    }

    async fn exec(&mut self, request: u32, exec: Exec) -> Result<(), Over> {
        let stdin = if exec.stdin { self.reader.data(request).await? } else { Vec::new() };
        let started = self.start(&exec, stdin);
        self.fault(Request::Exec, request).await?;
        let process = match started {
            Ok(process) => process,
            Err(failure) => return self.done(request, Err(failure)).await,
        };
        self.cell.exec_begins();
        let end = self.supervise(request, &exec, process).await;
        self.cell.exec_ends(end.as_ref().ok().map(|(termination, _)| *termination));
        let (termination, usage) = end?;
        self.answer(request, &FromInit::Exited { termination, usage, swept: 0 }).await
    }

    /// Finds out what `argv` means, and records it.
    fn start(&self, exec: &Exec, stdin: Vec<u8>) -> Result<Process, (FailKind, String)> {
        let found = self.find(exec);
        self.cell.record_exec(exec, &stdin, found.as_ref().ok().map(|(program, _)| program));
        let (program, arguments) = found?;
        let around = Surroundings { arguments, env: exec.env.clone(), cwd: exec.cwd.clone(), stdin };
        Ok(Process::new(program, around))
    }

    /// The program of `argv` with its `$0`, `$1` and on.
    fn find(&self, exec: &Exec) -> Result<(Program, Vec<String>), (FailKind, String)> {
        let Some(name) = exec.argv.first() else {
            return Err((FailKind::BadRequest, "empty argv".to_owned()));
        };
        let base = name.rsplit('/').next().unwrap_or(name);
        let usual = PROGRAMS.contains(&base) && (base == name || name.ends_with(&format!("/bin/{base}")));
        if !usual {
            let path = absolute(&exec.cwd, name.as_bytes());
            match self.cell.files(|files| name.contains('/').then(|| files.is_executable(&path)).flatten()) {
                None => return Err((FailKind::NotFound, format!("{name}: No such file or directory"))),
                Some(false) => return Err((FailKind::CannotExecute, format!("{name}: Permission denied"))),
                Some(true) => {}
            }
        }
        for (index, argument) in exec.argv.iter().enumerate() {
            let inline = Program::parse(argument);
            let is_file = inline.is_none();
            let text = || {
                let path = absolute(&exec.cwd, argument.as_bytes());
                let bytes = self.cell.files(|files| files.read(&path)).ok()?;
                Some(String::from_utf8_lossy(&bytes).into_owned())
            };
            let program = inline.or_else(|| self.cell.scripted(argument)).or_else(|| {
                let text = text()?;
                Program::parse(&text).or_else(|| self.cell.scripted(&text))
            });
            if let Some(program) = program {
                // `bash -c SCRIPT name…` gives the script its `$0` after it; a file is `$0` itself.
                let shell = matches!(base, "bash" | "sh");
                let first = if shell && !is_file { index + 1 } else { index };
                return Ok((program, exec.argv[first.min(exec.argv.len())..].to_vec()));
            }
        }
        let rest: Vec<&str> = exec.argv[1..].iter().map(String::as_str).collect();
        let program = match (base, rest.as_slice()) {
            ("true", _) | ("python3" | "python", ["-c", "pass"]) => Program::new(),
            ("false", _) => Program::new().exit(1),
            ("env", []) => Program::new().environment(),
            _ => {
                let text = format!("fake sandbox: {:?} carries no program that a fake can run\n", exec.argv);
                Program::new().stderr(text).exit(127)
            }
        };
        Ok((program, exec.argv.clone()))
    }

    /// Runs a program to its end.
    async fn supervise(
        &mut self,
        request: u32,
        exec: &Exec,
        mut process: Process,
    ) -> Result<(Termination, Usage), Over> {
        let started = Instant::now();
        let grace = Duration::from_millis(exec.grace_ms);
        let mut term_at = started + Duration::from_millis(exec.timeout_ms);
        let mut kill_at = term_at + grace;
        // What a program is called that ends after SIGTERM.
        let mut forced = Termination::TimedOut;
        let mut terminated = false;
        let mut streams = Streams::new(exec.stream_limit);
        let termination = loop {
            let now = Instant::now();
            if now >= kill_at || (now >= term_at && !terminated && process.terminate()) {
                break forced;
            }
            terminated |= now >= term_at;
            let mut wake = if terminated { kill_at } else { term_at };
            if self.out.len() < QUEUE {
                let deed = self.cell.files(|files| process.next(files, now));
                let ended = match deed {
                    Deed::Output(kind, bytes) => {
                        streams.push(&mut self.out, request, kind, &bytes);
                        if self.cell.dies_midway() {
                            self.flush().await?;
                            return Err(Over);
                        }
                        continue;
                    }
                    Deed::Sleep(until) => {
                        wake = wake.min(until);
                        None
                    }
                    Deed::Hang => None,
                    Deed::Exit(code) => Some(Termination::Exited(code)),
                    Deed::Signaled(signal) => Some(Termination::Signaled(signal)),
                    Deed::OutOfMemory => {
                        self.cell.out_of_memory();
                        Some(Termination::Signaled(9))
                    }
                    Deed::Crash => return Err(Over),
                };
                if let Some(ended) = ended {
                    break if terminated { forced } else { ended };
                }
                if self.cell.dies_midway() {
                    return Err(Over);
                }
            }
            let has_output = !self.out.is_empty();
            tokio::select! {
                biased;
                frame = self.reader.next() => {
                    let frame = frame?;
                    let message = parse_message(&frame.payload).map_err(|_| Over)?;
                    match message {
                        ToInit::Kill { request: killed } if killed == request => {
                            forced = Termination::Killed;
                            if !terminated {
                                (term_at, kill_at) = (now, now + grace);
                            }
                        }
                        ToInit::Kill { .. } => {}
                        _ => return Err(Over),
                    }
                }
                written = self.writer.write(&self.out), if has_output => {
                    let written = written.map_err(|_| Over)?;
                    self.out.drain(..written);
                }
                () = sleep_until(wake) => {}
            }
        };
        streams.finish(&mut self.out, request);
        let wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok((termination, Usage { wall_us, cpu_us: 0, peak_rss_bytes: RESIDENT }))
    }

    async fn done(&mut self, request: u32, done: Result<(), (FailKind, String)>) -> Result<(), Over> {
        match done {
            Ok(()) => self.answer(request, &FromInit::Done).await,
            Err((kind, message)) => self.answer(request, &FromInit::Failed { kind, message }).await,
        }
    }

    async fn answer(&mut self, request: u32, message: &FromInit) -> Result<(), Over> {
        encode_message(&mut self.out, request, message).map_err(|_| Over)?;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Over> {
        let written = self.writer.write_all(&self.out).await;
        self.out.clear();
        written.map_err(|_| Over)
    }

    /// Does what a test has planned for this request instead of answering it.
    async fn fault(&mut self, kind: Request, request: u32) -> Result<(), Over> {
        match self.cell.take_fault(kind) {
            None => Ok(()),
            Some(Fault::Dies) => Err(Over),
            // Only an exec has a middle.
            Some(Fault::DiesMidway) if kind == Request::Exec => {
                self.cell.plan_death();
                Ok(())
            }
            Some(Fault::DiesMidway) => Err(Over),
            Some(Fault::Silent) => {
                // Still takes what comes, as a stopped init's stream does for a while, and never answers.
                while self.reader.next().await.is_ok() {}
                Err(Over)
            }
            Some(Fault::BrokenFrame) => {
                self.out.extend_from_slice(&u32::MAX.to_le_bytes());
                self.flush().await?;
                Err(Over)
            }
            Some(Fault::WrongAnswer) => self.answer(request.wrapping_add(1), &FromInit::Done).await,
            Some(Fault::Fails(kind)) => {
                let message = "planned by the test".to_owned();
                self.answer(request, &FromInit::Failed { kind, message }).await?;
                // One answer a request: what follows would be a second one, so the sandbox waits for its end.
                while self.reader.next().await.is_ok() {}
                Err(Over)
            }
        }
    }
}

fn failed(path: &[u8]) -> impl Fn(FsError) -> (FailKind, String) {
    move |error| (error.fail_kind(), format!("{}: {}", String::from_utf8_lossy(path), error.text()))
}

/// Both streams of a program, whole or cut as init cuts them.
struct Streams {
    /// Standard output and standard error; `None` where they are whole.
    capped: Option<[CappedText; 2]>,
}

impl Streams {
    fn new(limit: Option<u32>) -> Self {
        Self { capped: limit.map(|limit| [CappedText::new(limit), CappedText::new(limit)]) }
    }

    fn push(&mut self, out: &mut Vec<u8>, request: u32, stream: StreamKind, bytes: &[u8]) {
        let Some([stdout, stderr]) = &mut self.capped else {
            bytes
                .chunks(init_protocol::CHUNK)
                .for_each(|piece| encode_raw(out, request, kind(stream), piece));
            return;
        };
        let capped = match stream {
            StreamKind::Stdout => stdout,
            StreamKind::Stderr => stderr,
        };
        let mut text = Vec::new();
        capped.push(bytes, &mut text);
        encode_text(out, request, stream, &text);
    }

    fn finish(self, out: &mut Vec<u8>, request: u32) {
        let Some([stdout, stderr]) = self.capped else { return };
        for (stream, capped) in [(StreamKind::Stdout, stdout), (StreamKind::Stderr, stderr)] {
            let mut text = Vec::new();
            let end = capped.finish(&mut text);
            encode_text(out, request, stream, &text);
            if end.omitted > 0 {
                let message = FromInit::Omitted { stream, characters: end.omitted };
                encode_message(out, request, &message).expect("a few bytes fit a frame");
            }
            encode_text(out, request, stream, end.tail.as_bytes());
        }
    }
}

fn kind(stream: StreamKind) -> Kind {
    match stream {
        StreamKind::Stdout => Kind::Stdout,
        StreamKind::Stderr => Kind::Stderr,
    }
}

/// Text in frames that are each valid UTF-8.
fn encode_text(out: &mut Vec<u8>, request: u32, stream: StreamKind, text: &[u8]) {
    let mut rest = text;
    while !rest.is_empty() {
        let mut cut = rest.len().min(init_protocol::CHUNK);
        while cut < rest.len() && rest[cut] & 0xC0 == 0x80 {
            cut -= 1;
        }
        encode_raw(out, request, kind(stream), &rest[..cut]);
        rest = &rest[cut..];
    }
}
