//! `skillbox image build` and `skillbox image ls`: root directories for sandboxes, made here from packages.
//!
//! The work is done by the recipe, a shell script; this module gives it a place, shows what it says, and puts what comes
//! of it where it was wanted.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_util::sync::CancellationToken;

use crate::{
    args::{Image, ImageBuild, ImageFormat},
    error::{CommandError, Kind},
    escape,
    exit::Exit,
    images::{self, Contents, Stored},
    interrupt,
    output::{self, Output},
    sandboxes,
    units::show_size,
};

/// The exit code of the recipe where a program is missing.
const UNAVAILABLE: i32 = 69;
/// Lines of the recipe's output that are kept for an error.
const KEPT_LINES: usize = 60;
/// What the recipe makes.
const TAR: &str = "rootfs.tar";

pub(crate) fn execute(command: &Image, output: Output) -> Result<Exit, CommandError> {
    match command {
        Image::Build(build) => make(build, output),
        Image::Ls => list(output),
    }
}

fn make(command: &ImageBuild, output: Output) -> Result<Exit, CommandError> {
    let name = command.image.as_str();
    let is_docker = command.format == ImageFormat::Docker;
    if (command.tag.is_some() && !is_docker) || (command.output.is_some() && is_docker) {
        return Err(CommandError::usage(
            "`--tag` is for `--format docker`, and `--output` for the other formats",
        ));
    }
    let place = match &command.output {
        Some(directory) => sandboxes::absolute(directory)?,
        None => images::store()?.join(name),
    };
    let failed = |error| CommandError::io(format!("cannot write below `{}`", place.display()), &error);
    std::fs::create_dir_all(&place).map_err(failed)?;
    // Beside the result, so that it is put in place by renaming; removed if anything fails.
    let work = tempfile::Builder::new().prefix(".image-").tempdir_in(&place).map_err(failed)?;
    let digest = interrupt::block_on(async |interrupt| {
        run_recipe(name, work.path(), output, interrupt.token()).await
    })?;
    let contents = Contents::read(&work.path().join(images::PACKAGES))?;
    let bytes = std::fs::metadata(work.path().join(TAR)).map_err(failed)?.len();
    let made = match command.format {
        ImageFormat::Tar => {
            let tar = place.join(format!("{name}.tar"));
            std::fs::rename(work.path().join(TAR), &tar).map_err(failed)?;
            shown(&tar)
        }
        ImageFormat::Docker => import(command, &work.path().join(TAR), &digest, &contents, output)?,
        ImageFormat::Directory => {
            unpack(&work)?;
            if command.output.is_some() {
                replace(&work.path().join(images::ROOT), &place.join(images::ROOT)).map_err(failed)?;
                shown(&place.join(images::ROOT))
            } else {
                let made = work.path().with_file_name(format!(".built-{}", std::process::id()));
                std::fs::rename(work.path(), &made).map_err(failed)?;
                shown(&images::put(name, &digest, &made).map_err(failed)?)
            }
        }
    };
    if output.json {
        let node = contents.node.as_ref().map(|node| node.version.as_str());
        output.print_json(&json!({
            "schemaVersion": 1, "image": name, "format": command.format.as_str(), "place": made, "digest": digest,
            "bytes": bytes, "python": contents.python.version, "node": node,
        }))?;
    } else {
        output::print(&format!("{made}\n"))?;
        output.note(&format!("  {}, {digest}", show_size(bytes)));
        match command.format {
            ImageFormat::Directory if command.output.is_none() => {
                output.hint(&format!("use it with `--rootfs {name}`"));
            }
            ImageFormat::Directory => output.hint(&format!("use it with `--rootfs {made}`")),
            ImageFormat::Docker | ImageFormat::Tar => {}
        }
    }
    Ok(Exit::OK)
}

/// Runs the recipe and returns the digest of the tar that it made. When it is cancelled, everything that the recipe started
/// is told to end, and has ended when this returns.
async fn run_recipe(
    name: &str,
    out: &Path,
    output: Output,
    cancel: &CancellationToken,
) -> Result<String, CommandError> {
    let failed = |error| CommandError::io("the recipe cannot be run", &error);
    let recipe = TempDir::new().map_err(failed)?;
    images::recipe::write(recipe.path()).map_err(failed)?;
    let mut script = tokio::process::Command::new("bash");
    script.arg(recipe.path().join("build.sh")).arg(name).arg(out).stdin(Stdio::null());
    // A group of its own: mmdebstrap waits for what it has started, so all of it has to be told.
    script.process_group(0);
    let mut child = script.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let stderr = child.stderr.take().ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
    let mut lines = BufReader::new(stderr).split(b'\n');
    let mut said: Vec<String> = Vec::new();
    let mut is_told = false;
    loop {
        let line = tokio::select! {
            line = lines.next_segment() => line.map_err(failed)?,
            () = cancel.cancelled(), if !is_told => {
                is_told = true;
                // It may have ended just now.
                _ = group.map(|group| kill_process_group(group, Signal::TERM));
                continue;
            }
        };
        let Some(line) = line else { break };
        let line = String::from_utf8_lossy(&line).into_owned();
        if !line.starts_with("error: ") && !line.starts_with("hint: ") {
            output.note(&format!("  {}", escape::line(&line)));
        }
        said.push(line);
    }
    let done = child.wait_with_output().await.map_err(failed)?;
    if is_told {
        return Err(CommandError::interrupted());
    }
    let digest = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    if done.status.success() && digest.starts_with("sha256:") {
        return Ok(digest);
    }
    let word = |mark: &str| said.iter().rev().find_map(|line| line.strip_prefix(mark)).map(str::to_owned);
    let message =
        word("error: ").unwrap_or_else(|| format!("the image `{name}` could not be built: {}", done.status));
    let (kind, code) = match done.status.code() {
        Some(UNAVAILABLE) => (Kind::Configuration, "TOOL_MISSING"),
        _ => (Kind::Internal, "IMAGE_FAILED"),
    };
    let mut error = CommandError::new(kind, code, message);
    let begin = said.len().saturating_sub(KEPT_LINES);
    error.detail = Some(said[begin..].join("\n").into());
    Err(match word("hint: ") {
        Some(hint) => error.hint(hint),
        None => error.hint("what is above says why; the package sources must be reachable to build an image"),
    })
}

/// The tar as a directory beside it. Root keeps the owners of files; for anybody else they belong to who unpacks them.
fn unpack(work: &TempDir) -> Result<(), CommandError> {
    let root = work.path().join(images::ROOT);
    let failed = |error| CommandError::io(format!("cannot unpack to `{}`", root.display()), &error);
    std::fs::create_dir(&root).map_err(failed)?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--numeric-owner", "--preserve-permissions", "--directory"]).arg(&root);
    tar.arg("--file").arg(work.path().join(TAR)).stdin(Stdio::null());
    succeed(&mut tar, "the image could not be unpacked")?;
    std::fs::remove_file(work.path().join(TAR)).map_err(failed)
}

/// Puts a directory in the place of another one.
fn replace(new: &Path, place: &Path) -> std::io::Result<()> {
    if place.exists() {
        let old = new.with_file_name("old");
        std::fs::rename(place, &old)?;
    }
    std::fs::rename(new, place)
}

/// Gives the tar to Docker, with what a container needs to know and what tells the image apart.
fn import(
    command: &ImageBuild,
    tar: &Path,
    digest: &str,
    contents: &Contents,
    output: Output,
) -> Result<String, CommandError> {
    let name = command.image.as_str();
    let tag = command.tag.clone().unwrap_or_else(|| format!("skillbox/{name}:latest"));
    let client = docker().ok_or_else(|| {
        CommandError::new(Kind::Configuration, "TOOL_MISSING", "neither docker nor podman is installed")
            .hint("install one, or take `--format tar` and import that file elsewhere")
    })?;
    let changes = [
        "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        "ENV LANG=C.UTF-8".to_owned(),
        "USER 1000:1000".to_owned(),
        "WORKDIR /workspace".to_owned(),
        "CMD [\"/usr/bin/python3\"]".to_owned(),
        format!("LABEL skillbox.image={name}"),
        format!("LABEL skillbox.digest={digest}"),
        format!("LABEL skillbox.python={}", contents.python.version),
        format!("LABEL org.opencontainers.image.title=skillbox/{name}"),
    ];
    let mut import = Command::new(&client);
    import.arg("import").stdin(Stdio::null());
    for change in &changes {
        import.args(["--change", change]);
    }
    import.arg(tar).arg(&tag);
    output.note(&format!("  importing into {}", client.display()));
    succeed(&mut import, "the image could not be imported")?;
    Ok(tag)
}

fn docker() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let find =
        |name: &str| std::env::split_paths(&path).map(|place| place.join(name)).find(|file| file.is_file());
    find("docker").or_else(|| find("podman"))
}

/// Runs a program that must succeed; what it said is the cause of the error where it did not.
fn succeed(command: &mut Command, message: &str) -> Result<(), CommandError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done = command
        .output()
        .map_err(|error| CommandError::io(format!("`{program}` cannot be started"), &error))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    let mut error = CommandError::new(Kind::Configuration, "IMAGE_FAILED", message);
    error.causes.push(format!("`{program}` ended with {}", done.status));
    error.causes.extend(said.lines().last().map(str::to_owned));
    error.detail = Some(said.into());
    Err(error)
}

fn list(output: Output) -> Result<Exit, CommandError> {
    let mut found: Vec<Value> = images::list()?.iter().map(entry).collect();
    found.extend(in_docker(output));
    if output.json {
        output.print_json(&json!({"schemaVersion": 1, "images": found}))?;
        return Ok(Exit::OK);
    }
    if found.is_empty() {
        output.note("there are no images");
        output.hint(&format!("build one with `skillbox image build {}`", images::NAMES[0]));
    }
    let text = |entry: &Value, key: &str| escape::line(entry[key].as_str().unwrap_or("-"));
    for entry in &found {
        let digest = text(entry, "digest");
        output::print(&format!(
            "{:<10} {:<10} python {:<8} {:<19} {}\n",
            text(entry, "image"),
            text(entry, "format"),
            text(entry, "python"),
            &digest[..digest.len().min(19)],
            text(entry, "place")
        ))?;
    }
    Ok(Exit::OK)
}

fn entry(image: &Stored) -> Value {
    let packages = image.contents.python.packages.len();
    json!({
        "image": image.name, "format": ImageFormat::Directory.as_str(), "digest": image.digest,
        "python": image.contents.python.version, "pythonPackages": packages, "place": shown(&image.root),
    })
}

/// Images that Docker has. Whether there is a Docker that answers is not this command's business.
fn in_docker(output: Output) -> Vec<Value> {
    const FORM: &str = "{{.Repository}}:{{.Tag}}";
    const LABELS: &str = "{{index .Config.Labels \"skillbox.image\"}}\t{{index .Config.Labels \"skillbox.digest\"}}\t\
         {{index .Config.Labels \"skillbox.python\"}}";
    let Some(client) = docker() else { return Vec::new() };
    let ask = |args: &[&str]| {
        let done = Command::new(&client).args(args).stdin(Stdio::null()).output().ok()?;
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let Some(names) = ask(&["image", "ls", "--filter", "label=skillbox.image", "--format", FORM]) else {
        if output.verbose {
            output.note(&format!("{} does not answer", client.display()));
        }
        return Vec::new();
    };
    let described = names.lines().filter_map(|tag| {
        let labels = ask(&["image", "inspect", "--format", LABELS, tag])?;
        let mut fields = labels.trim().split('\t');
        let mut next = || fields.next().unwrap_or_default().to_owned();
        let (image, digest, python) = (next(), next(), next());
        Some(json!({
            "image": image, "format": ImageFormat::Docker.as_str(), "digest": digest, "python": python, "place": tag,
        }))
    });
    described.collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
