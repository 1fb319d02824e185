//! The README, read as a stranger does: its commands are taken out of it and run.

use std::{
    env, fs,
    io::Read as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    require::require,
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
    let commands = commands.replace("/tmp/", &format!("{}/", place.path().display()));
    let path = format!("{}:{}", executable().parent().unwrap().display(), env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &commands]).current_dir(repository()).env("PATH", path);
    shell.env("XDG_CACHE_HOME", cache());
    shell
}

struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn the_commands_for_a_platform_work_as_they_stand() {
    if !require("native") || !require("cgroup") || !require("uv") {
        return;
    }
    let place = TempDir::new().unwrap();
    let [serve] = <[String; 1]>::try_from(blocks("skillbox serve --listen unix:")).unwrap();
    let mut serving = Serving(
        shell(&format!("exec {serve}"), &place).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap(),
    );
    let socket = place.path().join("skillbox.sock");
    until("the server listens", Duration::from_secs(60), || {
        if let Some(status) = serving.0.try_wait().unwrap() {
            let mut text = String::new();
            serving.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
            panic!("the server ended with {status}: {text}");
        }
        socket.exists().then_some(())
    });
    let [call, told] = <[String; 2]>::try_from(blocks("curl")).unwrap();
    let called = shell(&call, &place).output().unwrap();
    let answer: Value = serde_json::from_slice(&called.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&called.stdout)));
    assert_eq!(answer["toolResults"][0]["result"]["exitCode"], 0, "{answer}");
    let file = &answer["toolResults"][0]["files"][0];
    assert_eq!(
        (file["filename"].as_str(), file["mediaType"].as_str()),
        (Some("qrcode.png"), Some("image/png"))
    );
    let told = shell(&told, &place).output().unwrap();
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success(), "{text}");
    assert!(text.contains("octavus_skill_run") && text.contains("available_skills"), "{text}");
}

/// The words of the main command, with another place for what it makes.
#[test]
fn the_first_command_makes_a_code_that_can_be_scanned() {
    if !require("native") || !require("uv") || !require("zbar") {
        return;
    }
    let place = TempDir::new().unwrap();
    let [command] = <[String; 1]>::try_from(blocks("cargo run --release -- ")).unwrap();
    let (build, run) = command.split_once(" -- ").unwrap();
    assert_eq!(build, "cargo run --release");
    let out = place.path().join("out");
    let run = format!("skillbox {}", run.replace("-o out", &format!("-o {}", out.display())));
    let ran = shell(&run, &place).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let scanned = Command::new("zbarimg").args(["--quiet", "--raw"]).arg(out.join("qrcode.png")).output();
    assert_eq!(String::from_utf8_lossy(&scanned.unwrap().stdout), "https://octavus.ai\n");
}
