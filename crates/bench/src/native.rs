//! Sandboxes of this process: the rows below HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use driver_native::{Config, NativeDriver, RootDirectory};
use sandbox::{Driver as _, ExecRequest, Limits, Sandbox, SandboxId, SandboxSpec, Termination};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::host;
use crate::report::Row;

/// How long throughput is measured.
const THROUGHPUT_TIME: Duration = Duration::from_secs(3);

/// Idle sandboxes whose memory is measured.
const IDLE: usize = 64;

/// A driver of our own.
#[derive(Clone, Debug)]
pub(crate) struct Native {
    driver: Arc<NativeDriver>,
    number: Arc<AtomicU64>,
}

impl Native {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let config = Config {
            root: RootDirectory::Host,
            layer_roots: Vec::new(),
            runtime_directory: None,
            // What is measured has all its walls.
            allow_missing: std::collections::BTreeSet::new(),
            launcher: None,
        };
        let driver = NativeDriver::start(config).await.context("the native driver does not start here")?;
        Ok(Self { driver: Arc::new(driver), number: Arc::new(AtomicU64::new(0)) })
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        Ok(self.driver.shutdown().await?)
    }

    pub(crate) async fn create(&self, limits: Limits) -> anyhow::Result<Sandbox> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let id = SandboxId::new(format!("bench-{number}")).context("a good name")?;
        let spec = SandboxSpec { id, limits, lifetime: Duration::from_secs(120), layers: Vec::new() };
        Ok(Sandbox::create(&*self.driver, &spec).await?)
    }

    /// A sandbox from nothing to nothing, with one program in between.
    pub(crate) async fn cold_true(&self) -> anyhow::Result<()> {
        let mut sandbox = self.create(Limits::standard()).await?;
        run(&mut sandbox, &["/usr/bin/true"]).await?;
        Ok(sandbox.destroy().await?)
    }

    /// Sandboxes per second, and programs per second on the host, with as many workers as there are CPUs.
    pub(crate) async fn throughput(&self) -> anyhow::Result<Vec<Row>> {
        let workers = std::thread::available_parallelism()?.get();
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            let native = self.clone();
            tasks.spawn(async move {
                let mut count = 0_u32;
                while begun.elapsed() < THROUGHPUT_TIME {
                    native.cold_true().await?;
                    count += 1;
                }
                anyhow::Ok(count)
            });
        }
        let mut sandboxes = 0;
        while let Some(count) = tasks.join_next().await {
            sandboxes += count??;
        }
        let sandboxes = f64::from(sandboxes) / begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                std::thread::spawn(move || {
                    let mut count = 0_u32;
                    while begun.elapsed() < THROUGHPUT_TIME {
                        host::run_true()?;
                        count += 1;
                    }
                    anyhow::Ok(count)
                })
            })
            .collect();
        let mut programs = 0;
        for thread in threads {
            programs += thread.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        let programs = f64::from(programs) / begun.elapsed().as_secs_f64();
        Ok(vec![
            Row::figure("sandboxes per second (create, true, destroy)", sandboxes, "/s", None),
            Row::figure("fork+exec of true per second on the host", programs, "/s", None),
        ])
    }

    /// Memory of a sandbox in which nothing runs: the proportional share of its init, and what the machine has less.
    pub(crate) async fn idle_memory(&self) -> anyhow::Result<Vec<Row>> {
        let before = memory_available()?;
        let inits_before = inits()?;
        let mut parked = Vec::new();
        for _ in 0..IDLE {
            parked.push(self.create(Limits::standard()).await?);
        }
        let inits: Vec<u32> = inits()?.into_iter().filter(|pid| !inits_before.contains(pid)).collect();
        ensure!(inits.len() == IDLE, "{} inits for {IDLE} sandboxes", inits.len());
        let mut share = 0.0;
        for pid in inits {
            share += proportional_share(pid)?;
        }
        let count = f64::from(u32::try_from(IDLE)?);
        let less = (before - memory_available()?) / count;
        for sandbox in parked {
            sandbox.destroy().await?;
        }
        Ok(vec![
            Row::figure(
                "memory of an idle sandbox, share of its process",
                share / count / 1024.0,
                "MiB",
                Some(0.7),
            ),
            Row::figure("memory of an idle sandbox, what the machine has less", less / 1024.0, "MiB", None),
        ])
    }
}

/// Runs a program that must end well.
pub(crate) async fn run(sandbox: &mut Sandbox, argv: &[&str]) -> anyhow::Result<()> {
    let request = ExecRequest {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
        cwd: "/workspace".to_owned(),
        stdin: None,
        timeout: Duration::from_secs(60),
        grace: Limits::GRACE,
        stream_limit: Some(100_000),
    };
    let outcome = sandbox.exec(&request, &CancellationToken::new(), &mut |_, _| {}).await?;
    ensure!(outcome.termination == Termination::Exited(0), "{argv:?} in the sandbox: {outcome:?}");
    Ok(())
}

/// KiB that programs could still get.
fn memory_available() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    kibibytes(&text, "MemAvailable:").context("no MemAvailable")
}

/// KiB of a process, with what it shares counted in parts.
fn proportional_share(pid: u32) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    kibibytes(&text, "Pss:").context("no Pss")
}

fn kibibytes(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())
}

/// Processes on this machine that are some sandbox's init.
fn inits() -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end while we look.
        if std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"init\0") {
            found.push(pid);
        }
    }
    Ok(found)
}
