//! One program from start to the death of everything that it started.
//!
//! ```text
//!   running ──limit──▶ terminating (SIGTERM to all) ──end_of──▶ killed (SIGKILL to all)
//!      │ ╲──Kill frame──▶  │                                      │
//!      └─── the program itself ends ─▶ lingering ─────────────────┴──▶ kill the rest, reap, drain, answer
//! ```
//!
//! Lingering is for what the program leaves behind at the end of its own streams, such as the `tee` of a shell's
//! `exec > >(tee log)`: it may go on until the streams are at their end, or nothing came for a moment, or the call's time is
//! over.
//!
//! All times of a call are instants that are fixed when it begins, so they do not add up: `limit`, and `end_of` a grace
//! period later, at which everything is killed. A process with very many mappings takes a second and more to be taken apart;
//! what is left of it after `end_of` runs nothing any more, and is not waited for.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use init_protocol::{Exec, FailKind, FromInit, Kind, Setup, Termination, ToInit, Usage, parse_message};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Gid, MemfdFlags, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::files::Failure;
use crate::pipe::{Came, Pipe};
use crate::remains;
use crate::serve::Sandbox;
use crate::stream::Stream;
use crate::sys::{self, Child, Program, Stage, Streams};

/// Most bytes of standard input.
const MAX_STDIN: u64 = 64 * 1024 * 1024;

/// How long what is left behind may be silent before it is ended.
const QUIET: Duration = Duration::from_millis(200);
/// How long it may go on at most.
const LINGER: Duration = Duration::from_secs(2);
/// What the last steps after `end_of` may take before remains are looked at.
const LAST_STEPS: Duration = Duration::from_millis(20);
/// How often they are looked at then.
const LOOK: Duration = Duration::from_millis(5);

/// Runs one program and answers.
pub(crate) fn run(stream: &mut Stream, sandbox: &Sandbox, request: u32, exec: &Exec) -> io::Result<()> {
    let stdin = if exec.stdin { receive_stdin(stream, request)? } else { null() };
    // Remains of the call before belong to that one.
    while let Child::Ended(_) = sys::reap() {}
    let begun = Instant::now();
    let limit = begun + Duration::from_millis(exec.timeout_ms);
    let grace = Duration::from_millis(exec.grace_ms);
    let cpu_before = sys::children_cpu_us();
    let started = stdin.and_then(|stdin| start(sandbox, exec, &stdin));
    let running = match started {
        Ok(started) => Running {
            main: started.pid,
            stdout: Pipe::new(Kind::Stdout, started.stdout, exec.stream_limit),
            stderr: Pipe::new(Kind::Stderr, started.stderr, exec.stream_limit),
            report: Some(started.report),
            failed: None,
            phase: Phase::Running,
            limit,
            end_of: limit + grace,
            grace,
            timed_out: false,
            killed: false,
            alone: false,
            peak_rss_bytes: 0,
        },
        Err(failure) => return stream.answer(request, &failure.into_message()),
    };
    match running.supervise(stream, sandbox, request)? {
        Ok((termination, peak_rss_bytes)) => {
            let usage = Usage {
                wall_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
                cpu_us: sys::children_cpu_us().saturating_sub(cpu_before),
                peak_rss_bytes,
            };
            stream.answer(request, &FromInit::Exited { termination, usage })
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
    let program = program(&sandbox.setup, exec)?;
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| Failure::of(error, "a pipe"));
    let (stdout, stdout_in) = pipe()?;
    let (stderr, stderr_in) = pipe()?;
    let (report, report_in) = pipe()?;
    for end in [&stdout, &stderr, &report] {
        // Init never waits for a writer that may be in the middle of its end.
        rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK).map_err(|error| Failure::of(error, "a pipe"))?;
    }
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
    let pid = sys::spawn(&program, &sandbox.wall.bounds, &streams)
        .map_err(|error| Failure::of_io(&error, "a process"))?;
    Ok(Started { pid, stdout, stderr, report })
}

fn program(setup: &Setup, exec: &Exec) -> Result<Program, Failure> {
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
        uid: setup.uid,
        gid: setup.gid,
    })
}

enum Phase {
    /// Until `limit`.
    Running,
    /// Until `end_of`.
    Terminating,
    /// The program has ended; what it left may go on until then.
    Lingering {
        until: Instant,
    },
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
    /// When SIGTERM goes to all.
    limit: Instant,
    /// When SIGKILL goes to all.
    end_of: Instant,
    grace: Duration,
    timed_out: bool,
    killed: bool,
    /// Init has no child left.
    alone: bool,
    peak_rss_bytes: u64,
}

impl Running {
    /// Until the program has ended, everything else is dead and all output is out. The outer error ends init.
    fn supervise(
        mut self,
        stream: &mut Stream,
        sandbox: &Sandbox,
        request: u32,
    ) -> io::Result<Result<(Termination, u64), Failure>> {
        // A request may have arrived together with this one; polling would not show it.
        self.take_buffered(stream, request)?;
        let status = loop {
            self.wait(stream, sandbox, request)?;
            sandbox.signals.clear();
            if let Some(status) = self.reap_ended() {
                break Some(status);
            }
            self.check_time();
            if self.may_leave_remains() {
                break None;
            }
        };
        let termination = match status {
            _ if self.killed => Termination::Killed,
            _ if self.timed_out => Termination::TimedOut,
            Some(Ok(code)) => Termination::Exited(code),
            Some(Err(signal)) => Termination::Signaled(signal),
            // Only what was killed leaves remains.
            None => Termination::Signaled(libc::SIGKILL),
        };
        self.linger(stream, sandbox, request)?;
        self.sweep(sandbox)?;
        if let Some(report) = self.report.take() {
            self.failed = read_report(&report);
        }
        if let Some(failure) = self.failed {
            return Ok(Err(failure));
        }
        self.stdout.drain(stream, request)?;
        self.stderr.drain(stream, request)?;
        Ok(Ok((termination, self.peak_rss_bytes)))
    }

    /// Lets what the program left at the end of its streams write what it still has.
    fn linger(&mut self, stream: &mut Stream, sandbox: &Sandbox, request: u32) -> io::Result<()> {
        let most = match self.phase {
            Phase::Running => self.limit,
            Phase::Terminating => self.end_of,
            Phase::Lingering { .. } | Phase::Killed => return Ok(()),
        };
        let last = most.min(Instant::now() + LINGER);
        let mut quiet = Instant::now() + QUIET;
        while !self.alone && (self.stdout.readable().is_some() || self.stderr.readable().is_some()) {
            self.phase = Phase::Lingering { until: quiet.min(last) };
            let came = self.wait(stream, sandbox, request)?;
            sandbox.signals.clear();
            self.reap_ended();
            let now = Instant::now();
            if now >= last || matches!(self.phase, Phase::Killed) {
                break;
            }
            if came == Came::Bytes {
                quiet = now + QUIET;
            } else if now >= quiet {
                // What is silent since it gets no CPU is not silent by its own will.
                if !remains::any_wants_cpu() {
                    break;
                }
                quiet = now + LAST_STEPS;
            }
        }
        Ok(())
    }

    /// Kills all that is left and reaps it: no process may outlive the call, since what was saved belongs to exactly one
    /// call, and nothing runs in between.
    fn sweep(&mut self, sandbox: &Sandbox) -> io::Result<()> {
        self.kill();
        loop {
            self.reap_ended();
            if self.alone || self.may_leave_remains() {
                return Ok(());
            }
            let left = (self.end_of + LAST_STEPS).saturating_duration_since(Instant::now()).max(LOOK);
            let mut fds = [PollFd::new(&sandbox.signals, PollFlags::IN)];
            match poll(&mut fds, Some(&timespec(left))) {
                Ok(_) | Err(Errno::INTR) => sandbox.signals.clear(),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether the call's time is over, and what is left of it are processes that will never run code again.
    fn may_leave_remains(&self) -> bool {
        matches!(self.phase, Phase::Killed)
            && Instant::now() >= self.end_of + LAST_STEPS
            && remains::all_are_exiting()
    }

    /// Waits for the next thing to happen and handles what concerns the streams. Says whether the program's had bytes.
    fn wait(&mut self, stream: &mut Stream, sandbox: &Sandbox, request: u32) -> io::Result<Came> {
        let until = match self.phase {
            Phase::Running => self.limit,
            Phase::Terminating => self.end_of,
            Phase::Lingering { until } => until,
            Phase::Killed => (self.end_of + LAST_STEPS).max(Instant::now() + LOOK),
        };
        // A little longer than asked, never shorter: else this would spin until the deadline.
        let timeout = timespec(until.saturating_duration_since(Instant::now()) + Duration::from_micros(50));
        let readable = {
            let mut watched: Vec<(Watch, BorrowedFd<'_>)> =
                vec![(Watch::Stream, stream.readable()), (Watch::Signals, sandbox.signals.as_fd())];
            watched.extend(self.stdout.readable().map(|fd| (Watch::Stdout, fd)));
            watched.extend(self.stderr.readable().map(|fd| (Watch::Stderr, fd)));
            watched.extend(self.report.as_ref().map(|fd| (Watch::Report, fd.as_fd())));
            let mut fds: Vec<PollFd<'_>> =
                watched.iter().map(|(_, fd)| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready = fds.iter().zip(&watched).filter(|(fd, _)| !fd.revents().is_empty());
            ready.map(|(_, (watch, _))| *watch).collect::<Vec<_>>()
        };
        let mut came = Came::Nothing;
        for watch in readable {
            let read = match watch {
                Watch::Stream => {
                    self.take_requests(stream, request)?;
                    Came::Nothing
                }
                Watch::Signals => Came::Nothing,
                Watch::Stdout => self.stdout.forward(stream, request)?,
                Watch::Stderr => self.stderr.forward(stream, request)?,
                Watch::Report => {
                    if let Some(report) = self.report.take() {
                        self.failed = read_report(&report);
                    }
                    Came::Nothing
                }
            };
            if read == Came::Bytes {
                came = Came::Bytes;
            }
        }
        stream.flush()?;
        Ok(came)
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
                    if let Phase::Lingering { .. } = self.phase {
                        self.kill();
                    } else {
                        self.killed = true;
                        self.terminate();
                    }
                }
                _ => return Err(io::Error::other("a request while a program runs")),
            }
        }
        Ok(())
    }

    /// Lets everything save what it has, for the grace period. Once that runs, it is not begun anew.
    fn terminate(&mut self) {
        if let Phase::Running = self.phase {
            sys::signal_all(libc::SIGTERM);
            // A stopped process takes no SIGTERM before it continues.
            sys::signal_all(libc::SIGCONT);
            self.end_of = self.end_of.min(Instant::now() + self.grace);
            self.phase = Phase::Terminating;
        }
    }

    fn kill(&mut self) {
        sys::signal_all(libc::SIGKILL);
        self.phase = Phase::Killed;
    }

    fn check_time(&mut self) {
        let now = Instant::now();
        if matches!(self.phase, Phase::Running) && now >= self.limit {
            self.timed_out = true;
            self.terminate();
        }
        if matches!(self.phase, Phase::Terminating) && now >= self.end_of {
            self.kill();
        }
    }

    /// Reaps what has ended, orphans too: their remains count against the sandbox's limit of processes.
    fn reap_ended(&mut self) -> Option<Result<i32, i32>> {
        let mut main = None;
        loop {
            match sys::reap() {
                Child::Ended(ended) => {
                    self.peak_rss_bytes = self.peak_rss_bytes.max(ended.peak_rss_bytes);
                    if ended.pid == self.main {
                        main = Some(ended.status);
                    }
                }
                Child::NoneEnded => break,
                Child::NoneLeft => {
                    self.alone = true;
                    break;
                }
            }
        }
        main
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(argv: &[&str], env: &[(&str, &str)]) -> Exec {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Exec {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            env: env.iter().map(owned).collect(),
            cwd: "/workspace".to_owned(),
            stdin: false,
            timeout_ms: 1000,
            grace_ms: 500,
            stream_limit: None,
        }
    }

    fn setup() -> Setup {
        Setup {
            uid: 1000,
            gid: 1001,
            lifetime_ms: 1000,
            output: "/output".to_owned(),
            writable: Vec::new(),
            readable: Vec::new(),
            max_open_files: 10,
            max_file_size: 10,
            max_processes: None,
            allow_missing_landlock: false,
        }
    }

    #[test]
    fn programs_are_looked_for_where_the_path_says() {
        let candidates = |argv: &[&str], env: &[(&str, &str)]| -> Vec<String> {
            let program = program(&setup(), &exec(argv, env)).unwrap();
            program.candidates.iter().map(|path| path.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(candidates(&["a"], &[]), ["/usr/bin/a", "/bin/a"]);
        assert_eq!(candidates(&["a"], &[("PATH", "/x:relative::/y")]), ["/x/a", "/y/a"]);
        assert_eq!(candidates(&["./a"], &[("PATH", "/x")]), ["./a"]);
        assert_eq!(candidates(&["/x/a b"], &[]), ["/x/a b"]);
        assert!(candidates(&["a"], &[("PATH", "")]).is_empty());
    }

    #[test]
    fn what_cannot_be_passed_is_refused_before_a_process_is_made() {
        for (argv, env) in [
            (vec![], vec![]),
            (vec![""], vec![]),
            (vec!["a\0b"], vec![]),
            (vec!["a", "b\0"], vec![]),
            (vec!["a"], vec![("K", "v\0")]),
        ] {
            let failure = program(&setup(), &exec(&argv, &env)).err().expect("a refusal");
            assert_eq!(failure.kind, FailKind::BadRequest, "{argv:?}");
        }
    }

    #[test]
    fn a_report_says_why_no_program_came_of_a_child() {
        let report = |bytes: &[u8]| {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            rustix::io::write(&writer, bytes).unwrap();
            drop(writer);
            read_report(&reader)
        };
        let of = |stage: Stage, errno: Errno| {
            let code = errno.raw_os_error().to_ne_bytes();
            report(&[stage as u8, code[0], code[1], code[2], code[3]]).map(|failure| failure.kind)
        };
        assert!(report(b"").is_none() && report(b"1234").is_none());
        assert_eq!(of(Stage::Execute, Errno::NOENT), Some(FailKind::NotFound));
        assert_eq!(of(Stage::Execute, Errno::ACCESS), Some(FailKind::CannotExecute));
        assert_eq!(of(Stage::Cwd, Errno::NOENT), Some(FailKind::CannotExecute));
        for stage in [Stage::Streams, Stage::Limits, Stage::User, Stage::Capabilities, Stage::Landlock] {
            assert_eq!(of(stage, Errno::PERM), Some(FailKind::Wall), "{stage:?}");
        }
    }
}
