//! uv and pip: how each is found and what it is asked to do.
//!
//! Both are asked the same two things: to resolve requirements into a lock with hashes, and to unpack what the lock
//! names into a directory. Both are told in every command to take wheels only, so that nothing of a package runs:
//! unpacking a wheel executes no code of it, building a source package would. Both run in a [`Room`], where they see one
//! index, and no settings of anybody.
//!
//! pip evaluates markers and tags with the interpreter that runs it, so it always runs in the target's interpreter:
//! as `python -m pip`, or as another pip with `--python`.

use std::{
    ffi::OsString,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

use crate::{
    environment::{find_program, find_programs},
    error::LayerError,
    failure::explain,
    index::Fault,
    lock::{LockedPackage, read_pip, read_uv},
    python::Target,
    requirement::normalize,
    room::Room,
};

/// Variables of whoever runs the runner; its path says where the tools are.
type Variables = [(OsString, OsString)];

/// Bound on a lock or report of a tool.
const MAX_OUTPUT: u64 = 64 * 1024 * 1024;

/// The first pip that can report what it would install, and the first that takes `--python`.
const PIP_WITH_REPORT: (u32, u32) = (22, 2);
const PIP_WITH_PYTHON: (u32, u32) = (22, 3);

/// Which tool may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// uv when present, else pip.
    Any,
    /// Only uv.
    Uv,
    /// Only pip.
    Pip,
}

/// A tool that works, with the beginning of its command lines.
#[derive(Debug)]
pub(crate) struct Tool {
    kind: Kind,
    argv: Vec<OsString>,
    /// `uv 0.13.8`
    pub(crate) name: String,
    interpreter: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Uv,
    Pip,
}

impl Tool {
    /// The tool to use, or what was tried.
    pub(crate) async fn find(
        choice: ToolChoice,
        target: &Target,
        variables: &Variables,
        room: &Room,
    ) -> Result<Self, FindError> {
        let mut tried = Vec::new();
        let interpreter = interpreter(target, variables);
        if let Some(python) = &interpreter {
            show(room, python, 0);
        }
        if choice != ToolChoice::Pip {
            let found = find_programs(variables, "uv");
            if found.is_empty() {
                tried.push("`uv` is not on the path".to_owned());
            }
            for uv in found {
                show(room, &uv, 0);
                let argv = vec![uv.into(), "--no-config".into()];
                match version(&argv, room).await? {
                    Ok((_, name)) => return Ok(Self { kind: Kind::Uv, argv, name, interpreter }),
                    Err(reason) => tried.push(reason),
                }
            }
        }
        if choice != ToolChoice::Uv {
            let Some(python) = interpreter else {
                tried.push(format!("pip needs `python{}`, which is not on the path", target.version));
                return Err(FindError::None(tried));
            };
            for (argv, with_python) in pip_candidates(&python, variables) {
                let least = if with_python { PIP_WITH_PYTHON } else { PIP_WITH_REPORT };
                if let Some(program) = argv.first() {
                    show(room, Path::new(program), 0);
                }
                match version(&argv, room).await? {
                    Ok((version, name)) if version >= least => {
                        let mut argv = argv;
                        if with_python {
                            argv.extend(["--python".into(), python.clone().into()]);
                        }
                        return Ok(Self { kind: Kind::Pip, argv, name, interpreter: Some(python) });
                    }
                    Ok((_, name)) => tried.push(format!("{name} is older than {}.{}", least.0, least.1)),
                    Err(reason) => tried.push(reason),
                }
            }
        }
        Err(FindError::None(tried))
    }

    /// Resolves requirement lines into a lock. Downloads metadata, and with pip the wheels.
    pub(crate) async fn lock(
        &self,
        lines: &[String],
        target: &Target,
        room: &Room,
    ) -> Result<Vec<LockedPackage>, LayerError> {
        let input = room.work.join("requirements.txt");
        let output = room.work.join("resolved");
        write(&input, &format!("--index-url {}\n{}\n", room.index_url(), lines.join("\n")))?;
        let mut argv = self.argv.clone();
        match self.kind {
            Kind::Uv => {
                argv.extend(words(&[
                    "pip",
                    "compile",
                    "--quiet",
                    "--only-binary",
                    ":all:",
                    "--generate-hashes",
                ]));
                argv.extend(words(&["--no-header", "--no-annotate", "--no-strip-extras"]));
                argv.extend(self.uv_target(target));
                argv.extend(["--output-file".into(), output.clone().into(), input.into()]);
            }
            Kind::Pip => {
                argv.extend(words(&["install", "--dry-run", "--ignore-installed", "--quiet"]));
                argv.extend(words(&PIP_ALONE));
                argv.extend(words(&[
                    "--only-binary=:all:",
                    "--no-user",
                    "--progress-bar=off",
                    "--no-compile",
                ]));
                // Never written to by a dry run; it keeps the checks of an installation into the system away.
                argv.extend(["--target".into(), room.work.join("unused").into()]);
                argv.extend(["--report".into(), output.clone().into(), "--requirement".into(), input.into()]);
            }
        }
        self.run(&argv, target, room).await?;
        let text = read(&output)?;
        let lock = match self.kind {
            Kind::Uv => read_uv(&text),
            Kind::Pip => read_pip(&text),
        };
        lock.map_err(|reason| LayerError::Failed {
            package: None,
            reason: format!("{} did not answer as expected: {reason}", self.name),
            tool: self.name.clone(),
            detail: text,
        })
    }

    /// Unpacks exactly what a lock file names. Dependencies are not looked for again.
    pub(crate) async fn install(
        &self,
        lock: &str,
        directory: &Path,
        target: &Target,
        room: &Room,
    ) -> Result<(), LayerError> {
        let input = room.work.join("lock.txt");
        write(&input, &format!("--index-url {}\n{lock}", room.index_url()))?;
        let mut argv = self.argv.clone();
        match self.kind {
            Kind::Uv => {
                argv.extend(words(&["pip", "install", "--quiet", "--only-binary", ":all:", "--no-deps"]));
                // Copies, because a file shared with uv's cache would be changed there when it is made read-only.
                argv.extend(words(&["--require-hashes", "--link-mode", "copy", "--no-compile-bytecode"]));
                argv.extend(self.uv_target(target));
            }
            Kind::Pip => {
                argv.extend(words(&["install"]));
                argv.extend(words(&PIP_ALONE));
                argv.extend(words(&["--ignore-installed", "--quiet", "--only-binary=:all:", "--no-deps"]));
                argv.extend(words(&["--require-hashes", "--no-user", "--progress-bar=off", "--no-compile"]));
                argv.push("--no-warn-script-location".into());
            }
        }
        argv.extend(["--target".into(), directory.into(), "--requirement".into(), input.into()]);
        self.run(&argv, target, room).await
    }

    fn uv_target(&self, target: &Target) -> Vec<OsString> {
        let mut words = vec!["--python-version".into(), target.version.to_string().into()];
        match &self.interpreter {
            Some(python) => words.extend(["--python".into(), python.into()]),
            None => words.extend(["--python-platform".into(), target.platform.to_string().into()]),
        }
        words
    }

    async fn run(&self, argv: &[OsString], target: &Target, room: &Room) -> Result<(), LayerError> {
        let finished = room.run(argv).await?;
        if finished.success() {
            return Ok(());
        }
        let mut output = finished.stderr + &finished.stdout;
        if finished.code.is_none_or(|code| code > 128) {
            output.push_str("\nerror: it was ended, probably for its use of memory or time");
        }
        // What the mirror has seen is nearer to the cause than what a tool makes of it.
        let failed = |package: String, reason: String| LayerError::Failed {
            package: Some(package),
            reason,
            tool: self.name.clone(),
            detail: output.clone(),
        };
        match room.mirror.fault() {
            Some(Fault::Index { package, error }) => {
                return Err(LayerError::Index { package, reason: error.to_string() });
            }
            Some(Fault::Package { package, reason }) => return Err(failed(package, reason)),
            Some(Fault::Disk { reason }) => {
                return Err(io_error("write below", &room.watched, std::io::Error::other(reason)));
            }
            None => {}
        }
        match explain(&self.name, &output, target) {
            LayerError::Failed { package: Some(package), .. }
                if room.mirror.has_only_sources(&normalize(crate::failure::bare(&package).trim())) =>
            {
                Err(failed(package, "it has no wheel, and source packages are never built".to_owned()))
            }
            error => Err(error),
        }
    }
}

/// What pip is to look for nowhere, and to do never.
const PIP_ALONE: [&str; 7] = [
    "--isolated",
    "--no-cache-dir",
    "--disable-pip-version-check",
    "--no-input",
    "--retries=0",
    // The runner waits for the index, pip for the runner.
    "--timeout=3600",
    "--no-warn-conflicts",
];

/// Why there is no tool.
#[derive(Debug)]
pub(crate) enum FindError {
    /// What was tried, and why it does not do.
    None(Vec<String>),
    /// No room.
    Layer(LayerError),
}

impl From<LayerError> for FindError {
    fn from(error: LayerError) -> Self {
        Self::Layer(error)
    }
}

/// The target's interpreter, or one of its version on the path when the target is elsewhere.
fn interpreter(target: &Target, variables: &Variables) -> Option<PathBuf> {
    let named = || find_program(variables, &format!("python{}", target.version));
    target.interpreter.clone().or_else(named)
}

/// Lets a room see a program of this machine: the file, for an interpreter what it stands in, and for a script its
/// interpreter.
fn show(room: &Room, program: &Path, depth: usize) {
    let Ok(file) = fs::canonicalize(program) else { return };
    for path in [program, &file] {
        room.show(path.to_owned());
        let prefix = path.parent().and_then(Path::parent);
        let is_python =
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("python"));
        if let Some(prefix) = prefix.filter(|prefix| is_python && is_prefix(prefix)) {
            room.show(prefix.to_owned());
        }
    }
    let mut head = [0; 256];
    let read = fs::File::open(&file).and_then(|mut file| file.read(&mut head)).unwrap_or(0);
    let first = head[..read].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let interpreter = first.strip_prefix(b"#!").and_then(|line| std::str::from_utf8(line).ok());
    if let Some(interpreter) =
        interpreter.and_then(|line| line.split_whitespace().next()).filter(|_| depth < 2)
    {
        show(room, Path::new(interpreter), depth + 1);
    }
}

/// Whether a directory is a Python of its own, not only one that a program lies in.
fn is_prefix(directory: &Path) -> bool {
    directory.join("pyvenv.cfg").is_file()
        || fs::read_dir(directory.join("lib")).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                entry.file_name().to_string_lossy().starts_with("python3")
                    && entry.path().join("os.py").is_file()
            })
        })
}

/// Command lines that may be a pip, with whether they have to be pointed at the interpreter.
fn pip_candidates(python: &Path, variables: &Variables) -> Vec<(Vec<OsString>, bool)> {
    let module = |python: PathBuf| vec![python.into(), "-m".into(), "pip".into()];
    let mut candidates = vec![(module(python.to_owned()), false)];
    for name in ["pip3", "pip"] {
        candidates.extend(find_programs(variables, name).into_iter().map(|pip| (vec![pip.into()], true)));
    }
    candidates.extend(find_program(variables, "python3").map(|python| (module(python), true)));
    candidates
}

/// The version of a tool (`pip 23.0.1 from …`, `uv 0.13.8 (…)`) with its name in short, or why there is none.
async fn version(argv: &[OsString], room: &Room) -> Result<Result<((u32, u32), String), String>, LayerError> {
    let mut command = argv.to_vec();
    command.push("--version".into());
    let shown = argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let finished = room.run(&command).await?;
    let mut words = finished.stdout.split_whitespace();
    let parsed = match (finished.success(), words.next(), words.next()) {
        (true, Some(name), Some(version)) => {
            let mut numbers = version.split('.').map_while(|part| part.parse().ok());
            numbers.next().zip(numbers.next()).map(|numbers| (numbers, format!("{name} {version}")))
        }
        _ => None,
    };
    Ok(parsed.ok_or_else(|| {
        let reason = finished.stderr.trim().lines().next_back().unwrap_or("it does not tell its version");
        format!("`{shown}`: {reason}")
    }))
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn write(path: &Path, text: &str) -> Result<(), LayerError> {
    fs::write(path, text).map_err(|source| io_error("write", path, source))
}

/// What a tool has written: a plain file, since it could have made it a link to anything.
fn read(path: &Path) -> Result<String, LayerError> {
    let failed = |source| io_error("read", path, source);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    let file = fs::File::from(file);
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(std::io::ErrorKind::InvalidData.into()));
    }
    let mut text = String::new();
    file.take(MAX_OUTPUT).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn io_error(action: &'static str, path: &Path, source: std::io::Error) -> LayerError {
    LayerError::Io { action, path: path.to_owned(), source }
}
