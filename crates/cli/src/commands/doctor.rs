//! `skillbox doctor`: what this machine gives, line by line, each with what to do about it; and one real sandbox.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use runner::{CallRequest, Declaration};
use sandbox::{Check, CheckState};
use serde_json::{Value, json};
use server::Listen;
use tokio_util::sync::CancellationToken;
use tool::ToolName;

use crate::{
    args::{Doctor, DriverName, Global},
    commands::program,
    error::{CommandError, Kind},
    escape,
    exit::Exit,
    interrupt::{Interrupt, block_on},
    output::{self, BAD, DIM, GOOD, Output, WEAK},
    sandboxes::{self, OneRunner},
    skills,
    units::show_duration,
};

/// How long a server may take to answer.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that is read of its answer.
const READY_BYTES: u64 = 64 * 1024;

pub(crate) fn execute(command: &Doctor, global: &Global, output: Output) -> Result<Exit, CommandError> {
    match &command.ready {
        Some(listen) => ready(listen, output),
        None => machine(global, output),
    }
}

fn machine(global: &Global, output: Output) -> Result<Exit, CommandError> {
    let checks = block_on(async |interrupt| Ok(look(global, output, &interrupt).await))?;
    let works = !checks.iter().any(|check| check.state == CheckState::Missing);
    if output.json {
        let entries: Vec<Value> = checks.iter().map(entry).collect();
        output.print_json(&json!({"schemaVersion": 1, "ready": works, "checks": entries}))?;
    } else {
        output::print(&checks.iter().map(line).collect::<String>())?;
        let weak = checks.iter().filter(|check| check.state == CheckState::Weak).count();
        output.note(match (works, weak) {
            (false, _) => "sandboxes cannot be made here",
            (true, 0) => "everything is there",
            (true, _) => "sandboxes can be made here, with what is said above",
        });
    }
    Ok(if works { Exit::OK } else { Exit::FINDINGS })
}

async fn look(global: &Global, output: Output, interrupt: &Interrupt) -> Vec<Check> {
    let quiet = Output { quiet: true, ..output };
    let mut checks = Vec::new();
    match OneRunner::start(global, skills::catalog(Vec::new()), quiet, interrupt).await {
        Ok(one) => {
            if let Err(error) = one.runner.driver().reap().await {
                let detail = CommandError::from(error).message;
                let remedy = "end the processes that hold it, or restart the machine";
                checks.push(Check::weak("remains of earlier runs", detail, remedy));
            }
            checks.extend(one.runner.driver().checks().await);
            checks.push(real_sandbox(&one, interrupt.token()).await);
            one.stop().await;
        }
        Err(error) => checks.push(Check {
            name: "driver".to_owned(),
            wall: None,
            state: CheckState::Missing,
            detail: with_causes(&error),
            // Its own hint would be this command.
            remedy: match global.driver {
                DriverName::Native => Some(
                    "allow unprivileged user namespaces (`sysctl kernel.unprivileged_userns_clone=1`, \
                     `kernel.apparmor_restrict_unprivileged_userns=0`), or run as root"
                        .to_owned(),
                ),
                // What went wrong says it.
                DriverName::Docker => None,
            },
        }),
    }
    checks.extend(for_dependencies());
    checks
}

fn with_causes(error: &CommandError) -> String {
    std::iter::once(&error.message).chain(&error.causes).cloned().collect::<Vec<_>>().join(": ")
}

/// What counts in the end: Python runs in a sandbox, by the way that tool calls take.
async fn real_sandbox(one: &OneRunner, cancel: &CancellationToken) -> Check {
    let name = "a real sandbox";
    let begin = Instant::now();
    let args = json!({"language": "python", "code": "pass", "timeout": 30_000});
    let call = CallRequest::new(program::call(ToolName::CodeRun, args));
    let answer = match sandboxes::trigger() {
        Ok(trigger) => one.call(&trigger, Declaration::default(), call, cancel).await,
        Err(error) => Err(error),
    };
    let remedy = "see the lines above; `skillbox -vv code -c pass` shows the runner's log";
    let broken = |detail: String| Check::missing(name, detail, remedy);
    match answer {
        Err(error) => broken(with_causes(&error)),
        Ok(answer) => match (&answer.report.program, &answer.answer.result.error) {
            (Some(ran), None) if ran.exit_code == 0 => Check::good(
                name,
                format!("ran `python3` and was removed again in {}", show_duration(begin.elapsed())),
            ),
            (Some(ran), None) => broken(format!("`python3` ended with {}", ran.exit_code)),
            (_, error) => {
                let told = error.clone().unwrap_or_else(|| "the call failed".to_owned());
                let fault =
                    answer.report.fault.as_deref().map(|fault| format!(": {fault}")).unwrap_or_default();
                broken(format!("{told}{fault}"))
            }
        },
    }
}

/// What resolves the dependencies of skills. Without it, skills that need none still run.
fn for_dependencies() -> Vec<Check> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |name: &str| {
        std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| is_program(file))
    };
    let tool = match (found("uv"), found("pip3").or_else(|| found("pip"))) {
        (Some(uv), _) => Check::good("packages", format!("uv at {}", uv.display())),
        (None, Some(pip)) => {
            Check::good("packages", format!("pip at {}; `uv` would be faster", pip.display()))
        }
        (None, None) if Path::new("/usr/lib/python3/dist-packages/pip").is_dir() => {
            Check::good("packages", "pip of /usr/bin/python3".to_owned())
        }
        (None, None) => Check::weak(
            "packages",
            "there is no uv and no pip: skills with requirements will not run",
            "install one: `apt-get install python3-pip`, or `pip install uv`",
        ),
    };
    let cache = match sandboxes::layer_cache() {
        Ok(cache) if is_noexec(&cache) => Check::weak(
            "cache",
            format!("{} is mounted noexec: packages with compiled parts will not import", cache.display()),
            "mount it without noexec, or set XDG_CACHE_HOME to another place",
        ),
        Ok(cache) => Check::good("cache", cache.display().to_string()),
        Err(error) => Check {
            name: "cache".into(),
            wall: None,
            state: CheckState::Missing,
            detail: error.message,
            remedy: error.hint.map(String::from),
        },
    };
    vec![tool, cache]
}

/// Whether the place of a directory, which need not be there yet, forbids to map programs. A sandbox's mount of it does so
/// as well.
fn is_noexec(directory: &Path) -> bool {
    let there = directory.ancestors().find(|place| place.exists());
    there
        .and_then(|place| rustix::fs::statvfs(place).ok())
        .is_some_and(|mount| mount.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn line(check: &Check) -> String {
    let (style, mark) = match check.state {
        CheckState::Good => (GOOD, "ok     "),
        CheckState::Weak => (WEAK, "weak   "),
        CheckState::Missing => (BAD, "missing"),
    };
    let (name, detail) = (escape::line(&check.name), escape::line(&check.detail));
    let mut line = format!("{style}{mark}{style:#} {name}: {detail}\n");
    if let Some(remedy) = &check.remedy {
        line.push_str(&format!("        {DIM}→{DIM:#} {}\n", escape::line(remedy)));
    }
    line
}

fn entry(check: &Check) -> Value {
    let state = match check.state {
        CheckState::Good => "good",
        CheckState::Weak => "weak",
        CheckState::Missing => "missing",
    };
    let mut entry = json!({"name": check.name, "state": state, "detail": check.detail});
    if let Some(remedy) = &check.remedy {
        entry["remedy"] = json!(remedy);
    }
    if let Some(wall) = check.wall {
        entry["wall"] = json!(wall.name());
    }
    entry
}

/// Asks a running server. Made for health checks of containers, which often have no curl.
fn ready(listen: &Listen, output: Output) -> Result<Exit, CommandError> {
    let place = match listen {
        Listen::Tcp(address) => format!("http://{address}"),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    };
    let asked = match listen {
        Listen::Tcp(address) => TcpStream::connect_timeout(address, READY_TIMEOUT).and_then(|stream| {
            stream.set_read_timeout(Some(READY_TIMEOUT))?;
            ask(stream, &address.to_string())
        }),
        Listen::Unix(path) => UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(READY_TIMEOUT))?;
            ask(stream, "localhost")
        }),
    };
    let answer = asked.map_err(|error| CommandError {
        kind: Kind::Internal,
        ..CommandError::io(format!("no server answers at {place}"), &error)
    })?;
    let ready = status(&answer) == Some(200);
    if output.json {
        output.print_json(&json!({"schemaVersion": 1, "ready": ready, "server": place}))?;
    } else {
        output::print(if ready { "ready\n" } else { "not ready\n" })?;
        if !ready {
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            output.note(&escape::text(body.trim()));
        }
    }
    Ok(if ready { Exit::OK } else { Exit::FINDINGS })
}

fn ask(mut stream: impl Read + Write, host: &str) -> std::io::Result<String> {
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(READY_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The status of an HTTP answer.
fn status(answer: &str) -> Option<u16> {
    let (version, rest) = answer.split_once(' ')?;
    version.starts_with("HTTP/1.").then(|| rest.get(..3)?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_is_ready() {
        assert_eq!(status("HTTP/1.1 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status("HTTP/1.1 503 Service Unavailable\r\n"), Some(503));
        for other in ["", "SSH-2.0", "HTTP/1.1", "HTTP/1.1 x", "200 OK"] {
            assert_eq!(status(other), None, "{other}");
        }
    }

    #[test]
    fn a_mount_without_programs_is_seen() {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let mut seen = 0;
        for place in ["/proc", "/sys", "/dev/shm", "/run", "/"] {
            // The last one is on top.
            let mount = mounts.lines().rev().find(|line| line.split(' ').nth(1) == Some(place));
            let Some(options) = mount.and_then(|line| line.split(' ').nth(3)) else { continue };
            let noexec = options.split(',').any(|option| option == "noexec");
            assert_eq!(is_noexec(&Path::new(place).join("not-there/x")), noexec, "{place}: {options}");
            seen += 1;
        }
        assert!(seen >= 2, "{mounts}");
    }

    #[test]
    fn a_line_says_what_to_do() {
        let check = Check::lacking(sandbox::Wall::Uids, "none", "install `uidmap`");
        let plain = anstream::adapter::strip_str(&line(&check)).to_string();
        assert_eq!(plain, "weak    wall `uids`: none\n        → install `uidmap`\n");
        assert_eq!(entry(&check)["wall"], "uids");
    }
}
