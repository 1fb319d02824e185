//! Every example skill: valid, runs, and makes the files that it promises; from its folder, from a bundle of it, and
//! uploaded over HTTP.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    bundle,
    client::Request,
    require::require,
    serve::{Options, Serve, call},
    skillbox::{Ran, example, repository, run, run_in},
};

/// What an example is run with and what must come of it.
struct Example {
    skill: &'static str,
    script: &'static str,
    args: &'static [&'static str],
    files: &'static [&'static str],
    check: fn(&Path),
}

const SAYS: &str = "https://octavus.ai/?a=1&b=ü";

const EXAMPLES: [Example; 3] = [
    Example {
        skill: "qr-code",
        script: "generate.py",
        args: &["--data", SAYS],
        files: &["qrcode.png"],
        check: check_qr,
    },
    Example {
        skill: "data-analysis",
        script: "analyze.py",
        args: &["assets/sales.csv"],
        files: &["chart.png", "summary.json"],
        check: check_chart,
    },
    Example {
        skill: "text-report",
        script: "report.sh",
        args: &["--title", "Beispiel <1>"],
        files: &["report.html", "report.md", "statistics.json"],
        check: check_report,
    },
];

fn check_qr(out: &Path) {
    let path = out.join("qrcode.png");
    let (width, height) = png_size(&fs::read(&path).unwrap());
    assert!(width == height && width >= 210 && width % 10 == 0, "{width}x{height}");
    if !require("zbar") {
        return;
    }
    // A scanner reads from it what went in. As bytes: what they mean, this scanner guesses, and not as phones do.
    let scanned = Command::new("zbarimg")
        .args(["--quiet", "--nodbus", "--raw", "-Sbinary"])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&scanned.stdout).trim_end(),
        SAYS,
        "{}",
        String::from_utf8_lossy(&scanned.stderr)
    );
}

fn check_chart(out: &Path) {
    let (width, height) = png_size(&fs::read(out.join("chart.png")).unwrap());
    assert!(width >= 400 && height >= 300, "{width}x{height}");
    let summary: Value =
        serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
    let rows =
        fs::read_to_string(example("data-analysis").join("assets/sales.csv")).unwrap().lines().count() - 1;
    assert_eq!(summary["rows"], json!(rows), "{summary}");
}

fn check_report(out: &Path) {
    let markdown = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(markdown.contains("# Beispiel"), "{markdown}");
    let html = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(html.contains("Beispiel &lt;1&gt;") && html.trim_end().ends_with("</html>"), "{html}");
    let statistics: Value =
        serde_json::from_str(&fs::read_to_string(out.join("statistics.json")).unwrap()).unwrap();
    assert!(statistics.is_object(), "{statistics}");
}

/// Width and height of a PNG, from its first chunk.
fn png_size(bytes: &[u8]) -> (u32, u32) {
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && &bytes[12..16] == b"IHDR", "not a PNG");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

impl Example {
    fn run(&self, skill: &Path, out: &Path) -> Ran {
        let mut args = vec!["run", skill.to_str().unwrap(), self.script, "-o", out.to_str().unwrap(), "--"];
        args.extend(self.args);
        let ran = run(&args).success();
        assert_eq!(names(out), self.files, "{}", ran.stderr);
        (self.check)(out);
        ran
    }
}

/// The names of what is in a directory, in order.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn every_example_is_here() {
    let folders = names(&repository().join("skills-examples"));
    let mut known: Vec<&str> = EXAMPLES.iter().map(|example| example.skill).collect();
    known.sort_unstable();
    assert_eq!(folders, known);
}

#[test]
fn each_runs_from_its_folder_and_from_a_bundle() {
    if !require("native") {
        return;
    }
    for it in EXAMPLES {
        let directory = TempDir::new().unwrap();
        let folder = example(it.skill);
        let ran = it.run(&folder, &directory.path().join("from-folder"));
        // Each prints one JSON line for the model.
        let said: Value =
            serde_json::from_str(ran.stdout.trim_end()).unwrap_or_else(|_| panic!("{}", ran.stdout));
        assert!(said.is_object() && said.get("error").is_none(), "{said}");
        let packed = directory.path().join(format!("{}.skill", it.skill));
        fs::write(&packed, bundle::of_folder(&folder)).unwrap();
        let valid = run_in(directory.path(), &["validate", packed.to_str().unwrap()]);
        assert_eq!(valid.code(), 0, "{}{}", valid.stdout, valid.stderr);
        it.run(&packed, &directory.path().join("from-bundle"));
        let same = |name: &str| {
            ["from-folder", "from-bundle"]
                .map(|from| fs::read(directory.path().join(from).join(name)).unwrap())
        };
        for name in it.files {
            let [folder, bundle] = same(name);
            assert_eq!(folder, bundle, "{}: {name} differs between folder and bundle", it.skill);
        }
    }
}

/// What a skill does with a mistake is part of it: `{"error": …}` on standard output, and exit code 1.
#[test]
fn each_says_what_is_wrong_with_its_arguments() {
    if !require("native") {
        return;
    }
    for it in EXAMPLES {
        let directory = TempDir::new().unwrap();
        let skill = example(it.skill);
        let wrong: &[&str] = match it.skill {
            "qr-code" => &["--data", "x", "--scale", "0"],
            _ => &["/workspace/not-there"],
        };
        let mut args = vec!["run", skill.to_str().unwrap(), it.script, "--"];
        args.extend(wrong);
        let ran = run_in(directory.path(), &args);
        assert_eq!(ran.code(), 1, "{}: {}", it.skill, ran.stderr);
        let said: Value =
            serde_json::from_str(ran.stdout.trim_end()).unwrap_or_else(|_| panic!("{}", ran.stdout));
        assert!(said["error"].as_str().is_some_and(|error| !error.is_empty()), "{said}");
    }
}

#[test]
fn each_runs_uploaded_over_http() {
    if !require("native") {
        return;
    }
    let empty = TempDir::new().unwrap();
    // A server that has none of them of its own.
    let server = Serve::with(&Options { skills: Some(empty.path().to_owned()), ..Options::default() });
    for it in EXAMPLES {
        let bundle = bundle::of_folder(&example(it.skill));
        let installed =
            server.request("POST", "/v1/skills").body("application/zip", bundle).send().expect(201);
        assert_eq!(installed["dependencies"]["state"], "ready", "{installed}");
        let run = call("skill_run", &json!({"skill": it.skill, "script": it.script, "args": it.args}));
        let answer = server.call(it.skill, &[it.skill], &[run]);
        let result = &answer["toolResults"][0];
        assert_eq!(result["result"]["exitCode"], 0, "{answer}");
        let out = TempDir::new().unwrap();
        for file in result["files"].as_array().unwrap() {
            let link = file["url"].as_str().unwrap().strip_prefix(&server.url()).unwrap().to_owned();
            let response = Request::new(server.address(), "GET", &link).send();
            assert_eq!(response.status, 200);
            fs::write(out.path().join(file["filename"].as_str().unwrap()), response.body).unwrap();
        }
        assert_eq!(names(out.path()), it.files);
        (it.check)(out.path());
    }
    let slugs = server.request("GET", "/v1/skills").send().expect(200);
    assert_eq!(slugs["skills"].as_array().unwrap().len(), EXAMPLES.len());
}

/// The second run has nothing to prepare: with the index out of reach it is the same.
#[test]
fn dependencies_come_from_the_cache_the_second_time() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let skill = example("qr-code");
    let args = |out| ["run", skill.to_str().unwrap(), "generate.py", "-o", out, "--", "--data", "x"];
    run_in(directory.path(), &args("one")).success();
    let offline = [["--offline"].as_slice(), &args("two")].concat();
    run_in(directory.path(), &offline).success();
    let [one, two] =
        ["one", "two"].map(|out| fs::read(directory.path().join(out).join("qrcode.png")).unwrap());
    assert_eq!(one, two);
}
