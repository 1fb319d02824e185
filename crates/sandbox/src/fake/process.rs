//! A program that runs in a fake sandbox: a state machine that init asks for its next deed.
//!
//! It does no I/O and holds no task: what it prints goes to init, its files are in memory, and when it wants to
//! sleep it says until when. So init alone decides about time, signals and the end.

use std::collections::VecDeque;
use std::time::Duration;

use init_protocol::{Owner, StreamKind};
use tokio::time::Instant;

use super::files::{FileSystem, FsError, absolute};
use super::program::{FLOOD_LINE, Program, Step, Text};

/// Bytes that a flood writes at once.
const FLOOD_CHUNK: usize = 16 * 1024;

/// The time that a chunk of an endless flood takes: without it a paused clock would stand still for ever.
const FLOOD_PAUSE: Duration = Duration::from_millis(20);

/// What a program wants next.
#[derive(Debug)]
pub(super) enum Deed {
    /// Print this.
    Output(StreamKind, Vec<u8>),
    /// Do nothing until an instant.
    Sleep(Instant),
    /// Do nothing until it is killed.
    Hang,
    /// It has ended.
    Exit(i32),
    /// A signal has ended it.
    Signaled(i32),
    /// The kernel has ended it for memory.
    OutOfMemory,
    /// It took the sandbox with it.
    Crash,
}

/// What surrounds a program.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub(super) arguments: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) cwd: String,
    pub(super) stdin: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Process {
    steps: VecDeque<Step>,
    around: Surroundings,
    sleeping: Option<Instant>,
    stopped: bool,
    ignores_sigterm: bool,
    on_sigterm: Option<Vec<Step>>,
}

impl Process {
    pub(super) fn new(program: Program, around: Surroundings) -> Self {
        Self {
            steps: program.steps.into(),
            around,
            sleeping: None,
            stopped: false,
            ignores_sigterm: false,
            on_sigterm: None,
        }
    }

    /// Delivers SIGTERM; whether that ends the program at once.
    pub(super) fn terminate(&mut self) -> bool {
        if self.stopped || self.ignores_sigterm {
            return false;
        }
        match self.on_sigterm.take() {
            Some(steps) => {
                self.sleeping = None;
                self.steps = steps.into();
                false
            }
            None => true,
        }
    }

    /// Goes on until there is something that init must know.
    pub(super) fn next(&mut self, files: &mut FileSystem, now: Instant) -> Deed {
        loop {
            if self.stopped {
                return Deed::Hang;
            }
            if let Some(until) = self.sleeping {
                if now < until {
                    return Deed::Sleep(until);
                }
                self.sleeping = None;
            }
            let Some(step) = self.steps.pop_front() else { return Deed::Exit(0) };
            if let Some(deed) = self.step(step, files, now) {
                return deed;
            }
        }
    }

    /// One step; `None` where there is nothing to tell.
    fn step(&mut self, step: Step, files: &mut FileSystem, now: Instant) -> Option<Deed> {
        let done = match step {
            Step::Print { stream, text } => return Some(Deed::Output(stream.into(), text.0)),
            Step::Sleep { ms } => {
                self.sleeping = Some(now + Duration::from_millis(ms));
                return None;
            }
            Step::Write { path, content } => self.at(&path, |path| files.write(path, content.0, Owner::User)),
            Step::Fill { path, bytes } => {
                let size = usize::try_from(bytes).unwrap_or(usize::MAX);
                self.at(&path, |path| files.write(path, vec![b'x'; size], Owner::User))
            }
            Step::SetLength { path, bytes } => self.at(&path, |path| files.set_length(path, bytes)),
            Step::Many { directory, count } => self.at(&directory, |directory| {
                (0..count).try_for_each(|number| {
                    let mut path = directory.to_vec();
                    path.extend_from_slice(format!("/{number}").as_bytes());
                    files.write(&path, number.to_string().into_bytes(), Owner::User)
                })
            }),
            Step::Read { path } => match files.read(&absolute(&self.around.cwd, &path.0)) {
                Ok(bytes) => return Some(Deed::Output(StreamKind::Stdout, bytes)),
                Err(error) => Err((path, error)),
            },
            Step::Remove { path } => self.at(&path, |path| files.remove(path)),
            Step::MakeDirectory { path } => self.at(&path, |path| files.make_directories(path, Owner::User)),
            Step::Symlink { target, path } => self.at(&path, |path| files.symlink(&target.0, path)),
            Step::HardLink { target, path } => {
                let target = absolute(&self.around.cwd, &target.0);
                self.at(&path, |path| files.hard_link(&target, path))
            }
            Step::Fifo { path } => self.at(&path, |path| files.fifo(path)),
            Step::CatStdin => {
                let stdin = std::mem::take(&mut self.around.stdin);
                return Some(Deed::Output(StreamKind::Stdout, stdin));
            }
            Step::Environment => {
                let lines = self.around.env.iter().map(|(name, value)| format!("{name}={value}\n"));
                return Some(Deed::Output(StreamKind::Stdout, lines.collect::<String>().into_bytes()));
            }
            Step::Arguments => {
                let lines = self.around.arguments.iter().skip(1).map(|argument| format!("[{argument}]\n"));
                return Some(Deed::Output(StreamKind::Stdout, lines.collect::<String>().into_bytes()));
            }
            Step::WorkingDirectory => {
                return Some(Deed::Output(StreamKind::Stdout, format!("{}\n", self.around.cwd).into_bytes()));
            }
            Step::IgnoreSigterm => {
                self.ignores_sigterm = true;
                Ok(())
            }
            Step::OnSigterm { steps } => {
                self.on_sigterm = Some(steps);
                Ok(())
            }
            Step::Stop => {
                self.stopped = true;
                Ok(())
            }
            Step::Signal { number } => return Some(Deed::Signaled(number)),
            // Whatever a call started dies with it; these die before they did anything.
            Step::Background { .. } | Step::Daemon { .. } | Step::Children { .. } => Ok(()),
            Step::OutOfMemory => return Some(Deed::OutOfMemory),
            Step::Flood { stream, bytes } => {
                let most = bytes.map_or(FLOOD_CHUNK, |bytes| usize::try_from(bytes).unwrap_or(FLOOD_CHUNK));
                // Whole lines, so that the next chunk goes on where this one ends.
                let size = most.min(FLOOD_CHUNK / FLOOD_LINE.len() * FLOOD_LINE.len());
                let left = bytes.map(|bytes| bytes - size as u64);
                if left != Some(0) {
                    self.steps.push_front(Step::Flood { stream, bytes: left });
                }
                if left.is_none() {
                    self.sleeping = Some(now + FLOOD_PAUSE);
                }
                let text = FLOOD_LINE.iter().copied().cycle().take(size).collect();
                return Some(Deed::Output(stream.into(), text));
            }
            Step::CrashSandbox => return Some(Deed::Crash),
            Step::Exit { code } => return Some(Deed::Exit(i32::from(code))),
        };
        let (path, error) = done.err()?;
        self.steps = VecDeque::from([Step::Exit { code: 1 }]);
        let text = format!("{}: {}\n", String::from_utf8_lossy(&path.0), error.text());
        Some(Deed::Output(StreamKind::Stderr, text.into_bytes()))
    }

    /// Does something with a path as the program means it; says which path where that fails.
    fn at(&self, path: &Text, act: impl FnOnce(&[u8]) -> Result<(), FsError>) -> Result<(), (Text, FsError)> {
        act(&absolute(&self.around.cwd, &path.0)).map_err(|error| (path.clone(), error))
    }
}
