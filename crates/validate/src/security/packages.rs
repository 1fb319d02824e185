//! What is installed: packages whose names imitate others, and code that installing runs.

use std::ops::Range;

use serde::Deserialize;
use skill::{Diagnostic, Rule};

use super::code;
use crate::{
    paths::{is_one_edit_away, name},
    pattern::Pattern,
    subject::{Findings, Subject, Text},
};

/// Popular packages, which are imitated most.
const PYTHON: [&str; 48] = [
    "requests",
    "numpy",
    "pandas",
    "scipy",
    "matplotlib",
    "seaborn",
    "pillow",
    "openpyxl",
    "pypdf",
    "pdfplumber",
    "reportlab",
    "beautifulsoup4",
    "selenium",
    "playwright",
    "flask",
    "django",
    "fastapi",
    "uvicorn",
    "pydantic",
    "sqlalchemy",
    "psycopg2",
    "pymongo",
    "redis",
    "boto3",
    "paramiko",
    "cryptography",
    "tensorflow",
    "torch",
    "transformers",
    "scikit-learn",
    "openai",
    "anthropic",
    "langchain",
    "httpx",
    "aiohttp",
    "urllib3",
    "certifi",
    "colorama",
    "setuptools",
    "pyyaml",
    "jinja2",
    "python-dotenv",
    "python-docx",
    "python-pptx",
    "tqdm",
    "click",
    "pytest",
    "networkx",
];
const NODE: [&str; 26] = [
    "react",
    "react-dom",
    "express",
    "lodash",
    "axios",
    "chalk",
    "commander",
    "typescript",
    "webpack",
    "puppeteer",
    "playwright",
    "dotenv",
    "moment",
    "prettier",
    "eslint",
    "request",
    "underscore",
    "bluebird",
    "mongoose",
    "jsonwebtoken",
    "cross-env",
    "node-fetch",
    "socket.io",
    "pptxgenjs",
    "nodemailer",
    "body-parser",
];
/// Packages that exist for reasons of their own although their names are near to those.
const REAL: [&str; 30] = [
    "request",
    "scapy",
    "djongo",
    "boto",
    "boto2",
    "jinja",
    "beautifulsoup",
    "preact",
    "torchx",
    "openapi",
    "psycopg",
    "psycopg3",
    "pypdf2",
    "pypdf3",
    "pypdf4",
    "playwright",
    "aredis",
    "iredis",
    "clack",
    "dotenvx",
    "lodash",
    "requests",
    "moments",
    "numpy",
    "httpx2",
    "reactn",
    "flasky",
    "clicks",
    "python-docs",
    "scipy",
];

/// How many imitations one file names at most; more of the same teach nothing.
const MAX_NAMES: usize = 20;

static INSTALL: Pattern = Pattern::new(
    r"\b(?:(pip3?|uv pip|uv|poetry|pipx)\s+(?:install|add)|(npm|pnpm|yarn|bun)\s+(?:install|i|add))[ \t]+([^\n;&|`#]+)",
    &[&[r"\bpip", r"\buv", r"\bpoetry", r"\bnpm", r"\bpnpm", r"\byarn", r"\bbun"]],
);
/// The hooks of npm that run when a package is installed by somebody else.
static HOOK: Pattern = Pattern::new(
    r#""(preinstall|install|postinstall)"\s*:\s*"((?:[^"\\]|\\.)*)""#,
    &[&["\"preinstall\"", "\"install\"", "\"postinstall\""]],
);
static SETUP: Pattern = Pattern::new(
    r"\bcmdclass\s*=|\bos\.(?:system|popen)\s*\(|\bsubprocess\.\w+\s*\(|\burlopen\s*\(|\brequests\.\w+\s*\(|\bexec\s*\(",
    &[&["cmdclass", "os.system", "os.popen", "subprocess.", "urlopen", "requests.", r"\bexec"]],
);

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for file in subject.draft.files() {
        let path = file.path.as_str();
        let file_name = name(path);
        let Some(text) = subject.text(path) else { continue };
        match file_name {
            "package.json" => package_json(text, findings),
            "setup.py" => setup(text, findings),
            "sitecustomize.py" | "usercustomize.py" => findings.push(hook(
                text,
                0..0,
                "Python runs this file at every start, whatever the program is",
            )),
            _ if file_name.ends_with(".pth") => findings.extend(
                text.lines()
                    .find(|(_, line)| line.starts_with("import ") || line.starts_with("import\t"))
                    .map(|(range, _)| hook(text, range, "Python runs this line at every start")),
            ),
            _ if file_name.starts_with("requirements") && file_name.ends_with(".txt") => {
                for (range, line) in text.lines() {
                    names(text, line, range.start, &PYTHON, findings);
                }
            }
            _ => {}
        }
        installs(subject, path, findings);
    }
    inline_metadata(subject, findings);
}

/// What a command installs.
fn installs(subject: &Subject<'_>, path: &str, findings: &mut Findings) {
    let Some((text, ranges)) = code(subject, path) else { return };
    for range in ranges {
        let part = &text.content[range.clone()];
        for found in INSTALL.captures_iter(part) {
            let Some(arguments) = found.get(3) else { continue };
            let known: &[&str] = if found.get(1).is_some() { &PYTHON } else { &NODE };
            let mut end = range.start + arguments.start();
            for word in arguments.as_str().split_inclusive(char::is_whitespace) {
                end += word.len();
                let bare = word.trim_start_matches(['"', '\'']);
                names(text, bare.trim_end(), end - bare.len(), known, findings);
            }
        }
    }
}

/// The dependencies that a script lists in itself.
fn inline_metadata(subject: &Subject<'_>, findings: &mut Findings) {
    for script in &subject.draft.requirements().scripts {
        let Some(text) = subject.text(&script.path) else { continue };
        let end = text.content.find("\n# ///\n").map_or(text.content.len(), |at| at + 1);
        let start = text.content.find("# /// script").unwrap_or_default();
        let Some(block) = text.content.get(start..end.max(start)) else { continue };
        // Every piece that begins behind a quotation mark; `names` takes no other for a name.
        let mut end = start;
        for piece in block.split_inclusive(['"', '\'', '\n']) {
            let begins = end > start && text.content[..end].ends_with(['"', '\'']);
            if begins {
                names(text, piece.trim_end_matches(['"', '\'', '\n']), end, &PYTHON, findings);
            }
            end += piece.len();
        }
    }
}

/// Compares the name at the beginning of `requirement` with those that are known.
fn names(text: &Text, requirement: &str, start: usize, known: &[&str], findings: &mut Findings) {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let end = requirement.find(|character| !is_part(character)).unwrap_or(requirement.len());
    let (name, rest) = requirement.split_at(end);
    // `./x`, `x.txt` and addresses are no names of packages.
    if !name.starts_with(|first: char| first.is_ascii_alphanumeric())
        || rest.starts_with(['/', ':', '\\'])
        || requirement.ends_with(".txt")
    {
        return;
    }
    let Some(popular) = imitated(name, known) else { return };
    let message = format!("`{name}` is not `{popular}`");
    findings.push(
        Diagnostic::new(Rule::LOOKALIKE_PACKAGE, text.at(start..start + name.len()), message).with_help(
            format!("did you mean `{popular}`? If not, make sure that this package is what you want"),
        ),
    );
}

/// The popular package that `name` is nearly called like.
fn imitated<'known>(name: &str, known: &[&'known str]) -> Option<&'known str> {
    let normal = name.to_lowercase().replace('_', "-");
    if normal.len() < 5 || known.contains(&normal.as_str()) || REAL.contains(&normal.as_str()) {
        return None;
    }
    known.iter().copied().find(|known| known.len() >= 5 && is_one_edit_away(known, &normal))
}

#[derive(Deserialize)]
struct Package {
    #[serde(default)]
    dependencies: Names,
    #[serde(default, rename = "devDependencies")]
    development: Names,
}

type Names = std::collections::BTreeMap<String, serde::de::IgnoredAny>;

fn package_json(text: &Text, findings: &mut Findings) {
    for found in HOOK.captures_iter(&text.content) {
        let (Some(whole), Some(event)) = (found.get(0), found.get(1)) else { continue };
        let message = format!("installing runs a command (`{}`)", event.as_str());
        findings.push(hook(text, whole.range(), &message));
    }
    let Ok(package) = serde_json::from_str::<Package>(&text.content) else { return };
    let all = package.dependencies.keys().chain(package.development.keys());
    for dependency in all.filter(|name| imitated(name, &NODE).is_some()).take(MAX_NAMES) {
        let Some(at) = text.content.find(&format!("\"{dependency}\"")) else { continue };
        names(text, dependency, at + 1, &NODE, findings);
    }
}

fn setup(text: &Text, findings: &mut Findings) {
    if let Some(found) = SETUP.find(&text.content) {
        findings.push(hook(text, found.range(), "installing runs code of this file"));
    }
}

fn hook(text: &Text, range: Range<usize>, message: &str) -> Diagnostic {
    Diagnostic::new(Rule::INSTALL_HOOK, text.at(range), message)
        .with_help("declare what is needed, and run what must be run from a script that is called on purpose")
}

#[cfg(test)]
mod tests {
    use super::{super::tests::found, *};

    #[test]
    fn imitations_are_found_where_packages_are_named() {
        let of = |path: &str, content: &str| found(&[(path, content)], Rule::LOOKALIKE_PACKAGE);
        assert_eq!(
            of("requirements.txt", "numpy\nreqeusts>=2\nscapy\n# pandaz\n"),
            ["requirements.txt:2:1: warning[SB318]: `reqeusts` is not `requests`"]
        );
        assert_eq!(
            of("a.md", "```sh\npip install -U \"pandaas==1\" numpy\n```\n"),
            ["a.md:2:17: warning[SB318]: `pandaas` is not `pandas`"]
        );
        assert_eq!(
            of(
                "package.json",
                "{\"dependencies\": {\"expresss\": \"1\", \"preact\": \"1\", \"@a/reac\": \"1\"}}"
            ),
            ["package.json:1:20: warning[SB318]: `expresss` is not `express`"]
        );
        assert_eq!(
            of("scripts/a.py", "# /// script\n# dependencies = [\"fastapy\", \"httpx\"]\n# ///\n"),
            ["scripts/a.py:2:20: warning[SB318]: `fastapy` is not `fastapi`"]
        );
        assert_eq!(of("a.md", "pip install pandaas, in prose"), [""; 0]);
    }

    #[test]
    fn hooks_are_found() {
        let of = |path: &str, content: &str| found(&[(path, content)], Rule::INSTALL_HOOK).len();
        assert_eq!(of("package.json", "{\"scripts\": {\"postinstall\": \"node x.js\"}}"), 1);
        assert_eq!(of("package.json", "{\"scripts\": {\"test\": \"node x.js\", \"prepare\": \"x\"}}"), 0);
        assert_eq!(of("setup.py", "setup(cmdclass={'install': X})"), 1);
        assert_eq!(of("setup.py", "setup(name='x')"), 0);
        assert_eq!(of("x.pth", "/a\nimport os; os.system('x')\n"), 1);
        assert_eq!(of("sitecustomize.py", "x"), 1);
    }
}
