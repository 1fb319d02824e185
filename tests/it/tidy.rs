//! House rules that a compiler does not keep, as tests. A new crate, file or document that breaks one is named.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use toml::Table;

use crate::support::skillbox::repository;

/// Most lines of a file that are not tests.
const LONGEST_FILE: usize = 600;

/// Crates of others that only these of ours may depend on.
const RESERVED: [(&str, &[&str]); 19] = [
    // Only one store knows AWS.
    ("aws-config", &["artifact-s3"]),
    ("aws-sdk-s3", &["artifact-s3", "bench"]),
    // Only the server knows HTTP; and what stands between package tools and the index.
    ("axum", &["server"]),
    ("prometheus-client", &["server"]),
    ("hyper", &["layer", "server"]),
    ("hyper-util", &["layer", "server"]),
    ("tower", &["server"]),
    ("tower-http", &["server"]),
    // What is pure stays pure, and what runs as PID 1 stays small.
    (
        "tokio",
        &[
            "artifact",
            "artifact-s3",
            "bench",
            "cli",
            "driver-docker",
            "driver-native",
            "layer",
            "runner",
            "sandbox",
            "server",
            "skill-test",
        ],
    ),
    ("futures-util", &["bench", "driver-docker", "layer", "runner", "sandbox", "server"]),
    // Only its driver, and what measures it, talks to a Docker daemon.
    ("bollard", &["bench", "driver-docker"]),
    // Fetches inputs by URL, and pages and files of the package index.
    ("reqwest", &["layer", "server"]),
    // System calls are for those who need them.
    ("libc", &["driver-native", "init"]),
    ("landlock", &["init", "layer"]),
    ("rustix", &["cli", "driver-docker", "driver-native", "init", "layer"]),
    // Each format has one reader; `skill` only writes with this one, and `layer` reads the metadata of wheels.
    ("serde_yaml", &["skill", "skill-test"]),
    ("zip", &["layer", "skill"]),
    // The command line is the binary's.
    ("clap", &["bench", "cli"]),
    ("anyhow", &["bench", "cli"]),
];

fn manifest(package: &Path) -> Table {
    fs::read_to_string(package.join("Cargo.toml")).unwrap().parse().unwrap()
}

/// The directories of all crates, by name.
fn crates() -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(repository().join("crates")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.join("Cargo.toml").exists());
    paths.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path)).collect()
}

/// The names of the dependencies in a table such as `dependencies`, also those for one platform only.
fn dependencies(manifest: &Table, kind: &str) -> BTreeSet<String> {
    let keys = |table: &Table| {
        table.get(kind).and_then(toml::Value::as_table).map(|table| table.keys().cloned().collect())
    };
    let mut found: BTreeSet<String> = keys(manifest).unwrap_or_default();
    for target in manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(Table::values) {
        found.extend(target.as_table().and_then(keys).unwrap_or_default());
    }
    found
}

/// Every file of the source tree that is not made by a tool, below a directory.
fn files(directory: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    const MADE: [&str; 5] = [".git", "node_modules", "out", "output", "target"];
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && !MADE.contains(&entry.file_name().to_str().unwrap()) {
            found.extend(files(&path, wanted));
        } else if kind.is_file() && wanted(&path) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<(PathBuf, String)> {
    let is_rust = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    ["crates", "tests"].iter().flat_map(|top| files(&repository().join(top), &is_rust)).map(read).collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap().display().to_string()
}

/// Whether a whole file is tests.
fn is_test_file(path: &Path) -> bool {
    let relative = path.strip_prefix(repository()).unwrap();
    relative.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

/// The lines of a file that are not tests, and those that are.
fn split(path: &Path, text: &str) -> (Vec<String>, Vec<String>) {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let module = lines
        .windows(2)
        .position(|pair| pair[0].trim() == "#[cfg(test)]" && pair[1].trim_end().ends_with(" tests {"));
    let start = if is_test_file(path) { 0 } else { module.unwrap_or(lines.len()) };
    (lines[..start].to_vec(), lines[start..].to_vec())
}

/// A line without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

#[track_caller]
fn none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn crates_depend_only_on_what_the_table_allows() {
    let crates = crates();
    let table = allowed(&crates);
    let mut broken = Vec::new();
    for (name, path) in &crates {
        let Some(allowed) = table.get(name) else {
            broken.push(format!("{name} is not in the table"));
            continue;
        };
        let manifest = manifest(path);
        let used = dependencies(&manifest, "dependencies");
        let ours = used.iter().filter(|used| crates.contains_key(*used));
        let wrong = ours.filter(|used| !allowed.contains(used.as_str()));
        broken.extend(wrong.map(|used| format!("{name} may not depend on {used}")));
        for (reserved, owners) in RESERVED {
            if used.contains(reserved) && !owners.contains(&name.as_str()) {
                broken.push(format!("{name} may not depend on {reserved}"));
            }
        }
        // Not even the tests of another crate may lean on a concrete driver.
        let for_tests = dependencies(&manifest, "dev-dependencies");
        let drivers = for_tests.iter().filter(|used| used.starts_with("driver-") && *used != name);
        broken.extend(drivers.map(|used| format!("the tests of {name} may not depend on {used}")));
    }
    none("the dependency table of ARCHITECTURE.md", &broken);
    for name in table.keys() {
        assert!(crates.contains_key(name), "ARCHITECTURE.md names {name}, which is not there");
    }
}

/// Which of our crates each crate may depend on, as ARCHITECTURE.md has it: a row of a table for each, the name in the
/// first column, the crates in the third.
fn allowed(crates: &BTreeMap<String, PathBuf>) -> BTreeMap<String, BTreeSet<String>> {
    let document = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let mut table = BTreeMap::new();
    let map = document
        .lines()
        .skip_while(|line| !line.contains("may depend on"))
        .take_while(|line| line.starts_with('|'));
    for row in map.skip(2) {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = columns[1].trim_matches('`').to_owned();
        let named = columns[3].split('`').skip(1).step_by(2).map(str::to_owned);
        let may = match columns[3] {
            "everything" => crates.keys().cloned().collect(),
            // Also where a remark in brackets follows.
            none if none.starts_with("none") => BTreeSet::new(),
            _ => named.collect(),
        };
        table.insert(name, may);
    }
    assert!(!table.is_empty(), "ARCHITECTURE.md has no table with a column `may depend on`");
    table
}

/// A store is concrete, too. It lives beside its contract, so the manifest does not tell; the sources do.
#[test]
fn only_the_command_names_a_concrete_driver_or_store() {
    const CONCRETE: [&str; 7] = [
        "NativeDriver",
        "DockerDriver",
        "LocalStore",
        "S3Store",
        "artifact_s3",
        "driver_native",
        "driver_docker",
    ];
    let owners = [
        "crates/bench/",
        "crates/cli/",
        "crates/driver-docker/",
        "crates/driver-native/",
        "crates/artifact/",
        "crates/artifact-s3/",
    ];
    let mut broken = Vec::new();
    for (path, text) in rust_files() {
        let name = shown(&path);
        if owners.iter().any(|owner| name.starts_with(owner)) || name.starts_with("tests/") {
            continue;
        }
        let (lines, _) = split(&path, &text);
        let uses = lines.iter().filter_map(|line| CONCRETE.iter().find(|word| code(line).contains(*word)));
        broken.extend(uses.map(|word| format!("{name}: {word}")));
    }
    none("only cli names a driver or a store", &broken);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut broken = Vec::new();
    for (path, text) in rust_files() {
        let length = split(&path, &text).0.len();
        if length > LONGEST_FILE {
            broken.push(format!("{}: {length} lines without tests, more than {LONGEST_FILE}", shown(&path)));
        }
        if !text.starts_with("//! ") {
            broken.push(format!("{}: does not start with //!", shown(&path)));
        }
        if path.file_name().is_some_and(|name| name == "mod.rs") {
            broken.push(format!("{}: should be beside its directory", shown(&path)));
        }
    }
    none("files are short and say what they are", &broken);
}

#[test]
fn every_crate_takes_over_the_lints() {
    let packages = crates().into_values().chain([repository().join("tests")]);
    let inherits = |package: &Path| {
        manifest(package).get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool)
            == Some(true)
    };
    let broken: Vec<String> =
        packages.filter(|package| !inherits(package)).map(|package| shown(&package)).collect();
    none("[lints] workspace = true", &broken);
}

#[test]
fn unsafe_is_in_two_files_only() {
    const ALLOWED: [&str; 2] = ["crates/driver-native/src/sys.rs", "crates/init/src/sys.rs"];
    let is_unsafe = |line: &String| {
        let mut words = code(line)
            .split(|character: char| !character.is_alphanumeric() && character != '_' && character != '"');
        words.any(|word| word == "unsafe")
    };
    let holds: BTreeSet<String> = rust_files()
        .iter()
        .filter(|(path, text)| !is_this(path) && text.lines().map(str::to_owned).any(|line| is_unsafe(&line)))
        .map(|(path, _)| shown(path))
        .collect();
    let broken: Vec<String> = holds.into_iter().filter(|name| !ALLOWED.contains(&name.as_str())).collect();
    none("unsafe code", &broken);
}

fn is_this(path: &Path) -> bool {
    path.ends_with("tests/it/tidy.rs")
}

#[test]
fn nothing_is_left_undone_ignored_or_slept_through() {
    let unfinished = ["todo!(", "unimplemented!(", "#[ignore"];
    let mut broken = Vec::new();
    for (path, text) in rust_files().iter().filter(|(path, _)| !is_this(path)) {
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = unfinished.iter().find(|word| code(line).contains(*word)) {
                broken.push(format!("{}:{}: {word}", shown(path), number + 1));
            }
        }
        // On a paused clock sleeping takes no time: it is how such a test says when.
        let is_paused = text.contains("start_paused = true") || text.contains("time::pause(");
        for line in split(path, text).1 {
            let line = code(&line);
            if line.contains("thread::sleep(")
                || (line.contains("time::sleep(") && !line.contains('"') && !is_paused)
            {
                broken.push(format!("{}: a test waits for time alone: {}", shown(path), line.trim()));
            }
        }
    }
    none("nothing is left undone, ignored or slept through", &broken);
}

#[test]
fn every_crate_is_on_the_map() {
    let map = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let broken: Vec<String> =
        crates().into_keys().filter(|name| !map.contains(&format!("`{name}`"))).collect();
    none("crates that ARCHITECTURE.md does not name", &broken);
}

/// SECURITY.md: from a line with a promise's number on, everything up to the next number is about that promise. Tests are
/// named there in backticks with a path, such as `it::recovery::name_of_test`.
#[test]
fn every_promise_names_tests_that_exist() {
    let document = fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    let mut sections: BTreeMap<u32, String> = BTreeMap::new();
    let mut current = None;
    for line in document.lines() {
        let start = line.trim_start_matches(['|', '*', '#', '-', ' ', '`']);
        let digits = start
            .strip_prefix('P')
            .map(|rest| rest.split(|character: char| !character.is_ascii_digit()).next().unwrap());
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(number) => current = Some(number),
            None if line.starts_with('#') => current = None,
            None => {}
        }
        if let Some(number) = current {
            sections.entry(number).or_default().push_str(line);
        }
    }
    let tests = tests_by_name();
    let mut broken = Vec::new();
    for promise in 1..=15 {
        let text = sections.get(&promise).map(String::as_str).unwrap_or_default();
        let named: Vec<&str> =
            text.split('`').skip(1).step_by(2).filter(|word| is_path_of_test(word)).collect();
        if named.is_empty() {
            broken.push(format!("P{promise} names no test"));
        }
        for name in named {
            if !tests.contains(name.rsplit("::").next().unwrap()) {
                broken.push(format!("P{promise} names `{name}`, which is no test"));
            }
        }
    }
    none("promises and their tests", &broken);
}

fn is_path_of_test(word: &str) -> bool {
    let is_name = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_lowercase())
            && part.chars().all(|character| {
                character.is_ascii_lowercase() || character.is_ascii_digit() || "_-".contains(character)
            })
    };
    word.contains("::") && word.split("::").all(is_name) && word.rsplit("::").next().unwrap().contains('_')
}

/// The names of all test functions and of the cases of the conformance suite, which are functions without an attribute.
fn tests_by_name() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (path, text) in rust_files() {
        let is_suite = shown(&path).contains("conformance");
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            let declared =
                line.split_once("fn ").filter(|(before, _)| before.is_empty() || before.ends_with(' '));
            if let Some((_, after)) = declared {
                let name: String = after
                    .chars()
                    .take_while(|character| character.is_alphanumeric() || *character == '_')
                    .collect();
                if is_test || is_suite {
                    names.insert(name);
                }
                is_test = false;
            } else if line == "#[test]" || line.starts_with("#[tokio::test") {
                is_test = true;
            }
        }
    }
    names
}

/// Neither the machine that wrote a file nor the hosts that its parts came from belong into it.
#[test]
fn no_file_names_a_machine_or_a_download_host() {
    let mut words = ["static.crates.io", "index.crates.io/", "registry.npmjs.org", "files.pythonhosted.org"]
        .map(str::to_owned)
        .to_vec();
    let own = repository().display().to_string();
    // A checkout at a place that sandboxes have as well cannot be told from them.
    if own.matches('/').count() > 1
        && !["/workspace", "/output", "/skills", "/tmp"].iter().any(|place| own.starts_with(place))
    {
        words.push(own);
    }
    if let Some(cargo) = env::var_os("CARGO_HOME") {
        words.push(PathBuf::from(cargo).display().to_string());
    }
    let mut broken = Vec::new();
    for path in files(repository(), &|path| !is_this(path)) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        broken.extend(
            words.iter().filter(|word| text.contains(*word)).map(|word| format!("{}: {word}", shown(&path))),
        );
    }
    none("names of machines and hosts", &broken);
}

#[test]
fn what_is_locked_comes_from_the_registries_only() {
    let lock: Table = fs::read_to_string(repository().join("Cargo.lock")).unwrap().parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let ours: BTreeSet<String> = crates().into_keys().chain(["tests".to_owned()]).collect();
    let mut broken = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        match package.get("source").and_then(toml::Value::as_str) {
            Some("registry+https://github.com/rust-lang/crates.io-index") => {}
            Some(other) => broken.push(format!("{name}: {other}")),
            None if ours.contains(name) => {}
            None => broken.push(format!("{name}: neither ours nor from a registry")),
        }
    }
    for path in files(repository(), &|path| path.ends_with("package-lock.json")) {
        let lock: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for (name, package) in
            lock["packages"].as_object().unwrap().iter().filter(|(name, _)| !name.is_empty())
        {
            if package.get("resolved").is_some() {
                broken.push(format!("{}: {name} has an address", shown(&path)));
            }
            if package.get("integrity").is_none() {
                broken.push(format!("{}: {name} has no checksum", shown(&path)));
            }
        }
    }
    none("where locked packages come from", &broken);
}
