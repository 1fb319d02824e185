//! Measures what the project promises about speed: every figure is a ratio against something measured in the same
//! run, in shuffled order, with the median of the per-round ratios and a bootstrap interval.
//!
//! The reference is measured under two names; where those differ by more than chance, the machine was too busy and
//! the run says that it is void. Every measured operation checks its result: nothing wins by failing.
//!
//! Two processes take part: this one, which holds sandboxes of its own for the rows below HTTP, and a real
//! `skillbox serve` for the rows through it.

mod capture;
mod cases;
mod docker;
mod host;
mod http;
mod native;
mod neighbours;
mod report;
mod s3;
mod statistics;
mod validation;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

/// Measure skillbox against the host
#[derive(Debug, clap::Parser)]
struct Arguments {
    /// The skillbox executable to serve with
    #[arg(long, default_value = "target/release/skillbox")]
    skillbox: PathBuf,
    /// Counted rounds; two more are thrown away first
    #[arg(long, default_value_t = 40)]
    rounds: usize,
    /// Write all figures to this file, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// The image for the rows of the docker driver
    #[arg(long, default_value = "skillbox/slim")]
    docker_image: String,
    /// Measure nothing but the docker driver
    #[arg(long)]
    docker_only: bool,
    /// Leave out the rows that move a gigabyte
    #[arg(long)]
    short: bool,
    /// Only the rows of S3
    #[arg(long)]
    only_s3: bool,
    /// Only the rows of checking skills
    #[arg(long)]
    only_validate: bool,
    /// The command of the reference library, to compare with
    #[arg(long, default_value = "target/tools/skills-ref/bin/agentskills")]
    skills_ref: PathBuf,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(driver_native::LAUNCHER_COMMAND) {
        return driver_native::run_launcher();
    }
    let arguments = Arguments::parse();
    match tokio::runtime::Runtime::new()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(&arguments)))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let before = report::Machine::now();
    if arguments.only_s3 {
        report::print(&before, &s3::rows(arguments.short).await?);
        return Ok(());
    }
    if arguments.only_validate {
        let rows = validation::rows(&arguments.skillbox, &arguments.skills_ref, arguments.rounds)?;
        report::print(&before, &rows);
        return Ok(());
    }
    if arguments.docker_only {
        let rows = docker::rows(&arguments.docker_image, arguments.rounds).await?;
        report::print(&before, &rows);
        return Ok(());
    }
    let native = native::Native::start().await?;
    let server = http::Server::start(&arguments.skillbox)?;
    let mut rows = cases::paired(&native, &server, arguments.rounds).await?;
    rows.extend(native.throughput().await?);
    rows.extend(native.idle_memory().await?);
    rows.push(neighbours::row(&native).await?);
    rows.extend(capture::rows(&native, arguments.short).await?);
    rows.extend(s3::rows(arguments.short).await?);
    rows.extend(docker::rows(&arguments.docker_image, arguments.rounds).await?);
    rows.extend(validation::rows(&arguments.skillbox, &arguments.skills_ref, arguments.rounds)?);
    server.stop()?;
    native.stop().await?;
    report::print(&before, &rows);
    if let Some(path) = &arguments.json {
        report::write_json(path, &before, &rows)?;
    }
    Ok(())
}
