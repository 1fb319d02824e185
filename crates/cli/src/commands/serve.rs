//! `skillbox serve`: the runner behind HTTP, until a signal ends it.
//!
//! ```text
//!   configuration → driver, reap → store: check, sweep → skills → listen → READY → signal → drain → 0
//!                                                                            └ second signal → stop now → 1
//! ```

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use artifact::Retention;
use data_encoding::BASE64URL_NOPAD;
use runner::{Config, Parts, Runner};
use server::{Listen, ServeError, Server};
use skill::{Catalog, SourceLimits};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    args::{Global, Serve},
    error::{CommandError, Kind},
    exit::Exit,
    log, memory, options,
    output::Output,
    sandboxes, skills,
    store::{self, Opened},
};

/// Between two looks for skills that have changed.
const LOOK: Duration = Duration::from_secs(2);

pub(crate) fn execute(command: &Serve, global: &Global, output: Output) -> Result<Exit, CommandError> {
    log::of_server(global);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::io("the runtime cannot be started", &error))?;
    let result = runtime.block_on(run(command, global, output));
    runtime.shutdown_background();
    result.map_err(CommandError::without_a_program)
}

async fn run(command: &Serve, global: &Global, output: Output) -> Result<Exit, CommandError> {
    let mut signals = Signals::listen()?;
    let token_file = token_file(command, output)?;
    let listen = choose_ports(&command.listen)?;
    let catalog = open_skills(command, output)?;
    let base = command.public_url.clone().unwrap_or_else(|| base_url(&listen));
    let Opened { store, signed_urls } = store::open(command, base).await?;
    let cache = sandboxes::layer_cache()?;
    let (driver, target) = sandboxes::start_driver(global, &cache, &command.allow_missing).await?;
    let reaped = driver.reap().await?;
    if reaped.runners > 0 {
        tracing::info!(runners = reaped.runners, sandboxes = reaped.sandboxes, "remains removed");
    }
    // A bucket that cannot be used says so in its own words, before anything else is tried on it.
    let is_there = store::is_there(&store, output).await?;
    if is_there {
        store::sweep(&store).await?;
    }
    let mut config = Config::standard();
    config.sandboxes = usize::try_from(command.max_sandboxes).unwrap_or(config.sandboxes);
    config.drain = command.drain;
    config.abandoned = command.abandoned;
    let kept = command.kept_size.unwrap_or_else(memory::share);
    config.kept_bytes = usize::try_from(kept).unwrap_or(usize::MAX);
    let layers = Arc::new(sandboxes::resolver(global, cache, target));
    let runner = Runner::new(Parts { driver, store: Arc::clone(&store), catalog, layers }, config);
    let config = server::Config {
        listen,
        token_file,
        hosts: command.allow_host.clone(),
        origins: command.allow_origin.clone(),
        input_hosts: command.input_host.clone(),
        signed_urls,
        ..server::Config::standard()
    };
    let server = server::serve(config, runner.clone()).await.map_err(|error| refused(&error))?;
    for address in server.addresses() {
        output.note(&format!("listening at {address}"));
    }
    let beside = async {
        let later = async {
            if !is_there {
                store::sweep_later(&store).await;
            }
        };
        let retention = Retention { age: command.keep_files, bytes: command.store_size };
        let prune = store::prune(&store, retention);
        tokio::join!(work(&server, &runner, output), later, take_up_skills(&runner), prune)
    };
    tokio::select! {
        ((), (), (), ()) = beside => {}
        () = signals.next() => {}
    }
    let exit = end(&server, &mut signals).await;
    store.close().await;
    Ok(exit)
}

/// What happens beside requests: says when everything works, and makes dependencies ready before they are asked for.
async fn work(server: &Server, runner: &Runner, output: Output) {
    server.ready().await;
    let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    output.note(&format!("READY {}", addresses.join(" ")));
    for entry in runner.skills().list() {
        let slug = entry.skill.name().as_str();
        match runner
            .prepare_skill(slug, &|event| tracing::debug!(skill = slug, step = ?event.step, "preparing"))
            .await
        {
            Ok(()) => tracing::debug!(skill = slug, "dependencies are ready"),
            Err(error) => {
                let error = CommandError::from(error);
                tracing::warn!(skill = slug, error = error.message, causes = ?error.causes, "a skill is not ready");
            }
        }
    }
    std::future::pending::<()>().await;
}

/// Looks for skills that have changed on the disk, for triggers that come from now on.
async fn take_up_skills(runner: &Runner) {
    let mut told = BTreeSet::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let refreshed = match runner.skills().refresh().await {
            Ok(refreshed) => refreshed,
            Err(error) => {
                let error = CommandError::from(error);
                tracing::warn!(error = error.message, causes = ?error.causes, "uploaded skills cannot be looked at");
                continue;
            }
        };
        for name in &refreshed.changed {
            tracing::info!(skill = name, "a skill has changed; new triggers use it as it is now");
        }
        // Each problem once, and again when it comes back.
        let problems: BTreeSet<String> = refreshed.problems.into_iter().collect();
        for problem in problems.difference(&told) {
            tracing::warn!(problem, "a skill is not used as it is now");
        }
        told = problems;
        for name in refreshed.changed {
            if let Err(error) = runner.prepare_skill(&name, &|_| {}).await
                && runner.skills().get(&name).is_some()
            {
                let error = CommandError::from(error);
                tracing::warn!(skill = name, error = error.message, causes = ?error.causes, "a skill is not ready");
            }
        }
    }
}

/// The first signal drains, the next one stops what runs.
async fn end(server: &Server, signals: &mut Signals) -> Exit {
    tracing::info!("shutting down; running calls may finish");
    let mut forced = false;
    let mut shutdown = std::pin::pin!(server.shutdown());
    loop {
        tokio::select! {
            report = &mut shutdown => {
                tracing::info!(triggers = report.triggers, connections = report.connections, "ended");
                return if forced || report.triggers > 0 { Exit::FINDINGS } else { Exit::OK };
            }
            () = signals.next() => {
                if forced {
                    return Exit::FINDINGS;
                }
                forced = true;
                tracing::warn!("stopping running calls now");
                server.shutdown_now();
            }
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, CommandError> {
        let failed = |error| CommandError::io("signals cannot be received", &error);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ports as they will be: links to output files are made before the server listens, and name the port.
fn choose_ports(listen: &[Listen]) -> Result<Vec<Listen>, CommandError> {
    let choose = |listen: &Listen| match listen {
        Listen::Tcp(address) if address.port() == 0 => TcpListener::bind(address)
            .and_then(|listener| listener.local_addr())
            .map(Listen::Tcp)
            .map_err(|error| CommandError::io(format!("no port is free at {address}"), &error)),
        other => Ok(other.clone()),
    };
    listen.iter().map(choose).collect()
}

fn open_skills(command: &Serve, output: Output) -> Result<Catalog, CommandError> {
    let uploads = command.uploaded_skills.as_deref();
    let catalog = Catalog::open(&command.skills, uploads, &SourceLimits::default())?;
    for problem in catalog.problems() {
        skills::warn(problem, output);
    }
    if catalog.entries().next().is_none() && uploads.is_none() {
        output.warn("there are no skills; name a directory with `--skills`, or allow uploads with `--uploaded-skills`");
    }
    Ok(catalog)
}

/// What stands before links to output files when the operator does not say: right for callers on this machine.
fn base_url(listen: &[Listen]) -> String {
    let tcp = listen.iter().find_map(|listen| match listen {
        Listen::Tcp(address) => Some(*address),
        Listen::Unix(_) => None,
    });
    match tcp {
        None => "http://localhost".to_owned(),
        Some(address) if address.ip().is_unspecified() => {
            let loopback: std::net::IpAddr = if address.is_ipv4() {
                std::net::Ipv4Addr::LOCALHOST.into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            };
            format!("http://{}", SocketAddr::new(loopback, address.port()))
        }
        Some(address) => format!("http://{address}"),
    }
}

/// The file with the token. On loopback only, one is made where none is named, so that the first try is one command.
fn token_file(command: &Serve, output: Output) -> Result<Option<PathBuf>, CommandError> {
    if let Some(file) = &command.token_file {
        return if file.exists() { Ok(Some(file.clone())) } else { Err(no_token(file)) };
    }
    let mut addresses = command.listen.iter().filter_map(|listen| match listen {
        Listen::Tcp(address) => Some(address),
        Listen::Unix(_) => None,
    });
    let Some(first) = addresses.next() else { return Ok(None) };
    if let Some(open) = std::iter::once(first).chain(addresses).find(|address| !address.ip().is_loopback()) {
        let message = format!("listening at {open} needs a token: anybody who reaches it could run code");
        return Err(CommandError::new(Kind::Configuration, "TOKEN_NEEDED", message)
            .hint("make one with `(umask 077; openssl rand -hex 32 > token)`, and name it with `--token-file token`"));
    }
    let directory = options::state_directory().ok_or_else(|| {
        CommandError::new(Kind::Configuration, "TOKEN_NEEDED", "there is no place for a token of our own")
            .hint("name a file with `--token-file`, or set HOME")
    })?;
    let file = directory.join("token");
    if !file.exists() {
        write_token(&file)
            .map_err(|error| CommandError::io(format!("cannot write `{}`", file.display()), &error))?;
    }
    output.note(&format!("token: {}   (send it as `Authorization: Bearer $(cat {0})`)", file.display()));
    Ok(Some(file))
}

fn no_token(file: &Path) -> CommandError {
    let shown = file.display();
    CommandError::new(Kind::Configuration, "TOKEN_NEEDED", format!("there is no token file `{shown}`"))
        .hint(format!("make one with `(umask 077; openssl rand -hex 32 > {shown})`"))
}

/// A random token in a file that only we can read.
fn write_token(file: &Path) -> std::io::Result<()> {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut token = [0; 32];
    getrandom::fill(&mut token).map_err(std::io::Error::other)?;
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(out, "{}", BASE64URL_NOPAD.encode(&token))
}

fn refused(error: &ServeError) -> CommandError {
    let code = match error {
        ServeError::TokenNeeded { .. } | ServeError::Token(_) => "TOKEN_NEEDED",
        _ => "LISTEN",
    };
    CommandError::of(Kind::Configuration, code, error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn links_name_an_address_that_can_be_reached() {
        let check = |listen: &[&str], expected: &str| {
            let listen: Vec<Listen> = listen.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(base_url(&listen), expected);
        };
        check(&["127.0.0.1:1"], "http://127.0.0.1:1");
        check(&["unix:/a", "[::1]:2"], "http://[::1]:2");
        check(&["0.0.0.0:3"], "http://127.0.0.1:3");
        check(&["[::]:4"], "http://[::1]:4");
        check(&["unix:/a"], "http://localhost");
    }

    #[test]
    fn ports_are_chosen_once() {
        let chosen = choose_ports(&["127.0.0.1:0".parse().unwrap(), "unix:/a".parse().unwrap()]).unwrap();
        assert!(matches!(chosen.as_slice(), [Listen::Tcp(address), Listen::Unix(_)] if address.port() != 0));
    }

    #[test]
    fn tokens_are_random_long_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("x/a"), directory.path().join("b"));
        write_token(&a).unwrap();
        write_token(&b).unwrap();
        let token = std::fs::read_to_string(&a).unwrap();
        assert!(token.trim_end().len() >= 43 && token != std::fs::read_to_string(&b).unwrap());
        assert_eq!(std::fs::metadata(&a).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_token(&a).is_err(), "an existing token is never replaced");
    }
}
