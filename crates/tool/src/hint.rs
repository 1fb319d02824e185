//! Hints: what a model should do about a failure, read from how the program ended and what it wrote.
//!
//! Pure guesses over text that the program controls, so a hint only ever adds to a result and never changes it.

use std::time::Duration;

use crate::{
    inventory::Inventory,
    show::{list, quoted, size},
};

/// What is known about a program that ended.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// How it ended.
    pub ending: Ending,
    /// What the kernel killed for memory meanwhile.
    pub memory: Option<MemoryKills>,
    /// Its standard error, as the result has it.
    pub stderr: &'a str,
    /// Packages beyond the standard libraries that the sandbox has; empty where that is not known.
    pub packages: &'a Inventory,
    /// Whether the sandbox reaches any host at all.
    pub has_network: bool,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// The call's time was over.
    TimedOut {
        /// How long the call was allowed to be.
        limit: Duration,
    },
    /// The sandbox's time was over during the call.
    SandboxTimeOver {
        /// How long the sandbox was allowed to live.
        limit: Duration,
    },
}

/// What the kernel killed for memory while a program ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryKills {
    /// Processes; at least one.
    pub killed: u64,
    /// Bytes that the sandbox may have.
    pub limit: u64,
    /// Most bytes that it had, where that is known.
    pub peak: Option<u64>,
}

/// The hint for a failure; `None` for success, and for failures that explain themselves.
#[must_use]
pub fn hint(observed: &Observed<'_>) -> Option<String> {
    if let Some(memory) = observed.memory {
        return Some(out_of_memory(memory, observed.ending));
    }
    match observed.ending {
        Ending::Exited(0) => None,
        Ending::Exited(_) | Ending::Signaled(_) => missing_package(observed)
            .or_else(|| missing_command(observed.stderr))
            .or_else(|| network(observed))
            .or_else(|| file_system(observed.stderr))
            .or_else(|| questions(observed.stderr))
            .or_else(|| signal(observed.ending)),
        Ending::TimedOut { limit } => Some(format!(
            "The call was stopped after {}. Ask for a longer timeout if there is time left, or split the work. What was \
             saved in /output until then is kept.",
            seconds(limit)
        )),
        Ending::SandboxTimeOver { limit } => Some(format!(
            "The sandbox was stopped after {}, and its files are gone, except what was saved in /output. Split the work \
             into smaller steps; the next call gets a fresh sandbox.",
            seconds(limit)
        )),
    }
}

/// Said whatever the exit code: a pipeline or a pool of workers hides that one of its processes was killed.
fn out_of_memory(memory: MemoryKills, ending: Ending) -> String {
    const SIGKILL: i32 = 9;
    let peak = memory.peak.map(|peak| format!(" (peak {})", size(peak))).unwrap_or_default();
    let limit = format!("the limit is {}{peak}", size(memory.limit));
    if ending == Ending::Signaled(SIGKILL) {
        return format!("The program ran out of memory: {limit}. Process the data in smaller pieces.");
    }
    let who = match memory.killed {
        1 => "A process that the program had started was killed".to_owned(),
        more => format!("{more} processes that the program had started were killed"),
    };
    let so = match ending {
        Ending::Exited(0) => {
            " The exit code is 0 all the same, so what it printed and saved may not be complete."
        }
        Ending::TimedOut { .. } | Ending::SandboxTimeOver { .. } => {
            " What was left waited until the time was over; a longer timeout would not help."
        }
        Ending::Exited(_) | Ending::Signaled(_) => "",
    };
    format!(
        "{who}, since the sandbox ran out of memory: {limit}, for all processes together.{so} Process the data in smaller \
         pieces, or with fewer processes at once."
    )
}

/// Whether a hint would name the packages that there are. Asked first, since finding out takes a request.
#[must_use]
pub fn names_packages(ending: Ending, stderr: &str) -> bool {
    matches!(ending, Ending::Exited(code) if code != 0)
        && !stderr.contains("No module named 'encodings'")
        && (missing_python(stderr).is_some() || missing_npm(stderr).is_some())
}

fn missing_package(observed: &Observed<'_>) -> Option<String> {
    let there = observed.packages;
    if observed.stderr.contains("No module named 'encodings'") {
        return Some(
            "Python does not find its own standard library. The variables PYTHONHOME and PYTHONPATH decide where it looks: \
             do not set them."
                .to_owned(),
        );
    }
    let (what, packages, standard) = if let Some(module) = missing_python(observed.stderr) {
        let package = package_of(module).map(|package| format!(" (package {package})")).unwrap_or_default();
        (format!("The Python module {}{package}", quoted(module)), &there.python, "the standard library")
    } else {
        let module = missing_npm(observed.stderr)?;
        (format!("The npm package {}", quoted(module)), &there.node, "what Node.js itself has")
    };
    let there = if packages.is_empty() {
        format!("Use {standard} or what the skill brings along.")
    } else {
        format!("Besides {standard} there is: {}.", list(packages))
    };
    Some(format!("{what} is not installed, and nothing can be installed at run time. {there}"))
}

/// `Error: Cannot find module 'x'` of `require`, `Cannot find package 'x' imported from …` of `import`.
fn missing_npm(stderr: &str) -> Option<&str> {
    stderr.lines().rev().find_map(|line| {
        let (_, rest) =
            line.split_once("Cannot find module '").or_else(|| line.split_once("Cannot find package '"))?;
        let name = &rest[..rest.find('\'')?];
        // A file of the program's own says so by its path.
        let is_name =
            name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '/'));
        (is_name && !name.is_empty() && !name.starts_with(['.', '/'])).then_some(name)
    })
}

fn missing_python(stderr: &str) -> Option<&str> {
    stderr.lines().rev().find_map(|line| {
        // `ImportError` subclasses print the same text after their own name.
        let rest = line.trim_start().strip_prefix("ModuleNotFoundError: No module named ").or_else(|| {
            // `python -m x` says it this way.
            line.split_once(": No module named ").map(|(_, rest)| rest).filter(|_| line.contains("python"))
        })?;
        let name = rest.trim_start_matches(['\'', '"']);
        let end = name.find(['\'', '"', ';', ' ']).unwrap_or(name.len());
        let top = name[..end].split('.').next().unwrap_or_default();
        (!top.is_empty() && top.chars().all(|c| c.is_alphanumeric() || c == '_')).then_some(top)
    })
}

/// Packages whose module has another name.
fn package_of(module: &str) -> Option<&'static str> {
    Some(match module {
        "PIL" => "Pillow",
        "bs4" => "beautifulsoup4",
        "cv2" => "opencv-python",
        "dateutil" => "python-dateutil",
        "docx" => "python-docx",
        "fitz" => "PyMuPDF",
        "pptx" => "python-pptx",
        "skimage" => "scikit-image",
        "sklearn" => "scikit-learn",
        "yaml" => "PyYAML",
        _ => return None,
    })
}

fn missing_command(stderr: &str) -> Option<String> {
    let command = stderr.lines().rev().find_map(|line| {
        // bash: `bash: line 1: jq: command not found`.
        let before = line.strip_suffix(": command not found")?;
        let name = before.rsplit(": ").next()?.trim();
        (!name.is_empty() && !name.contains(char::is_whitespace)).then_some(name)
    })?;
    let shown = quoted(command);
    Some(match command {
        "python" | "python2" => format!("The command {shown} is not in the sandbox; use python3."),
        "pip" | "pip3" | "uv" | "uvx" | "pipx" | "conda" | "poetry" | "npm" | "npx" | "yarn" | "pnpm"
        | "apt" | "apt-get" | "apk" | "yum" | "dnf" | "brew" => format!(
            "The command {shown} is not in the sandbox, which has no network: nothing can be installed at run time. Run \
             scripts with python3, bash or node, and use what is there."
        ),
        "sudo" | "su" => format!(
            "The command {shown} is not in the sandbox; programs run as an ordinary user. Leave it out."
        ),
        _ => format!(
            "The command {shown} is not in the sandbox. Do it in Python or with the commands that are there."
        ),
    })
}

fn network(observed: &Observed<'_>) -> Option<String> {
    const SIGNS: [&str; 17] = [
        "Temporary failure in name resolution",
        "Name or service not known",
        "No address associated with hostname",
        "nodename nor servname provided",
        "Network is unreachable",
        "Could not resolve host",
        "unable to resolve host address",
        "NameResolutionError",
        "ENETUNREACH",
        // Node.
        "EAI_AGAIN",
        "ENOTFOUND",
        // npm that was told to stay offline.
        "ENOTCACHED",
        // pip, which does not say why it found nothing.
        "No matching distribution found for",
        // uv that was told to stay offline.
        "network connectivity is disabled",
        // apt.
        "Temporary failure resolving",
        "Unable to locate package",
        "List directory /var/lib/apt/lists/partial is missing",
    ];
    if !SIGNS.iter().any(|sign| observed.stderr.contains(sign)) {
        return None;
    }
    Some(if observed.has_network {
        "This host cannot be reached: the sandbox reaches only the hosts that were allowed for it.".to_owned()
    } else {
        "The sandbox has no network: nothing can be downloaded or installed. Work with the files that are there.".to_owned()
    })
}

fn file_system(stderr: &str) -> Option<String> {
    if stderr.contains("No space left on device") {
        return Some(
            "The sandbox's file system is full. Delete what is not needed, or write less.".to_owned(),
        );
    }
    stderr.contains("Read-only file system").then(|| {
        "Only /workspace, /output and /tmp can be written. Save files for the user in /output.".to_owned()
    })
}

fn questions(stderr: &str) -> Option<String> {
    stderr.contains("EOFError: EOF when reading a line").then(|| {
        "Nobody answers questions here: standard input is empty. Put the values into the code, or give a script its input or \
         arguments."
            .to_owned()
    })
}

/// What a signal means. A shell passes on that of its last program as 128 and its number.
fn signal(ending: Ending) -> Option<String> {
    let number = match ending {
        Ending::Signaled(number) => number,
        Ending::Exited(code) if matches!(code, 132 | 134 | 135 | 136 | 139 | 153 | 159) => code - 128,
        Ending::Exited(_) | Ending::TimedOut { .. } | Ending::SandboxTimeOver { .. } => return None,
    };
    let (name, meaning) = match number {
        4 => ("SIGILL", "it has an instruction that this processor does not know"),
        6 => ("SIGABRT", "it gave up by itself; what it wrote before says why"),
        7 => ("SIGBUS", "it used memory behind the end of a file, or the sandbox had no room for it"),
        8 => ("SIGFPE", "it divided by zero or overflowed in whole numbers"),
        9 => ("SIGKILL", "something in the sandbox killed it"),
        11 => (
            "SIGSEGV",
            "it used memory that it does not have: an error in native code, or recursion without an end",
        ),
        13 => ("SIGPIPE", "it wrote to a program that did not read to the end"),
        15 => ("SIGTERM", "something in the sandbox ended it"),
        25 => ("SIGXFSZ", "it wrote a file that is larger than one file may be; write several smaller ones"),
        31 => ("SIGSYS", "it made a system call that is not allowed here"),
        _ => return Some(format!("A program was ended by signal {number}.")),
    };
    Some(format!("A program was ended by {name}: {meaning}."))
}

fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(ending: Ending, stderr: &str) -> Option<String> {
        hint(&Observed { ending, memory: None, stderr, packages: &Inventory::default(), has_network: false })
    }

    fn failed(stderr: &str) -> String {
        of(Ending::Exited(1), stderr).unwrap_or_default()
    }

    #[test]
    fn a_missing_package_is_named_with_what_is_there() {
        let stderr = "Traceback (most recent call last):\n  File \"<string>\", line 1, in <module>\n\
                      ModuleNotFoundError: No module named 'pandas.io'\n";
        assert_eq!(
            failed(stderr),
            "The Python module \"pandas\" is not installed, and nothing can be installed at run time. Use the standard \
             library or what the skill brings along."
        );
        let packages = Inventory {
            python: vec!["numpy".to_owned(), "pillow".to_owned()],
            node: vec!["docx".to_owned()],
        };
        let observed = Observed {
            ending: Ending::Exited(1),
            memory: None,
            stderr,
            packages: &packages,
            has_network: false,
        };
        assert!(hint(&observed).unwrap().ends_with("Besides the standard library there is: numpy, pillow."));
        let stderr = "node:internal/modules/cjs/loader:1080\nError: Cannot find module 'sharp'\nRequire stack:\n- /tmp/a.js\n";
        let text = hint(&Observed { stderr, ..observed }).unwrap();
        assert!(
            text.starts_with("The npm package \"sharp\" is not installed")
                && text.ends_with("has there is: docx."),
            "{text}"
        );
        let import = "Error [ERR_MODULE_NOT_FOUND]: Cannot find package '@a/b' imported from /tmp/a.mjs";
        assert!(failed(import).contains("\"@a/b\""));
        assert_eq!(failed("Error: Cannot find module '/workspace/gone.js'"), "", "a file, not a package");
        assert!(
            failed("ModuleNotFoundError: No module named 'cv2'").contains("\"cv2\" (package opencv-python)")
        );
        assert!(failed("/usr/bin/python3: No module named pytest").contains("\"pytest\""));
        assert!(failed("/usr/bin/python3: No module named x.__main__; 'x' is a package").contains("\"x\""));
    }

    #[test]
    fn limits_are_named() {
        let time = Ending::TimedOut { limit: Duration::from_millis(1500) };
        assert!(of(time, "").unwrap().starts_with("The call was stopped after 1500 ms."));
        let sandbox = Ending::SandboxTimeOver { limit: Duration::from_secs(300) };
        let text = of(sandbox, "").unwrap();
        assert!(text.contains("stopped after 300 s") && text.contains("Split the work"), "{text}");
    }

    #[test]
    fn out_of_memory_is_said_whatever_the_program_made_of_it() {
        let said = |ending, killed, peak| {
            let memory = Some(MemoryKills { killed, limit: 512 << 20, peak });
            let packages = Inventory::default();
            hint(&Observed { ending, memory, stderr: "", packages: &packages, has_network: false }).unwrap()
        };
        assert_eq!(
            said(Ending::Signaled(9), 1, Some(511 << 20)),
            "The program ran out of memory: the limit is 512 MB (peak 511 MB). Process the data in smaller pieces."
        );
        let hidden = said(Ending::Exited(0), 1, None);
        assert!(hidden.starts_with("A process that the program had started was killed"), "{hidden}");
        assert!(
            hidden.contains("the limit is 512 MB, for all") && hidden.contains("exit code is 0"),
            "{hidden}"
        );
        let waited = said(Ending::TimedOut { limit: Duration::from_secs(300) }, 2, None);
        assert!(
            waited.starts_with("2 processes") && waited.contains("longer timeout would not help"),
            "{waited}"
        );
        assert!(said(Ending::Exited(1), 1, None).contains("fewer processes"));
    }

    #[test]
    fn no_network_is_said_for_the_usual_messages() {
        for stderr in [
            "socket.gaierror: [Errno -3] Temporary failure in name resolution",
            "curl: (6) Could not resolve host: example.com",
            "OSError: [Errno 101] Network is unreachable",
            "TypeError: fetch failed\n  [cause]: Error: getaddrinfo EAI_AGAIN example.com",
            "npm error code ENOTCACHED",
            "ERROR: No matching distribution found for tabulate",
            "E: Unable to locate package jq",
        ] {
            assert!(failed(stderr).starts_with("The sandbox has no network"), "{stderr}");
        }
    }

    #[test]
    fn missing_commands_and_full_or_read_only_file_systems() {
        assert!(failed("bash: line 1: jq: command not found").contains("\"jq\""));
        assert!(failed("OSError: [Errno 28] No space left on device").contains("full"));
        assert!(
            failed("touch: cannot touch '/x': Read-only file system")
                .contains("/workspace, /output and /tmp")
        );
    }

    #[test]
    fn commands_that_install_and_those_with_another_name() {
        let said = |command: &str| failed(&format!("bash: line 1: {command}: command not found"));
        assert!(said("python").ends_with("use python3."));
        assert!(said("uv").contains("nothing can be installed") && said("uv").contains("python3"));
        assert!(
            !said("tabulate").contains("installed"),
            "it may be installed, and only its command not be found"
        );
    }

    #[test]
    fn signals_and_questions_are_explained() {
        for ending in [Ending::Signaled(11), Ending::Exited(139)] {
            assert!(of(ending, "").unwrap().contains("SIGSEGV"), "{ending:?}");
        }
        assert!(of(Ending::Exited(153), "").unwrap().contains("one file may be"));
        assert_eq!(of(Ending::Exited(130), ""), None);
        assert!(failed("EOFError: EOF when reading a line").contains("standard input is empty"));
        let home = "Fatal Python error\nModuleNotFoundError: No module named 'encodings'";
        assert!(failed(home).contains("PYTHONHOME") && !names_packages(Ending::Exited(1), home));
    }

    #[test]
    fn success_and_failures_that_explain_themselves_have_none() {
        assert_eq!(of(Ending::Exited(0), "ModuleNotFoundError: No module named 'x'"), None);
        assert_eq!(of(Ending::Exited(1), "ValueError: bad data"), None);
        assert_eq!(of(Ending::Exited(1), ""), None);
    }

    #[test]
    fn packages_are_asked_for_only_where_a_hint_would_name_them() {
        let missing = "ModuleNotFoundError: No module named 'x'";
        assert!(names_packages(Ending::Exited(1), missing));
        assert!(names_packages(Ending::Exited(1), "Error: Cannot find module 'x'"));
        assert!(!names_packages(Ending::Exited(0), missing));
        assert!(!names_packages(Ending::TimedOut { limit: Duration::from_secs(1) }, missing));
        assert!(!names_packages(Ending::Exited(1), "ValueError: x"));
    }

    /// stderr belongs to the program: nothing in it may break a hint or get a line of its own into it.
    #[test]
    fn any_stderr_gives_one_bounded_line() {
        let piece = prop_oneof![
            Just("ModuleNotFoundError: No module named ".to_owned()),
            Just(": No module named ".to_owned()),
            Just(": command not found".to_owned()),
            Just("Cannot find module '".to_owned()),
            Just("python".to_owned()),
            Just("'".to_owned()),
            Just("\n".to_owned()),
            "\\PC{0,300}",
        ];
        proptest!(|(pieces in prop::collection::vec(piece, 0..10))| {
            let text = of(Ending::Exited(1), &pieces.concat()).unwrap_or_default();
            prop_assert!(text.len() < 2000 && !text.contains('\n'));
        });
    }
}
