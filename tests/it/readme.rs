//! The README, read as a stranger does: its commands are taken out of it and run.

use std::{
    env, fs,
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    dockerd::Dockerd,
    images::built,
    require::{prepare, require},
    s3::{BUCKET, S3s},
    skillbox::{cache, executable, repository},
    wait::until,
};

/// The text of every block of the README that begins with this word.
fn blocks(first: &str) -> Vec<String> {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let blocks = readme.split("```\n").skip(1).step_by(2);
    blocks.filter(|block| block.starts_with(first)).map(str::to_owned).collect()
}

/// A shell with `skillbox` on its path, in the repository; what the README puts into /tmp goes to a place of the test's.
fn shell(commands: &str, place: &TempDir) -> Command {
    let commands = commands.replace("/tmp/skillbox", &format!("{}/skillbox", place.path().display()));
    let path = format!("{}:{}", executable().parent().unwrap().display(), env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &commands]).current_dir(repository()).env("PATH", path);
    shell.env("XDG_CACHE_HOME", cache());
    shell
}

struct Serving(Child);

impl Serving {
    /// Waits until it listens.
    fn start(mut command: Command, socket: &Path) -> Self {
        let mut this = Self(command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
        until("the server listens", Duration::from_secs(60), || {
            if let Some(status) = this.0.try_wait().unwrap() {
                let mut text = String::new();
                this.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
                panic!("the server ended with {status}: {text}");
            }
            socket.exists().then_some(())
        });
        this
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

/// The one file of the answer to the README's call.
#[track_caller]
fn code_image(answer: &[u8]) -> Value {
    let answer: Value = serde_json::from_slice(answer)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(answer)));
    assert_eq!(answer["toolResults"][0]["result"]["exitCode"], 0, "{answer}");
    let file = &answer["toolResults"][0]["files"][0];
    assert_eq!(
        (file["filename"].as_str(), file["mediaType"].as_str()),
        (Some("qrcode.png"), Some("image/png"))
    );
    file.clone()
}

#[test]
fn the_commands_for_a_platform_work_as_they_stand() {
    if !require("native") || !require("cgroup") || !require("uv") {
        return;
    }
    let place = TempDir::new().unwrap();
    let [serve] = <[String; 1]>::try_from(blocks("skillbox serve --listen unix:")).unwrap();
    let _serving =
        Serving::start(shell(&format!("exec {serve}"), &place), &place.path().join("skillbox.sock"));
    let [call, told] = <[String; 2]>::try_from(blocks("curl")).unwrap();
    let called = shell(&call, &place).output().unwrap();
    code_image(&called.stdout);
    let told = shell(&told, &place).output().unwrap();
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success(), "{text}");
    assert!(text.contains("octavus_skill_run") && text.contains("available_skills"), "{text}");
}

/// With a daemon and an S3 server of the test's own: only what must differ from machine to machine is replaced.
#[test]
fn the_production_set_up_works_as_it_stands() {
    if !require("docker") || !require("images") || !require("s3") || !require("curl") {
        return;
    }
    let place = TempDir::new().unwrap();
    let daemon = Dockerd::start().unwrap();
    let s3 = S3s::start();
    let tar = place.path().join("slim.tar");
    prepare(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(built("slim").root()).arg("."));
    let host = ("DOCKER_HOST", daemon.host());
    let import = ["import", "--change", "LABEL skillbox.python=3.11"];
    prepare(Command::new("docker").args(import).arg(&tar).arg("skillbox/slim").envs([host.clone()]));
    let [serve] = <[String; 1]>::try_from(blocks("export AWS_ACCESS_KEY_ID=")).unwrap();
    let (keys, serve) = serve.split_once('\n').unwrap();
    assert_eq!(keys, "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…");
    let serve = serve.replace("my-bucket", BUCKET).replace("eu-central-1", &s3.access.region);
    let mut command = shell(&format!("exec {serve}"), &place);
    command.envs([host, ("AWS_ENDPOINT_URL_S3", s3.access.endpoint.clone())]);
    command.env("AWS_ACCESS_KEY_ID", &s3.access.key).env("AWS_SECRET_ACCESS_KEY", &s3.access.secret);
    command.env("XDG_STATE_HOME", place.path().join("state"));
    let socket = place.path().join("skillbox-docker.sock");
    let _serving = Serving::start(command, &socket);
    let [call, _] = <[String; 2]>::try_from(blocks("curl")).unwrap();
    let called = shell(&call.replace("skillbox.sock", "skillbox-docker.sock"), &place).output().unwrap();
    let file = &code_image(&called.stdout);
    let png = Command::new("curl").args(["--silent", "--fail", file["url"].as_str().unwrap()]).output();
    assert!(png.unwrap().stdout.starts_with(b"\x89PNG"), "{file}");
    assert_eq!(s3.keys().len(), 1);
}

/// The words of the main command, with another place for what it makes.
#[test]
fn the_first_command_makes_a_code_that_can_be_scanned() {
    if !require("native") || !require("uv") || !require("zbar") {
        return;
    }
    let place = TempDir::new().unwrap();
    let [command] = <[String; 1]>::try_from(blocks("cargo try run ")).unwrap();
    let out = place.path().join("out");
    let run = command.replace("cargo try", "skillbox").replace("-o out", &format!("-o {}", out.display()));
    let ran = shell(&run, &place).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let scanned = Command::new("zbarimg").args(["--quiet", "--raw"]).arg(out.join("qrcode.png")).output();
    assert_eq!(String::from_utf8_lossy(&scanned.unwrap().stdout), "https://octavus.ai\n");
}

/// What a new author types, one command after the other; the folder is the only thing that differs.
#[test]
fn an_author_comes_from_nothing_to_a_bundle() {
    if !require("native") {
        return;
    }
    let place = TempDir::new().unwrap();
    let [commands] = <[String; 1]>::try_from(blocks("skillbox new word-count")).unwrap();
    let ran = shell(&commands, &place).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{stdout}{stderr}");
    assert!(stderr.contains("passed") || stdout.contains("passed"), "{stdout}{stderr}");
    assert!(place.path().join("skillbox-author/word-count.skill").is_file(), "{stdout}{stderr}");
}
