//! Running a program to its end: a room, in which pip or uv are.
//!
//! Invariants: a program never outlives the future that runs it (its whole process group is killed when the future
//! is dropped), its output is bounded in memory, and what it writes is watched while it writes, so that a wheel that
//! unpacks to more than the limit does not fill the disk first.

use std::{
    ffi::OsString,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    time,
};

use crate::{content, error::LayerError};

/// What is kept of each stream: the end, where both tools put the reason.
const KEPT_OUTPUT: usize = 256 * 1024;

/// How often the size of what was written is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// A grandchild may hold the pipes open after the tool has ended; its output is not waited for longer than this.
const DRAIN: Duration = Duration::from_secs(2);

/// What runs, where and with what.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) argv: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Nothing where there is none.
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) directory: PathBuf,
    /// All that the program writes is below this.
    pub(crate) watched: PathBuf,
    /// Bytes that it may hold while it works.
    pub(crate) allowance: u64,
    /// The limit that is reported when it holds more.
    pub(crate) limit: u64,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Nothing where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end.
pub(crate) async fn run(asked: Program) -> Result<Finished, LayerError> {
    let [program, arguments @ ..] = &asked.argv[..] else {
        return Err(io_error("start", Path::new(""), empty()));
    };
    let failed = |source| io_error("start", Path::new(program), source);
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(asked.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&asked.directory)
        .stdin(asked.stdin.map_or_else(Stdio::null, Stdio::from))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let (mut stdout, mut stderr) = (Tail::default(), Tail::default());
    let streams = (child.stdout.take(), child.stderr.take());
    let status = {
        let mut drained =
            std::pin::pin!(async { tokio::join!(stdout.drain(streams.0), stderr.drain(streams.1)) });
        let mut watch = std::pin::pin!(watch(&asked.watched, asked.allowance, asked.limit));
        let mut open = true;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status.map_err(failed)?,
                _ = &mut drained, if open => open = false,
                error = &mut watch => return Err(error),
            }
        };
        // From here on the process id may belong to someone else.
        group.0 = None;
        if open {
            // Either way what has arrived is kept.
            let _ended = time::timeout(DRAIN, drained).await.is_ok();
        }
        status
    };
    Ok(Finished { code: status.code(), stdout: stdout.text(), stderr: stderr.text() })
}

impl Finished {
    /// Whether it ended well.
    pub(crate) fn success(&self) -> bool {
        self.code == Some(0)
    }
}

/// Ends only by finding too much.
async fn watch(watched: &Path, allowance: u64, limit: u64) -> LayerError {
    loop {
        time::sleep(WATCH_INTERVAL).await;
        let directory = watched.to_owned();
        // A walk that fails because a file has just gone tells nothing; the next one will.
        if let Ok(size) = tokio::task::spawn_blocking(move || content::size(&directory)).await
            && size > allowance
        {
            return LayerError::TooLarge { limit };
        }
    }
}

/// Kills the process group on drop: pip and shims start further processes, which `kill_on_drop` does not reach.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Already gone is what was wanted.
            let _gone = kill_process_group(group, Signal::KILL).is_err();
        }
    }
}

#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    async fn drain(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut chunk = vec![0; 16 * 1024];
        // A broken pipe is an end like any other.
        while let Ok(read @ 1..) = stream.read(&mut chunk).await {
            self.bytes.extend_from_slice(&chunk[..read]);
            if self.bytes.len() > 2 * KEPT_OUTPUT {
                self.bytes.drain(..self.bytes.len() - KEPT_OUTPUT);
            }
        }
    }

    fn text(&self) -> String {
        let start = self.bytes.len().saturating_sub(KEPT_OUTPUT);
        String::from_utf8_lossy(&self.bytes[start..]).into_owned()
    }
}

fn empty() -> std::io::Error {
    std::io::ErrorKind::InvalidInput.into()
}

fn io_error(action: &'static str, path: &Path, source: std::io::Error) -> LayerError {
    LayerError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    //! With real programs: floods, sizes, and that nothing outlives a dropped future.

    use std::{fs, time::Instant};

    use super::*;

    fn sh(script: &str, directory: &Path, allowance: u64) -> Program {
        Program {
            argv: ["/bin/sh", "-c", script].map(OsString::from).to_vec(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            stdin: None,
            directory: directory.to_owned(),
            watched: directory.to_owned(),
            allowance,
            limit: 7,
        }
    }

    #[tokio::test]
    async fn the_end_of_a_flood_is_kept() {
        let temporary = tempfile::tempdir().unwrap();
        let script = "head -c 5000000 /dev/zero | tr '\\0' x >&2; echo the end >&2; echo out; exit 3";
        let finished = run(sh(script, temporary.path(), 1 << 30)).await.unwrap();
        assert_eq!(finished.code, Some(3));
        assert_eq!(finished.stdout, "out\n");
        assert!(finished.stderr.len() <= KEPT_OUTPUT && finished.stderr.ends_with("the end\n"));
    }

    #[tokio::test]
    async fn too_much_on_disk_ends_the_program() {
        let temporary = tempfile::tempdir().unwrap();
        let script = "head -c 3000000 /dev/zero > big; exec tail -f /dev/null";
        let error = run(sh(script, temporary.path(), 1_000_000)).await.unwrap_err();
        assert!(matches!(error, LayerError::TooLarge { limit: 7 }), "{error}");
    }

    #[tokio::test]
    async fn a_dropped_future_kills_the_whole_group() {
        let temporary = tempfile::tempdir().unwrap();
        let script = "tail -f /dev/null & echo $! > pid; wait";
        let program = sh(script, temporary.path(), 1 << 30);
        let file = temporary.path().join("pid");
        let pid = tokio::select! {
            finished = run(program) => panic!("it ended: {finished:?}"),
            pid = async {
                loop {
                    match fs::read_to_string(&file) {
                        Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
                        _ => tokio::task::yield_now().await,
                    }
                }
            } => pid,
        };
        let started = Instant::now();
        let alive =
            || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        while alive() {
            assert!(started.elapsed() < Duration::from_secs(10), "process {pid} is still alive");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_background_process_with_the_pipes_does_not_hold_the_result_up() {
        let temporary = tempfile::tempdir().unwrap();
        let script = "tail -f /dev/null & echo $!";
        let started = Instant::now();
        let finished = run(sh(script, temporary.path(), 1 << 30)).await.unwrap();
        assert!(finished.success() && started.elapsed() < Duration::from_secs(8));
        let pid = Pid::from_raw(finished.stdout.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }
}
