//! What scripts do that a sandbox does not let them do: ask, use the network, install, need secrets, a desktop or services.
//!
//! A finding of a kind is made once for a script: the second request of a script that uses the network says nothing new.

use std::{collections::BTreeSet, ops::Range};

use skill::{Diagnostic, Language, Rule};

use crate::{
    pattern::Pattern,
    python::{Call, Literal, Need, Python},
    scripts::is_run,
    shell::{Command, Word},
    subject::{Findings, Subject, Text},
};

/// Modules that are for talking to other machines.
const NETWORK_MODULES: [&str; 36] = [
    "aiohttp",
    "anthropic",
    "boto3",
    "botocore",
    "cohere",
    "elevenlabs",
    "fal_client",
    "ftplib",
    "github",
    "google.cloud",
    "google.genai",
    "google.generativeai",
    "googleapiclient",
    "groq",
    "http.client",
    "httpx",
    "imaplib",
    "mistralai",
    "notion_client",
    "openai",
    "paramiko",
    "poplib",
    "praw",
    "pymongo",
    "redis",
    "replicate",
    "requests",
    "slack_sdk",
    "smtplib",
    "stripe",
    "telnetlib",
    "tweepy",
    "urllib.request",
    "urllib3",
    "websockets",
    "yt_dlp",
];
/// Modules of other systems, or of a desktop.
const DESKTOP_MODULES: [&str; 16] = [
    "AppKit",
    "Cocoa",
    "Foundation",
    "PyQt5",
    "PyQt6",
    "PySide6",
    "Quartz",
    "curses",
    "pyautogui",
    "pynput",
    "pyperclip",
    "pythoncom",
    "tkinter",
    "win32api",
    "win32com",
    "winreg",
];
/// Words of names of variables that hold secrets.
const SECRETS: [&str; 9] =
    ["API_KEY", "APIKEY", "TOKEN", "SECRET", "PASSWORD", "ACCESS_KEY", "_CREDENTIALS", "_PAT", "API_KEY_ID"];

/// Adds the first finding of a kind about one script.
struct Once<'a> {
    text: &'a Text,
    findings: &'a mut Findings,
    seen: BTreeSet<Rule>,
}

impl Once<'_> {
    fn push(&mut self, rule: Rule, range: Range<usize>, message: impl Into<String>, help: &str) {
        if self.seen.insert(rule) {
            let diagnostic = Diagnostic::new(rule, self.text.at(range), message);
            self.findings.push(diagnostic.with_help(help));
        }
    }

    fn prompt(&mut self, range: Range<usize>, what: &str) {
        let help = "take it as an argument, and fail with a message when it is missing";
        self.push(
            Rule::INTERACTIVE_PROMPT,
            range,
            format!("{what} asks the user, and nobody answers in a sandbox"),
            help,
        );
    }

    fn network(&mut self, range: Range<usize>, what: &str) {
        let help = "bring the data along, take it as an input file, or say in `compatibility` which hosts must be allowed";
        self.push(
            Rule::NETWORK_USE,
            range,
            format!("{what} uses the network, and a sandbox has none by default"),
            help,
        );
    }

    fn install(&mut self, range: Range<usize>, what: &str) {
        let help = "name Python packages in requirements.txt; they are made ready before the script runs";
        self.push(
            Rule::INSTALL_AT_RUN_TIME,
            range,
            format!("{what} cannot work: nothing is installed in a sandbox"),
            help,
        );
    }

    fn desktop(&mut self, range: Range<usize>, what: &str) {
        let help = "write a file to `/output` instead";
        self.push(
            Rule::DESKTOP_ONLY,
            range,
            format!("{what} is not there: a sandbox is Linux without a screen"),
            help,
        );
    }

    fn service(&mut self, range: Range<usize>, what: &str) {
        let help = "do the work in the script itself; what it starts ends with the call";
        self.push(
            Rule::BACKGROUND_SERVICE,
            range,
            format!("{what} needs a service that goes on, and a sandbox ends with the call"),
            help,
        );
    }
}

/// Variables that nobody sets, each once for a script.
fn secrets<'a>(
    text: &Text,
    variables: impl Iterator<Item = (&'a Range<usize>, &'a str)>,
    findings: &mut Findings,
) {
    let mut seen = BTreeSet::new();
    for (range, name) in variables {
        let is_secret = SECRETS.iter().any(|word| name.ends_with(word));
        if is_secret && seen.insert(name) {
            let message = format!("`{}` must come from the caller's environment", name.escape_debug());
            let help = "say so in `compatibility`, and fail with a message when it is not set";
            let diagnostic = Diagnostic::new(Rule::ENVIRONMENT_VARIABLE, text.at(range.clone()), message);
            findings.push(diagnostic.with_help(help));
        }
    }
}

pub(crate) fn check_python(subject: &Subject<'_>, findings: &mut Findings) {
    for (text, python) in subject.pythons() {
        if !is_run(&text.path) {
            continue;
        }
        let mut once = Once { text, findings: &mut *findings, seen: BTreeSet::new() };
        python_imports(python, &mut once);
        let asks_whether_somebody_is_there = text.content.contains("isatty");
        for call in &python.calls {
            let range = call.range.clone();
            match call.name.as_str() {
                "input" | "getpass.getpass" | "click.prompt" | "click.confirm" | "inquirer.prompt"
                | "typer.prompt" | "typer.confirm" | "questionary.text"
                    if !asks_whether_somebody_is_there =>
                {
                    once.prompt(range, &format!("`{}`", call.name));
                }
                "urllib.request.urlopen" | "urllib.request.urlretrieve" | "socket.create_connection"
                    if !is_local(call) =>
                {
                    once.network(range, &format!("`{}`", call.name));
                }
                "uvicorn.run"
                | "http.server.HTTPServer"
                | "http.server.ThreadingHTTPServer"
                | "socketserver.TCPServer"
                | "?.serve_forever"
                | "webbrowser.open"
                | "app.run" => {
                    if call.name == "webbrowser.open" {
                        once.desktop(range, "a browser");
                    } else {
                        once.service(range, &format!("`{}`", call.name));
                    }
                }
                _ => {}
            }
        }
        for (call, words) in python.commands() {
            let words: Vec<&str> = words.iter().map(|word| word.start().unwrap_or_default()).collect();
            python_command(call, &words, &mut once);
        }
        secrets(text, python.variables.iter().map(|(range, name)| (range, name.as_str())), findings);
    }
}

/// Whether a call names this machine itself.
fn is_local(call: &Call) -> bool {
    let is_host = |literal: &Literal| {
        literal.start().is_some_and(|text| text.contains("localhost") || text.contains("127.0.0.1"))
    };
    match call.arguments.first() {
        Some(Literal::List(parts)) => parts.iter().any(is_host),
        Some(other) => is_host(other),
        None => false,
    }
}

fn python_imports(python: &Python, once: &mut Once<'_>) {
    for import in python.imports.iter().filter(|import| import.level == 0 && import.need != Need::Optional) {
        let whole = |known: &str, module: &str| {
            module == known || module.strip_prefix(known).is_some_and(|rest| rest.starts_with('.'))
        };
        let fits = |known: &&&str| {
            whole(known, &import.module)
                || import.names.iter().any(|name| whole(known, &format!("{}.{name}", import.module)))
        };
        if let Some(module) = NETWORK_MODULES.iter().find(fits) {
            once.network(import.range.clone(), &format!("`{module}`"));
        }
        if let Some(module) = DESKTOP_MODULES.iter().find(fits) {
            once.desktop(import.range.clone(), &format!("what `{module}` needs"));
        }
    }
}

/// A program that a Python script starts.
fn python_command(call: &Call, words: &[&str], once: &mut Once<'_>) {
    // `[sys.executable, "-m", "pip", …]` begins with something computed.
    let is_module = words.first().is_some_and(|word| word.is_empty() || word.starts_with("python"));
    let words = if is_module && words.get(1) == Some(&"-m") { &words[2..] } else { words };
    command(words, call.range.clone(), once);
}

/// A program with its arguments, wherever it is started.
fn command(words: &[&str], range: Range<usize>, once: &mut Once<'_>) {
    let Some((program, arguments)) = words.split_first() else { return };
    let name = program.rsplit('/').next().unwrap_or(program);
    let first = arguments.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default();
    let has = |word: &str| arguments.contains(&word);
    let local = || {
        let urls: Vec<&&str> =
            arguments.iter().filter(|word| word.contains("://") || word.contains("localhost")).collect();
        !urls.is_empty()
            && urls.iter().all(|url| {
                ["localhost", "127.0.0.1", "0.0.0.0", "[::1]"].iter().any(|host| url.contains(host))
            })
    };
    let shown = || format!("`{}`", [*program, first].join(" ").trim_end());
    match name {
        "sudo" | "doas" | "su" => {
            let message = format!("`{name}` cannot work: nobody gets more rights in a sandbox");
            once.push(
                Rule::INSTALL_AT_RUN_TIME,
                range,
                message,
                "do without; what needs root belongs into the image",
            );
        }
        "apt" | "apt-get" | "yum" | "dnf" | "apk" | "brew" | "pacman" | "choco" | "winget" | "snap"
            if matches!(first, "install" | "update" | "upgrade" | "add" | "tap") =>
        {
            once.install(range, &shown());
        }
        "pip" | "pip3" | "pipx" | "conda" | "mamba" | "gem" | "cargo" | "poetry" if first == "install" => {
            once.install(range, &shown());
        }
        "uv" if first == "pip" || first == "sync" || first == "add" => once.install(range, &shown()),
        "npm" | "pnpm" | "yarn" | "bun" if matches!(first, "install" | "i" | "ci" | "add") => {
            once.install(range, &shown());
        }
        "playwright" if first == "install" => once.install(range, &shown()),
        "go" if first == "install" => once.install(range, &shown()),
        "curl" | "wget" if !local() && !has("--version") => once.network(range, &format!("`{name}`")),
        "ssh" | "scp" | "sftp" | "ftp" | "telnet" | "gh" | "aws" | "gcloud" | "gsutil" | "az" | "nc"
        | "npx" | "uvx" | "huggingface-cli" | "kubectl"
            if !has("--version") && !has("--help") && !first.is_empty() =>
        {
            once.network(range, &format!("`{name}`"));
        }
        "git" if matches!(first, "clone" | "pull" | "fetch" | "push" | "ls-remote") => {
            once.network(range, &shown());
        }
        "osascript" | "pbcopy" | "pbpaste" | "xdg-open" | "sw_vers" | "defaults" | "sips" | "say"
        | "screencapture" | "powershell.exe" | "cmd.exe" | "explorer.exe" | "notify-send" | "xclip"
        | "xdotool" | "launchctl" => {
            once.desktop(range, &format!("`{name}`"));
        }
        "systemctl" | "service" | "crontab" | "docker" | "docker-compose" | "podman" | "dockerd"
        | "supervisorctl"
            if !arguments.is_empty() && !has("--version") =>
        {
            once.service(range, &format!("`{name}`"));
        }
        "uvicorn" | "gunicorn" | "flask" | "http.server" | "streamlit" => {
            once.service(range, &format!("`{name}`"));
        }
        "python" | "python3" if arguments.first() == Some(&"-m") => command(&arguments[1..], range, once),
        _ => {}
    }
}

pub(crate) fn check_shell(subject: &Subject<'_>, findings: &mut Findings) {
    for (text, shell) in subject.shells() {
        if !is_run(&text.path) {
            continue;
        }
        let mut once = Once { text, findings: &mut *findings, seen: BTreeSet::new() };
        let asks_whether_somebody_is_there =
            ["-t 0", "-t 1", "tty -s"].iter().any(|test| text.content.contains(test));
        for line in &shell.commands {
            let Some((name, _)) = line.words.split_first() else { continue };
            if name.text().is_some_and(|name| shell.functions.contains(name)) {
                continue;
            }
            let range = name.range.clone();
            if is_prompt(line) && !asks_whether_somebody_is_there {
                once.prompt(range.clone(), "`read`");
            }
            let words: Vec<&str> = line.program().iter().map(|word| word.start.as_str()).collect();
            command(&words, range, &mut once);
        }
        let unset = shell
            .variables
            .iter()
            .filter(|(_, name, has_default)| !has_default && !shell.assigned.contains(name));
        secrets(text, unset.map(|(range, name, _)| (range, name.as_str())), findings);
    }
}

/// `read` with a prompt; without one it reads what the script itself feeds it.
fn is_prompt(command: &Command) -> bool {
    let mut words = command.words.iter().map(Word::text);
    words.next() == Some(Some("read"))
        && words.take_while(|word| word.is_none_or(|word| word.starts_with('-'))).any(|word| {
            word.is_some_and(|word| word.starts_with('-') && !word.starts_with("--") && word.contains('p'))
        })
        || command.words.first().and_then(Word::text) == Some("select")
}

pub(crate) fn check_node(subject: &Subject<'_>, findings: &mut Findings) {
    static NETWORK: Pattern = Pattern::new(
        r#"(?m)(?:^|[^.\w])(fetch)\(|(?:require\(|from )['"](?:node:)?(axios|https?|node-fetch|got|undici|ws)['"]"#,
        &[&["fetch(", "require(", "from "]],
    );
    static VARIABLE: Pattern = Pattern::new(r"process\.env\.([A-Z][A-Z0-9_]*)", &[&["process.env."]]);
    static LISTEN: Pattern = Pattern::new(r"\.listen\(\s*(?:\d|port|PORT|process)", &[&[".listen("]]);
    static PROMPT: Pattern = Pattern::new(
        r#"\b(?:rl|readline|inquirer)\.(?:question|prompt)\(|require\(['"]prompts['"]\)"#,
        &[&["rl.", "readline.", "inquirer.", "require("]],
    );
    for script in subject.scripts_in(Language::Node) {
        if !is_run(&script.path) {
            continue;
        }
        let first = |pattern: &'static Pattern| {
            // A comment is no code; a URL in a string is no comment.
            pattern
                .find_iter(&script.content)
                .find(|found| {
                    let line =
                        script.content[..found.start()].rsplit('\n').next().unwrap_or_default().trim_start();
                    !line.starts_with("//") && !line.starts_with('*')
                })
                .map(|found| found.range())
        };
        let mut once = Once { text: script, findings: &mut *findings, seen: BTreeSet::new() };
        if let Some(range) = first(&NETWORK) {
            once.network(range, "this");
        }
        if let Some(range) = first(&LISTEN) {
            once.service(range, "a server");
        }
        if let Some(range) = first(&PROMPT)
            && !script.content.contains("isTTY")
        {
            once.prompt(range, "this");
        }
        let variables: Vec<(Range<usize>, &str)> = VARIABLE
            .captures_iter(&script.content)
            .filter_map(|found| Some((found.get(0)?.range(), found.get(1)?.as_str())))
            .collect();
        secrets(script, variables.iter().map(|(range, name)| (range, *name)), findings);
    }
}

/// Whether a literal is the start of a command; used where only the first word counts.
pub(crate) fn first_word(literal: &Literal) -> Option<&str> {
    literal.start().map(|text| text.split_whitespace().next().unwrap_or_default())
}
