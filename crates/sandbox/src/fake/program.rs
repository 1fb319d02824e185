//! A program that is real and fake at once: a list of steps that renders as Bash or Python and that the fake
//! sandbox carries out itself.
//!
//! The text that [`Program::script`] gives is a complete Bash script. Its first line is a comment with the steps
//! as JSON. A real sandbox runs the script; a fake one finds the comment, whatever `argv` is around it, and does
//! the same in memory and in tokio's time. So one test says what a program does once, and runs on every driver.
//!
//! Not a shell: there are no variables and no branches. What a test needs beyond these steps is a wall or a
//! behaviour of real kernels, and belongs to tests that only real drivers run.

use std::fmt::Write as _;
use std::time::Duration;

use init_protocol::StreamKind;
use serde::{Deserialize, Serialize};

/// Start of the comment that carries the steps.
const MARKER: &str = "# fake-program: ";

/// How many lines of a text are looked at for the marker (it may follow a `#!` line).
const MARKER_LINES: usize = 4;

/// What [`Program::flood`] writes again and again.
pub(super) const FLOOD_LINE: &[u8] = b"flood\n";

/// Steps to carry out, in order. After the last one the program exits with 0.
///
/// ```ignore
/// let code = Program::new().stdout("saving\n").write("/output/a.txt", "hello").exit(3).script();
/// ```
///
/// Paths may be relative (to the working directory) and may be any bytes but NUL; missing parents of what is
/// written are made. A step that fails says so on standard error and ends the program with 1, as under `set -e`.
/// A script for `bash -c` must stay below 128 KiB, which a content of 25 KiB always does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Program {
    pub(super) steps: Vec<Step>,
}

/// One step of a [`Program`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    Print { stream: Output, text: Text },
    Sleep { ms: u64 },
    Write { path: Text, content: Text },
    Fill { path: Text, bytes: u64 },
    SetLength { path: Text, bytes: u64 },
    Many { directory: Text, count: u32 },
    Read { path: Text },
    Remove { path: Text },
    MakeDirectory { path: Text },
    Symlink { target: Text, path: Text },
    HardLink { target: Text, path: Text },
    Fifo { path: Text },
    CatStdin,
    Environment,
    Arguments,
    WorkingDirectory,
    IgnoreSigterm,
    OnSigterm { steps: Vec<Self> },
    Stop,
    Signal { number: i32 },
    Background { steps: Vec<Self> },
    Daemon { steps: Vec<Self> },
    Children { count: u32 },
    OutOfMemory,
    Flood { stream: Output, bytes: Option<u64> },
    CrashSandbox,
    Exit { code: u8 },
}

/// [`StreamKind`] with serde's traits in this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Output {
    Stdout,
    Stderr,
}

impl From<Output> for StreamKind {
    fn from(output: Output) -> Self {
        match output {
            Output::Stdout => Self::Stdout,
            Output::Stderr => Self::Stderr,
        }
    }
}

impl From<StreamKind> for Output {
    fn from(kind: StreamKind) -> Self {
        match kind {
            StreamKind::Stdout => Self::Stdout,
            StreamKind::Stderr => Self::Stderr,
        }
    }
}

/// Bytes, written in JSON as a string with one character per byte (U+0000 to U+00FF), which keeps text readable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Text(pub(super) Vec<u8>);

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0.iter().map(|byte| char::from(*byte)).collect()
    }
}

impl TryFrom<String> for Text {
    type Error = std::char::TryFromCharError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(Self(text.chars().map(u8::try_from).collect::<Result<_, _>>()?))
    }
}

impl Program {
    /// A program that does nothing and exits with 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Writes to standard output.
    #[must_use]
    pub fn stdout(self, text: impl Into<Vec<u8>>) -> Self {
        self.with(Step::Print { stream: Output::Stdout, text: Text(text.into()) })
    }

    /// Writes to standard error.
    #[must_use]
    pub fn stderr(self, text: impl Into<Vec<u8>>) -> Self {
        self.with(Step::Print { stream: Output::Stderr, text: Text(text.into()) })
    }

    /// Sleeps.
    #[must_use]
    pub fn sleep(self, duration: Duration) -> Self {
        self.with(Step::Sleep { ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) })
    }

    /// Creates or replaces a file.
    #[must_use]
    pub fn write(self, path: impl Into<Vec<u8>>, content: impl Into<Vec<u8>>) -> Self {
        self.with(Step::Write { path: Text(path.into()), content: Text(content.into()) })
    }

    /// Creates or replaces a file with so many `x`.
    #[must_use]
    pub fn fill(self, path: impl Into<Vec<u8>>, bytes: u64) -> Self {
        self.with(Step::Fill { path: Text(path.into()), bytes })
    }

    /// Sets a file's length: cuts it, or makes or extends it as a sparse file.
    #[must_use]
    pub fn set_length(self, path: impl Into<Vec<u8>>, bytes: u64) -> Self {
        self.with(Step::SetLength { path: Text(path.into()), bytes })
    }

    /// Creates the files `0`, `1`, … in a directory, each with its own name as content.
    #[must_use]
    pub fn many_files(self, directory: impl Into<Vec<u8>>, count: u32) -> Self {
        self.with(Step::Many { directory: Text(directory.into()), count })
    }

    /// Prints a file.
    #[must_use]
    pub fn read(self, path: impl Into<Vec<u8>>) -> Self {
        self.with(Step::Read { path: Text(path.into()) })
    }

    /// Removes a file or a directory with all in it.
    #[must_use]
    pub fn remove(self, path: impl Into<Vec<u8>>) -> Self {
        self.with(Step::Remove { path: Text(path.into()) })
    }

    /// Makes a directory and its parents.
    #[must_use]
    pub fn make_directory(self, path: impl Into<Vec<u8>>) -> Self {
        self.with(Step::MakeDirectory { path: Text(path.into()) })
    }

    /// Makes a symbolic link at `path`.
    #[must_use]
    pub fn symlink(self, target: impl Into<Vec<u8>>, path: impl Into<Vec<u8>>) -> Self {
        self.with(Step::Symlink { target: Text(target.into()), path: Text(path.into()) })
    }

    /// Makes a hard link at `path`.
    #[must_use]
    pub fn hard_link(self, target: impl Into<Vec<u8>>, path: impl Into<Vec<u8>>) -> Self {
        self.with(Step::HardLink { target: Text(target.into()), path: Text(path.into()) })
    }

    /// Makes a FIFO.
    #[must_use]
    pub fn fifo(self, path: impl Into<Vec<u8>>) -> Self {
        self.with(Step::Fifo { path: Text(path.into()) })
    }

    /// Copies standard input to standard output.
    #[must_use]
    pub fn cat_stdin(self) -> Self {
        self.with(Step::CatStdin)
    }

    /// Prints the environment as it was passed, one `NAME=value` a line, in order.
    #[must_use]
    pub fn environment(self) -> Self {
        self.with(Step::Environment)
    }

    /// Prints the arguments (`$1` and on), each as `[argument]` and a newline.
    #[must_use]
    pub fn arguments(self) -> Self {
        self.with(Step::Arguments)
    }

    /// Prints the working directory.
    #[must_use]
    pub fn working_directory(self) -> Self {
        self.with(Step::WorkingDirectory)
    }

    /// Ignores SIGTERM from here on, children included.
    #[must_use]
    pub fn ignore_sigterm(self) -> Self {
        self.with(Step::IgnoreSigterm)
    }

    /// On SIGTERM drops what is left to do and does this instead, as a program that cleans up.
    #[must_use]
    pub fn on_sigterm(self, then: Self) -> Self {
        self.with(Step::OnSigterm { steps: then.steps })
    }

    /// Stops itself with SIGSTOP: only SIGKILL ends it.
    #[must_use]
    pub fn stop(self) -> Self {
        self.with(Step::Stop)
    }

    /// Ends itself by a signal.
    #[must_use]
    pub fn signal(self, number: i32) -> Self {
        self.with(Step::Signal { number })
    }

    /// Starts a background child and goes on. A fake sandbox starts nothing: the child counts as killed before
    /// it did anything, which is what happens to every child that outlives its call.
    #[must_use]
    pub fn background(self, child: Self) -> Self {
        self.with(Step::Background { steps: child.steps })
    }

    /// Starts a double-forked daemon in a session of its own that holds the streams open, and goes on. A fake
    /// sandbox starts nothing, as with [`Program::background`].
    #[must_use]
    pub fn daemon(self, child: Self) -> Self {
        self.with(Step::Daemon { steps: child.steps })
    }

    /// Starts so many children that ignore SIGTERM and sleep. A fake sandbox starts nothing.
    #[must_use]
    pub fn children(self, count: u32) -> Self {
        self.with(Step::Children { count })
    }

    /// Uses memory until the kernel kills it.
    #[must_use]
    pub fn out_of_memory(self) -> Self {
        self.with(Step::OutOfMemory)
    }

    /// Writes so many bytes of `flood` lines; for ever where `None`. A fake sandbox writes at most
    /// 16 KiB each 20 ms of an endless one.
    #[must_use]
    pub fn flood(self, stream: StreamKind, bytes: Option<u64>) -> Self {
        self.with(Step::Flood { stream: stream.into(), bytes })
    }

    /// Takes the whole sandbox down. Only fake ones: real sandboxes do not do that on demand, and the script then
    /// exits with 70.
    #[must_use]
    pub fn crash_sandbox(self) -> Self {
        self.with(Step::CrashSandbox)
    }

    /// Exits with a code. What follows is not reached.
    #[must_use]
    pub fn exit(self, code: u8) -> Self {
        self.with(Step::Exit { code })
    }

    /// Goes on with the steps of another program.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.steps.extend(next.steps);
        self
    }

    /// The program as a Bash script; see the module.
    #[must_use]
    pub fn script(&self) -> String {
        self.marker() + &bash(&self.steps)
    }

    /// The program as a Python script, which hands over to Bash.
    #[must_use]
    pub fn python(&self) -> String {
        let mut code = self.marker();
        let literal: String =
            bash(&self.steps).chars().map(|character| character.escape_default().to_string()).collect();
        // Only the rendered steps are text here, and those are ASCII, so Rust's escapes are Python's.
        let _ = writeln!(
            code,
            "import os, sys\nos.execvp(\"bash\", [\"bash\", \"-c\", \"{literal}\", *sys.argv])"
        );
        code
    }

    /// `argv` that runs it: `bash -c SCRIPT`.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        vec!["bash".to_owned(), "-c".to_owned(), self.script()]
    }

    /// Finds the program that a text carries, where it carries one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let json = text.lines().take(MARKER_LINES).find_map(|line| line.strip_prefix(MARKER))?;
        serde_json::from_str(json).ok()
    }

    fn marker(&self) -> String {
        let json = serde_json::to_string(self).expect("steps have only string keys");
        // DEL and the C1 controls are legal in JSON, but U+0085 ends a line for some readers.
        let mut line = String::from(MARKER);
        for character in json.chars() {
            if ('\u{7f}'..='\u{9f}').contains(&character) {
                let _ = write!(line, "\\u{:04x}", u32::from(character));
            } else {
                line.push(character);
            }
        }
        line.push('\n');
        line
    }
}

fn bash(steps: &[Step]) -> String {
    let mut script = String::from("set -e\n");
    for step in steps {
        bash_step(step, &mut script);
        script.push('\n');
    }
    script
}

fn bash_step(step: &Step, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = match step {
        Step::Print { stream: Output::Stdout, text } => write!(out, "printf -- {}", format_text(text)),
        Step::Print { stream: Output::Stderr, text } => write!(out, "printf -- {} >&2", format_text(text)),
        // In the background, because Bash runs a trap only after the foreground child's end.
        Step::Sleep { ms } => write!(out, "sleep {}.{:03} & wait $!", ms / 1000, ms % 1000),
        Step::Write { path, content } => {
            parent(path, out);
            write!(out, "printf -- {} > {}", format_text(content), quote(path))
        }
        Step::Fill { path, bytes } => {
            parent(path, out);
            write!(out, "head -c {bytes} /dev/zero | tr '\\0' x > {}", quote(path))
        }
        Step::SetLength { path, bytes } => {
            parent(path, out);
            write!(out, "truncate -s {bytes} -- {}", quote(path))
        }
        Step::Many { directory, count } => {
            let directory = quote(directory);
            write!(
                out,
                "mkdir -p -- {directory}; for ((i = 0; i < {count}; i++)); do printf %s $i > {directory}/$i; done"
            )
        }
        Step::Read { path } => write!(out, "cat -- {}", quote(path)),
        Step::Remove { path } => write!(out, "rm -rf -- {}", quote(path)),
        Step::MakeDirectory { path } => write!(out, "mkdir -p -- {}", quote(path)),
        Step::Symlink { target, path } => {
            parent(path, out);
            write!(out, "ln -s -- {} {}", quote(target), quote(path))
        }
        Step::HardLink { target, path } => {
            parent(path, out);
            write!(out, "ln -- {} {}", quote(target), quote(path))
        }
        Step::Fifo { path } => {
            parent(path, out);
            write!(out, "mkfifo -- {}", quote(path))
        }
        Step::CatStdin => write!(out, "cat"),
        // Bash adds variables of its own to what it exports, so its own start environment is read.
        Step::Environment => write!(out, "tr '\\0' '\\n' < /proc/$$/environ"),
        Step::Arguments => write!(out, "for argument in \"$@\"; do printf '[%s]\\n' \"$argument\"; done"),
        Step::WorkingDirectory => write!(out, "pwd -P"),
        Step::IgnoreSigterm => write!(out, "trap '' TERM"),
        Step::OnSigterm { steps } => {
            let body = format!("{}exit 0", bash(steps));
            write!(out, "trap {} TERM", quote(&Text(body.into_bytes())))
        }
        Step::Stop => write!(out, "kill -STOP $$"),
        Step::Signal { number } => write!(out, "kill -{number} $$"),
        Step::Background { steps } => write!(out, "( {} ) &", bash(steps)),
        Step::Daemon { steps } => {
            let body = quote(&Text(bash(steps).into_bytes()));
            write!(out, "( setsid bash -c {body} & )")
        }
        Step::Children { count } => {
            write!(out, "for ((i = 0; i < {count}; i++)); do ( trap '' TERM; exec sleep 1000 ) & done")
        }
        Step::OutOfMemory => write!(out, "exec tail /dev/zero"),
        Step::Flood { stream, bytes } => {
            let to = if *stream == Output::Stderr { " >&2" } else { "" };
            match bytes {
                Some(bytes) => write!(out, "yes flood | head -c {bytes}{to}"),
                None => write!(out, "yes flood{to}"),
            }
        }
        Step::CrashSandbox => write!(out, "echo 'only a fake sandbox crashes on demand' >&2; exit 70"),
        Step::Exit { code } => write!(out, "exit {code}"),
    };
}

/// `mkdir -p` for the parent of a path, where it has one below the root.
fn parent(path: &Text, out: &mut String) {
    if let Some(slash) = path.0.iter().rposition(|byte| *byte == b'/').filter(|slash| *slash > 0) {
        let _ = write!(out, "mkdir -p -- {}; ", quote(&Text(path.0[..slash].to_vec())));
    }
}

/// A word that Bash takes as exactly these bytes.
fn quote(text: &Text) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,=".contains(byte);
    if !text.0.is_empty() && text.0.iter().all(plain) {
        return String::from_utf8_lossy(&text.0).into_owned();
    }
    let mut word = String::from("$'");
    for byte in &text.0 {
        if plain(byte) || *byte == b' ' {
            word.push(char::from(*byte));
        } else {
            let _ = write!(word, "\\x{byte:02x}");
        }
    }
    word.push('\'');
    word
}

/// A format for `printf` that prints exactly these bytes, NUL included.
fn format_text(text: &Text) -> String {
    let mut word = String::from("'");
    for byte in &text.0 {
        if byte.is_ascii_alphanumeric() || b" .,:;/_-+=(){}[]<>\"@#!?".contains(byte) {
            word.push(char::from(*byte));
        } else {
            let _ = write!(word, "\\{byte:03o}");
        }
    }
    word.push('\'');
    word
}
