//! uv and pip: how each is found and what it is asked to do.
//!
//! Both are asked the same two things: to resolve requirements into a lock with hashes, and to unpack what the lock
//! names into a directory. Both are told in every command to take wheels only, so that nothing of a package runs on
//! the host: unpacking a wheel executes no code of it, building a source package would.
//!
//! pip evaluates markers and tags with the interpreter that runs it, so it always runs in the target's interpreter:
//! as `python -m pip`, or as another pip with `--python`.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    environment::find_program,
    error::LayerError,
    failure::explain,
    lock::{LockedPackage, read_pip, read_uv},
    process::{Room, run},
    python::Target,
};

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
    pub(crate) async fn find(choice: ToolChoice, target: &Target, room: &Room) -> Result<Self, Vec<String>> {
        let mut tried = Vec::new();
        let interpreter = interpreter(target, room);
        if choice != ToolChoice::Pip {
            match find_program(&room.environment, "uv") {
                Some(uv) => match version(&[uv.clone().into()], room).await {
                    Ok((_, name)) => {
                        return Ok(Self { kind: Kind::Uv, argv: vec![uv.into()], name, interpreter });
                    }
                    Err(reason) => tried.push(reason),
                },
                None => tried.push("`uv` is not on the path".to_owned()),
            }
        }
        if choice != ToolChoice::Uv {
            let Some(python) = interpreter else {
                tried.push(format!("pip needs `python{}`, which is not on the path", target.version));
                return Err(tried);
            };
            for (argv, with_python) in pip_candidates(&python, room) {
                let least = if with_python { PIP_WITH_PYTHON } else { PIP_WITH_REPORT };
                match version(&argv, room).await {
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
        Err(tried)
    }

    /// The interpreter that compiles byte code.
    pub(crate) fn interpreter(&self) -> Option<&Path> {
        self.interpreter.as_deref()
    }

    /// Resolves requirement lines into a lock. Downloads metadata, and with pip the wheels.
    pub(crate) async fn lock(
        &self,
        lines: &[String],
        target: &Target,
        room: &Room,
    ) -> Result<Vec<LockedPackage>, LayerError> {
        let input = room.watched.join("requirements.txt");
        let output = room.watched.join("resolved");
        write(&input, &(lines.join("\n") + "\n"))?;
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
                argv.extend(words(&[
                    "--only-binary=:all:",
                    "--no-user",
                    "--progress-bar=off",
                    "--no-compile",
                ]));
                // Never written to by a dry run; it keeps the checks of an installation into the system away.
                argv.extend(["--target".into(), room.watched.join("unused").into()]);
                argv.extend(["--report".into(), output.clone().into(), "--requirement".into(), input.into()]);
            }
        }
        self.run(&argv, target, room).await?;
        let text = fs::read_to_string(&output).map_err(|source| io_error("read", &output, source))?;
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
        let input = room.watched.join("lock.txt");
        write(&input, lock)?;
        let mut argv = self.argv.clone();
        match self.kind {
            Kind::Uv => {
                argv.extend(words(&["pip", "install", "--quiet", "--only-binary", ":all:", "--no-deps"]));
                // Copies, because a file shared with uv's cache would be changed there when it is made read-only.
                argv.extend(words(&["--require-hashes", "--link-mode", "copy", "--no-compile-bytecode"]));
                argv.extend(self.uv_target(target));
            }
            Kind::Pip => {
                argv.extend(words(&[
                    "install",
                    "--ignore-installed",
                    "--quiet",
                    "--only-binary=:all:",
                    "--no-deps",
                ]));
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
        let finished = run(argv, room).await?;
        match finished.success {
            true => Ok(()),
            false => Err(explain(&self.name, &(finished.stderr + &finished.stdout), target)),
        }
    }
}

/// The target's interpreter, or one of its version on the path when the target is elsewhere.
fn interpreter(target: &Target, room: &Room) -> Option<PathBuf> {
    let named = || find_program(&room.environment, &format!("python{}", target.version));
    target.interpreter.clone().or_else(named)
}

/// Command lines that may be a pip, with whether they have to be pointed at the interpreter.
fn pip_candidates(python: &Path, room: &Room) -> Vec<(Vec<OsString>, bool)> {
    let module = |python: PathBuf| vec![python.into(), "-m".into(), "pip".into()];
    let mut candidates = vec![(module(python.to_owned()), false)];
    for name in ["pip3", "pip"] {
        candidates.extend(find_program(&room.environment, name).map(|pip| (vec![pip.into()], true)));
    }
    candidates.extend(find_program(&room.environment, "python3").map(|python| (module(python), true)));
    candidates
}

/// The version of a tool (`pip 23.0.1 from …`, `uv 0.13.8 (…)`) with its name in short, or why there is none.
async fn version(argv: &[OsString], room: &Room) -> Result<((u32, u32), String), String> {
    let mut command = argv.to_vec();
    command.push("--version".into());
    let shown = argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let finished = run(&command, room).await.map_err(|error| format!("`{shown}`: {error}"))?;
    let mut words = finished.stdout.split_whitespace();
    let parsed = match (finished.success, words.next(), words.next()) {
        (true, Some(name), Some(version)) => {
            let mut numbers = version.split('.').map_while(|part| part.parse().ok());
            numbers.next().zip(numbers.next()).map(|numbers| (numbers, format!("{name} {version}")))
        }
        _ => None,
    };
    parsed.ok_or_else(|| {
        let reason = finished.stderr.trim().lines().next_back().unwrap_or("it does not tell its version");
        format!("`{shown}`: {reason}")
    })
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn write(path: &Path, text: &str) -> Result<(), LayerError> {
    fs::write(path, text).map_err(|source| io_error("write", path, source))
}

fn io_error(action: &'static str, path: &Path, source: std::io::Error) -> LayerError {
    LayerError::Io { action, path: path.to_owned(), source }
}
