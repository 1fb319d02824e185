//! Sandboxes of the docker driver against the same work asked of the daemon directly, through the same API.
//!
//! What is compared: a program in a container that runs already (our stream against the daemon's exec), and a container
//! from nothing, until its program's result is there and until it is gone. The plain container has no network and no log
//! either, and none of the walls. Without a daemon or without the image these rows are left out, with a note.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bollard::Docker;
use bollard::exec::StartExecResults;
use bollard::models::{ContainerCreateBody, ExecConfig, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use driver_docker::{Config, DockerDriver};
use futures_util::StreamExt as _;
use sandbox::{Driver as _, Limits, Sandbox, SandboxId, SandboxSpec};

use crate::native::run;
use crate::report::{self, Row};
use crate::statistics::{Random, median, median_interval};

/// Rounds at the beginning that do not count.
const WARM_UP: usize = 1;

/// The program: the same in all cases.
const PROGRAM: [&str; 3] = ["/usr/bin/bash", "-c", "true"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    SecondCall,
    Exec,
    FirstCall,
    Run,
}

/// A daemon, sandboxes by it, and a container beside them.
struct Bench {
    docker: Docker,
    driver: DockerDriver,
    image: String,
    sandbox: Sandbox,
    container: String,
}

/// The rows; none where there is no daemon.
pub(crate) async fn rows(image: &str, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let driver = match DockerDriver::start(Config::new(image)).await {
        Ok(driver) => driver,
        Err(error) => {
            report::note(&format!("no rows of the docker driver: {error}"));
            return Ok(Vec::new());
        }
    };
    let docker = Docker::connect_with_defaults()?.negotiate_version().await?;
    let container = plain(&docker, image, &["/usr/bin/sleep", "3600"]).await?;
    docker.start_container(&container, None).await?;
    let sandbox = Sandbox::create(&driver, &spec("warm")?).await?;
    let mut bench = Bench { docker, driver, image: image.to_owned(), sandbox, container };
    let rows = bench.measure(rounds).await;
    remove(&bench.docker, &bench.container).await?;
    bench.sandbox.destroy().await?;
    bench.driver.shutdown().await?;
    rows
}

impl Bench {
    async fn measure(&mut self, rounds: usize) -> anyhow::Result<Vec<Row>> {
        let mut cases = [Case::SecondCall, Case::Exec, Case::FirstCall, Case::Run];
        let mut random = Random::new();
        // For each case: milliseconds to the result, and until nothing is left.
        let mut measured: Vec<[(f64, f64); 4]> = Vec::new();
        for round in 0..rounds + WARM_UP {
            random.shuffle(&mut cases);
            let mut times = [(0.0, 0.0); 4];
            for case in cases {
                times[case as usize] = self.once(case).await?;
            }
            if round >= WARM_UP {
                measured.push(times);
            }
            report::progress(round + 1, rounds + WARM_UP);
        }
        let mut row = |name: &str, ours: Case, theirs: Case, goal, whole: bool| {
            let column = |case: Case| -> Vec<f64> {
                let times = measured.iter().map(|times| times[case as usize]);
                times.map(|(result, gone)| if whole { gone } else { result }).collect()
            };
            let (ours, theirs) = (column(ours), column(theirs));
            let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
            let (ratio, low, high) = median_interval(&ratios, &mut random);
            Row::ratio(name, ratio, (low, high), goal, (median(&ours), median(&theirs)), false)
        };
        Ok(vec![
            row("docker: second call / exec by the daemon", Case::SecondCall, Case::Exec, Some(0.05), false),
            row(
                "docker: first call / docker run, to the result",
                Case::FirstCall,
                Case::Run,
                Some(1.1),
                false,
            ),
            row("docker: first call / docker run, until it is gone", Case::FirstCall, Case::Run, None, true),
        ])
    }

    async fn once(&mut self, case: Case) -> anyhow::Result<(f64, f64)> {
        let begun = Instant::now();
        let milliseconds = || begun.elapsed().as_secs_f64() * 1000.0;
        match case {
            Case::SecondCall => run(&mut self.sandbox, &PROGRAM).await?,
            Case::Exec => self.exec().await?,
            Case::FirstCall => {
                let mut sandbox = Sandbox::create(&self.driver, &spec("cold")?).await?;
                run(&mut sandbox, &PROGRAM).await?;
                let result = milliseconds();
                sandbox.destroy().await?;
                return Ok((result, milliseconds()));
            }
            Case::Run => {
                let container = self.run().await?;
                let result = milliseconds();
                remove(&self.docker, &container).await?;
                return Ok((result, milliseconds()));
            }
        }
        Ok((milliseconds(), milliseconds()))
    }

    /// What `docker exec` asks of the daemon: its output to the end, then the exit code.
    async fn exec(&self) -> anyhow::Result<()> {
        let config = ExecConfig {
            cmd: Some(PROGRAM.map(str::to_owned).to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        let exec = self.docker.create_exec(&self.container, config).await?.id;
        match self.docker.start_exec(&exec, None).await? {
            StartExecResults::Attached { mut output, .. } => while output.next().await.is_some() {},
            StartExecResults::Detached => bail!("the daemon's exec was not attached"),
        }
        let code = self.docker.inspect_exec(&exec).await?.exit_code;
        ensure!(code == Some(0), "the daemon's exec ended with {code:?}");
        Ok(())
    }

    /// What `docker run` asks of the daemon.
    async fn run(&self) -> anyhow::Result<String> {
        let container = plain(&self.docker, &self.image, &PROGRAM).await?;
        let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
        let mut attached = self.docker.attach_container(&container, Some(options)).await?;
        self.docker.start_container(&container, None).await?;
        while attached.output.next().await.is_some() {}
        // Also true of one that has ended before it is asked.
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        let mut waiting = std::pin::pin!(self.docker.wait_container(&container, Some(options)));
        let ended = waiting.next().await.context("the daemon did not say how it ended")??;
        ensure!(ended.status_code == 0, "the container ended with {}", ended.status_code);
        Ok(container)
    }
}

fn spec(name: &str) -> anyhow::Result<SandboxSpec> {
    let id = SandboxId::new(format!("bench-{name}")).context("a good name")?;
    let lifetime = Duration::from_secs(600);
    Ok(SandboxSpec { id, limits: Limits::standard(), lifetime, layers: Vec::new() })
}

/// A container with nothing around it.
async fn plain(docker: &Docker, image: &str, argv: &[&str]) -> anyhow::Result<String> {
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(argv.iter().map(|word| (*word).to_owned()).collect()),
        cmd: Some(Vec::new()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..Default::default()
        }),
        ..Default::default()
    };
    Ok(docker.create_container(None, body).await?.id)
}

async fn remove(docker: &Docker, container: &str) -> anyhow::Result<()> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    Ok(docker.remove_container(container, Some(options)).await?)
}
