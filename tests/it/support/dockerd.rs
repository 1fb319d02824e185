//! A Docker daemon of a test's own: its own data, no network, and gone with all of its containers at the end.

use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use super::{
    require::prepare,
    wait::{until, within},
};

pub(crate) struct Dockerd {
    child: Child,
    directory: TempDir,
}

impl Dockerd {
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let place = |name: &str| directory.path().join(name).display().to_string();
        let log = File::create(directory.path().join("log")).unwrap();
        let child = Command::new("dockerd")
            .args(["--data-root", &place("data"), "--exec-root", &place("exec"), "--pidfile", &place("pid")])
            .args(["-H", &format!("unix://{}", place("socket")), "--bridge=none", "--iptables=false"])
            .args(["--ip-forward=false", "--ip-masq=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let this = Self { child, directory };
        until("the Docker daemon answers", Duration::from_secs(60), || {
            this.docker().arg("version").output().unwrap().status.success().then_some(())
        });
        this
    }

    /// What `DOCKER_HOST` has to be.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.directory.path().join("socket").display())
    }

    pub(crate) fn docker(&self) -> Command {
        let mut docker = Command::new("docker");
        docker.env("DOCKER_HOST", self.host()).stdin(Stdio::null());
        docker
    }

    /// Runs a command of Docker that must succeed, and returns what it printed.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let done = self.docker().args(args).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{args:?}: {said}{}", String::from_utf8_lossy(&done.stderr));
        said.trim().to_owned()
    }

    /// What a container wrote, on both streams.
    pub(crate) fn logs(&self, container: &str) -> String {
        let done = self.docker().args(["logs", container]).output().unwrap();
        String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
    }

    /// What it keeps below a name.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let running = self.docker().args(["ps", "--all", "--quiet"]).output().unwrap();
        for id in String::from_utf8_lossy(&running.stdout).lines() {
            let _ = self.docker().args(["rm", "--force", "--volumes", id]).output();
        }
        prepare(Command::new("kill").arg(self.child.id().to_string()));
        if within(Duration::from_secs(30), || self.child.try_wait().unwrap()).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
