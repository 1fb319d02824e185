//! One program from start to the death of everything that it started.
//!
//! ```text
//!   running ──timeout──▶ terminating (SIGTERM to all) ──grace──▶ killed (SIGKILL to all)
//!      │  ╲──Kill frame────────────────────────────────────────▶   │
//!      └──────────── the program itself ends ──────────────────────┴──▶ kill the rest, reap, drain, answer
//! ```

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use init_protocol::{
    CHUNK, CappedText, Exec, FailKind, FromInit, Kind, StreamKind, Termination, ToInit, Usage, parse_message,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Gid, MemfdFlags, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::files::Failure;
use crate::serve::Sandbox;
use crate::stream::Stream;
use crate::sys::{self, Program, Stage, Streams};

/// Most bytes of standard input.
const MAX_STDIN: u64 = 64 * 1024 * 1024;

/// Runs one program and answers.
pub(crate) fn run(stream: &mut Stream, sandbox: &Sandbox, request: u32, exec: &Exec) -> io::Result<()> {
    let stdin = if exec.stdin { receive_stdin(stream, request)? } else { null() };
    let begun = Instant::now();
    let cpu_before = sys::children_cpu_us();
    let started = stdin.and_then(|stdin| start(sandbox, exec, &stdin));
    let running = match started {
        Ok(started) => Running {
            main: started.pid,
            stdout: Pipe::new(Kind::Stdout, started.stdout, exec.stream_limit),
            stderr: Pipe::new(Kind::Stderr, started.stderr, exec.stream_limit),
            report: Some(started.report),
            failed: None,
            phase: Phase::Running { until: begun + Duration::from_millis(exec.timeout_ms) },
            grace: Duration::from_millis(exec.grace_ms),
            timed_out: false,
            killed: false,
            peak_rss_bytes: 0,
        },
        Err(failure) => return stream.answer(request, &failure.into_message()),
    };
    match running.supervise(stream, sandbox, request)? {
        Ok(Ended { termination, peak_rss_bytes, swept }) => {
            let usage = Usage {
                wall_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
                cpu_us: sys::children_cpu_us().saturating_sub(cpu_before),
                peak_rss_bytes,
            };
            stream.answer(request, &FromInit::Exited { termination, usage, swept })
        }
        Err(failure) => stream.answer(request, &failure.into_message()),
    }
}

/// Standard input is an anonymous file, complete before the program starts: nothing can block on it, and its pages are
/// charged to the sandbox.
fn receive_stdin(stream: &mut Stream, request: u32) -> io::Result<Result<OwnedFd, Failure>> {
    let fail = |error: &io::Error| Failure::of_io(error, "standard input");
    let mut file = rustix::fs::memfd_create("stdin", MemfdFlags::CLOEXEC)
        .map(File::from)
        .map_err(|error| Failure::of(error, "standard input"));
    let mut total = 0;
    while let Some(data) = stream.next_data(request)? {
        total += data.len() as u64;
        if total > MAX_STDIN {
            file = Err(Failure::new(FailKind::NoSpace, "standard input is too large"));
        }
        if let Ok(open) = &mut file
            && let Err(error) = open.write_all(&data)
        {
            file = Err(fail(&error));
        }
    }
    Ok(file.and_then(|mut file| {
        file.rewind().map_err(|error| fail(&error))?;
        Ok(file.into())
    }))
}

fn null() -> Result<OwnedFd, Failure> {
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Failure::of(error, "/dev/null"))
}

struct Started {
    pid: i32,
    stdout: OwnedFd,
    stderr: OwnedFd,
    report: OwnedFd,
}

fn start(sandbox: &Sandbox, exec: &Exec, stdin: &OwnedFd) -> Result<Started, Failure> {
    let program = program(sandbox, exec)?;
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| Failure::of(error, "a pipe"));
    let (stdout, stdout_in) = pipe()?;
    let (stderr, stderr_in) = pipe()?;
    let (report, report_in) = pipe()?;
    for end in [&stdout_in, &stderr_in] {
        // So that a program may open /dev/stdout by its name. It works without.
        let _ = rustix::fs::fchown(end, Some(Uid::from_raw(program.uid)), Some(Gid::from_raw(program.gid)));
    }
    let streams = Streams {
        stdin: stdin.as_fd(),
        stdout: stdout_in.as_fd(),
        stderr: stderr_in.as_fd(),
        report: report_in.as_fd(),
    };
    let pid =
        sys::spawn(&program, &sandbox.wall, &streams).map_err(|error| Failure::of_io(&error, "a process"))?;
    Ok(Started { pid, stdout, stderr, report })
}

fn program(sandbox: &Sandbox, exec: &Exec) -> Result<Program, Failure> {
    let bad = |what: &str| Failure::new(FailKind::BadRequest, format!("{what} has a NUL character"));
    let text = |text: &str, what: &str| CString::new(text).map_err(|_| bad(what));
    let Some(name) = exec.argv.first().filter(|name| !name.is_empty()) else {
        return Err(Failure::new(FailKind::BadRequest, "no program was named"));
    };
    let candidates = if name.contains('/') {
        vec![text(name, "the program")?]
    } else {
        let path = exec
            .env
            .iter()
            .find(|(key, _)| key == "PATH")
            .map_or("/usr/bin:/bin", |(_, value)| value.as_str());
        let places = path.split(':').filter(|place| place.starts_with('/'));
        places.map(|place| text(&format!("{place}/{name}"), "the program")).collect::<Result<_, _>>()?
    };
    Ok(Program {
        candidates,
        argv: exec.argv.iter().map(|argument| text(argument, "an argument")).collect::<Result<_, _>>()?,
        env: exec
            .env
            .iter()
            .map(|(key, value)| text(&format!("{key}={value}"), "the environment"))
            .collect::<Result<_, _>>()?,
        cwd: text(&exec.cwd, "the working directory")?,
        uid: sandbox.setup.uid,
        gid: sandbox.setup.gid,
    })
}

/// How it went, once nothing is left of it.
struct Ended {
    termination: Termination,
    peak_rss_bytes: u64,
    swept: u32,
}

enum Phase {
    Running { until: Instant },
    Terminating { until: Instant },
    Killed,
}

struct Running {
    main: i32,
    stdout: Pipe,
    stderr: Pipe,
    /// Closes when the program starts; what comes before says why it did not.
    report: Option<OwnedFd>,
    failed: Option<Failure>,
    phase: Phase,
    grace: Duration,
    timed_out: bool,
    killed: bool,
    peak_rss_bytes: u64,
}

impl Running {
    /// Until the program has ended, everything else is dead and all output is out. The outer error ends init.
    fn supervise(
        mut self,
        stream: &mut Stream,
        sandbox: &Sandbox,
        request: u32,
    ) -> io::Result<Result<Ended, Failure>> {
        // A request may have arrived together with this one; polling would not show it.
        self.take_buffered(stream, request)?;
        let status = loop {
            self.wait(stream, sandbox, request)?;
            sandbox.signals.clear();
            if let Some(status) = self.reap_ended() {
                break status;
            }
            self.check_time();
        };
        // No process may outlive the call: what was saved belongs to exactly one call, and nothing runs in between.
        sys::signal_all(libc::SIGKILL);
        let mut swept = 0;
        while let Some(ended) = sys::reap(true) {
            self.peak_rss_bytes = self.peak_rss_bytes.max(ended.peak_rss_bytes);
            swept += u32::from(ended.status == Err(libc::SIGKILL));
        }
        if let Some(report) = self.report.take() {
            self.failed = read_report(&report);
        }
        if let Some(failure) = self.failed {
            return Ok(Err(failure));
        }
        // All writers are dead: this ends.
        self.stdout.drain(stream, request)?;
        self.stderr.drain(stream, request)?;
        let termination = if self.killed {
            Termination::Killed
        } else if self.timed_out {
            Termination::TimedOut
        } else {
            match status {
                Ok(code) => Termination::Exited(code),
                Err(signal) => Termination::Signaled(signal),
            }
        };
        // What was ended together with the program was not left behind by it.
        let by_itself = matches!(termination, Termination::Exited(_) | Termination::Signaled(_));
        let swept = if by_itself { swept } else { 0 };
        Ok(Ok(Ended { termination, peak_rss_bytes: self.peak_rss_bytes, swept }))
    }

    /// Waits for the next thing to happen and handles what concerns the streams.
    fn wait(&mut self, stream: &mut Stream, sandbox: &Sandbox, request: u32) -> io::Result<()> {
        let timeout = match self.phase {
            Phase::Running { until } | Phase::Terminating { until } => {
                let left = until.saturating_duration_since(Instant::now());
                // A little longer than asked, never shorter: else this would spin until the deadline.
                Some(left + Duration::from_micros(50))
            }
            Phase::Killed => None,
        };
        let timeout = timeout.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        let readable = {
            let mut watched: Vec<(Watch, BorrowedFd<'_>)> =
                vec![(Watch::Stream, stream.readable()), (Watch::Signals, sandbox.signals.as_fd())];
            watched.extend(self.stdout.fd.as_ref().map(|fd| (Watch::Stdout, fd.as_fd())));
            watched.extend(self.stderr.fd.as_ref().map(|fd| (Watch::Stderr, fd.as_fd())));
            watched.extend(self.report.as_ref().map(|fd| (Watch::Report, fd.as_fd())));
            let mut fds: Vec<PollFd<'_>> =
                watched.iter().map(|(_, fd)| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready = fds.iter().zip(&watched).filter(|(fd, _)| !fd.revents().is_empty());
            ready.map(|(_, (watch, _))| *watch).collect::<Vec<_>>()
        };
        for watch in readable {
            match watch {
                Watch::Stream => self.take_requests(stream, request)?,
                Watch::Signals => {}
                Watch::Stdout => self.stdout.forward(stream, request)?,
                Watch::Stderr => self.stderr.forward(stream, request)?,
                Watch::Report => {
                    if let Some(report) = self.report.take() {
                        self.failed = read_report(&report);
                    }
                }
            }
        }
        stream.flush()
    }

    /// The only request that may come now is to kill this exec.
    fn take_requests(&mut self, stream: &mut Stream, request: u32) -> io::Result<()> {
        if !stream.fill()? {
            // The runner is gone. Init's end takes everything along.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.take_buffered(stream, request)
    }

    fn take_buffered(&mut self, stream: &mut Stream, request: u32) -> io::Result<()> {
        while let Some(frame) = stream.buffered()? {
            match (frame.kind, parse_message(&frame.payload)) {
                (Kind::Message, Ok(ToInit::Kill { request: target })) if target == request => {
                    self.killed = true;
                    self.terminate();
                }
                _ => return Err(io::Error::other("a request while a program runs")),
            }
        }
        Ok(())
    }

    /// Lets everything save what it has, for the grace period. Once that runs, it is not begun anew.
    fn terminate(&mut self) {
        if let Phase::Running { .. } = self.phase {
            sys::signal_all(libc::SIGTERM);
            // A stopped process takes no SIGTERM before it continues.
            sys::signal_all(libc::SIGCONT);
            self.phase = Phase::Terminating { until: Instant::now() + self.grace };
        }
    }

    fn kill(&mut self) {
        sys::signal_all(libc::SIGKILL);
        self.phase = Phase::Killed;
    }

    fn check_time(&mut self) {
        match self.phase {
            Phase::Running { until } if Instant::now() >= until => {
                self.timed_out = true;
                self.terminate();
            }
            Phase::Terminating { until } if Instant::now() >= until => self.kill(),
            Phase::Running { .. } | Phase::Terminating { .. } | Phase::Killed => {}
        }
    }

    /// Reaps what has ended, orphans too: their remains count against the sandbox's limit of processes.
    fn reap_ended(&mut self) -> Option<Result<i32, i32>> {
        let mut main = None;
        while let Some(ended) = sys::reap(false) {
            self.peak_rss_bytes = self.peak_rss_bytes.max(ended.peak_rss_bytes);
            if ended.pid == self.main {
                main = Some(ended.status);
            }
        }
        main
    }
}

#[derive(Clone, Copy)]
enum Watch {
    Stream,
    Signals,
    Stdout,
    Stderr,
    Report,
}

/// Why the child did not become the program; `None` where it did.
fn read_report(report: &OwnedFd) -> Option<Failure> {
    let mut bytes = [0; 5];
    if rustix::io::read(report, &mut bytes).ok()? < bytes.len() {
        return None;
    }
    let errno = Errno::from_raw_os_error(i32::from_ne_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]));
    let stage = Stage::from_byte(bytes[0]);
    Some(match (stage, errno) {
        (Stage::Execute, Errno::NOENT) => Failure::new(FailKind::NotFound, "no such program"),
        (Stage::Execute, Errno::TOOBIG) => {
            Failure::new(FailKind::CannotExecute, "arguments or environment are too long")
        }
        (Stage::Execute, error) => {
            Failure::new(FailKind::CannotExecute, format!("the program cannot be executed: {error}"))
        }
        (Stage::Cwd, error) => {
            Failure::new(FailKind::CannotExecute, format!("the working directory cannot be entered: {error}"))
        }
        (stage, error) => {
            Failure::new(FailKind::Wall, format!("the wall could not be put up ({stage:?}): {error}"))
        }
    })
}

/// One of the program's streams on its way to the runner.
struct Pipe {
    kind: Kind,
    fd: Option<File>,
    form: Form,
}

/// What becomes of a stream's bytes.
enum Form {
    /// They go out as they are.
    Whole,
    /// They are cut to a number of characters.
    Capped(CappedText),
}

impl Pipe {
    fn new(kind: Kind, fd: OwnedFd, limit: Option<u32>) -> Self {
        let form = limit.map_or(Form::Whole, |limit| Form::Capped(CappedText::new(limit)));
        Self { kind, fd: Some(File::from(fd)), form }
    }

    /// Reads once and forwards what may go out.
    fn forward(&mut self, stream: &mut Stream, request: u32) -> io::Result<()> {
        let mut buffer = [0; 64 * 1024];
        let Some(fd) = &mut self.fd else { return Ok(()) };
        let length = match fd.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            // A pipe that fails is at its end.
            Err(_) => 0,
        };
        if length == 0 {
            self.fd = None;
            return Ok(());
        }
        match &mut self.form {
            Form::Whole => stream.send_raw(request, self.kind, &buffer[..length]),
            Form::Capped(text) => {
                let mut out = Vec::new();
                text.push(&buffer[..length], &mut out);
                stream.send_raw(request, self.kind, &out)
            }
        }
    }

    /// Forwards the rest.
    fn drain(mut self, stream: &mut Stream, request: u32) -> io::Result<()> {
        while self.fd.is_some() {
            self.forward(stream, request)?;
        }
        let Form::Capped(text) = self.form else { return Ok(()) };
        let mut out = Vec::new();
        let end = text.finish(&mut out);
        stream.send_raw(request, self.kind, &out)?;
        if end.omitted > 0 {
            let kind = if self.kind == Kind::Stdout { StreamKind::Stdout } else { StreamKind::Stderr };
            stream.send(request, &FromInit::Omitted { stream: kind, characters: end.omitted })?;
        }
        // A frame must not end within a character.
        let mut rest = end.tail.as_str();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(CHUNK));
            stream.send_raw(request, self.kind, piece.as_bytes())?;
            rest = after;
        }
        Ok(())
    }
}
