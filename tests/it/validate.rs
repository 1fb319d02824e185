//! `skillbox validate` and `skillbox rules`, as authors and CI jobs use them.

mod reference;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    bundle,
    skillbox::{Ran, command, example, repository, run, run_in},
    snapshot::shown,
};

/// Something of every kind: errors, warnings and infos, fixable and not, with and without a place.
const BAD: &str = "---\nname: My-Skill\ndescription: Use this: when counting <b>\nmetadata: {team: [a, b]}\n\
                   allowed_tools: Read\nversion: 1\n---\nSee \u{1b}[31mé.\n";
const GOOD: &str = "---\nname: other\ndescription: Counts words in a text. Use it when asked how many there are.\n\
                    license: MIT\n---\nRun `wc -w FILE`.\n";

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A directory with a bad skill, a good one and a bundle that is none.
fn skills() -> TempDir {
    let directory = TempDir::new().unwrap();
    write(directory.path(), "skills/my-skill/SKILL.md", BAD);
    write(directory.path(), "skills/other/SKILL.md", GOOD);
    write(directory.path(), "skills/broken.skill", "no zip");
    directory
}

/// Runs it with something on standard input.
fn run_with_input(directory: &Path, arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = command();
    command.args(arguments).current_dir(directory).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}

#[test]
fn every_form_of_report_is_as_it_was() {
    let directory = skills();
    for format in ["full", "concise", "json", "sarif", "junit", "github", "gitlab"] {
        let ran = run_in(directory.path(), &["validate", "skills", "--format", format]);
        assert_eq!(ran.code(), 1, "{}", ran.stderr);
        insta::assert_snapshot!(format!("format_{format}"), shown(&ran, &[(directory.path(), "[dir]")]));
        // The same in a file, without a word on standard output.
        let file = run_in(directory.path(), &["validate", "skills", "--format", format, "-o", "report"]);
        assert_eq!((file.code(), file.stdout.as_str()), (1, ""));
        let report = fs::read_to_string(directory.path().join("report")).unwrap();
        assert_eq!(report.replace("report", ""), ran.stdout.replace("report", ""), "{format}");
        fs::remove_file(directory.path().join("report")).unwrap();
    }
}

#[test]
fn sarif_is_what_its_schema_says() {
    let directory = skills();
    let ran = run_in(directory.path(), &["validate", "skills", "--format", "sarif"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    // One of its patterns has a bracket too many, which only JavaScript forgives.
    let text = fs::read_to_string(sarif_schema()).unwrap().replace("-[a-zA-Z]{2}]?$", "-[a-zA-Z]{2}?$");
    let schema: Value = serde_json::from_str(&text).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> =
        schema.iter_errors(&report).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let results = report["runs"][0]["results"].as_array().unwrap();
    assert!(results.len() > 5 && results.iter().any(|result| result.get("fixes").is_some()));
    // The schema does say something.
    let mut broken = report.clone();
    broken["runs"][0]["results"][0]["level"] = "fatal".into();
    assert!(!schema.is_valid(&broken));
}

/// The public schema of SARIF 2.1.0, as a crate carries it.
fn sarif_schema() -> PathBuf {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform"])
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .current_dir(repository())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "serde-sarif").unwrap();
    Path::new(package["manifest_path"].as_str().unwrap()).with_file_name("src").join("schema.json")
}

#[test]
fn fixes_are_shown_then_written_and_nothing_is_left_to_mend() {
    let directory = skills();
    let path = directory.path();
    let skill = path.join("skills/my-skill/SKILL.md");
    let ran = run_in(path, &["validate", "skills/my-skill", "--diff"]);
    assert_eq!(ran.code(), 1);
    assert_eq!(fs::read_to_string(&skill).unwrap(), BAD, "a diff changes nothing");
    insta::assert_snapshot!("diff", shown(&ran, &[(path, "[dir]")]));
    let ran = run_in(path, &["validate", "skills/my-skill", "--fix"]);
    insta::assert_snapshot!("fix", shown(&ran, &[(path, "[dir]")]));
    assert_eq!(ran.code(), 0, "{}", ran.stdout);
    let mended = fs::read_to_string(&skill).unwrap();
    assert!(mended.contains("name: my-skill\n") && mended.contains("\nversion: 1.0.0\n"), "{mended}");
    assert_eq!(run_in(path, &["validate", "skills/my-skill", "--diff"]).code(), 0);
    // For the reference library, too, with what it wants elsewhere.
    let ran = run_in(path, &["validate", "skills/my-skill", "--fix", "--profile", "spec"]);
    assert_eq!(ran.code(), 0, "{}{}", ran.stdout, fs::read_to_string(&skill).unwrap());
    assert!(fs::read_to_string(&skill).unwrap().contains("metadata:\n  version: 1.0.0\n  team:"));
}

#[test]
fn a_file_is_renamed_only_where_nothing_is_lost() {
    let directory = TempDir::new().unwrap();
    write(directory.path(), "other/skill.md", GOOD);
    let ran = run_in(directory.path(), &["validate", "other", "--fix", "--strict"]);
    assert_eq!(ran.code(), 0, "{}", ran.stdout);
    assert!(directory.path().join("other/SKILL.md").is_file());
    write(directory.path(), "other/skill.md", "other text");
    let ran = run_in(directory.path(), &["validate", "other", "--fix"]);
    assert_eq!(ran.code(), 0, "{}", ran.stdout);
    assert_eq!(fs::read_to_string(directory.path().join("other/skill.md")).unwrap(), "other text");
}

#[test]
fn known_findings_do_not_count_and_new_ones_do() {
    let directory = skills();
    let path = directory.path();
    assert_eq!(run_in(path, &["validate", "skills", "--write-baseline", "known.json"]).code(), 0);
    let ran = run_in(path, &["validate", "--strict", "skills", "--baseline", "known.json"]);
    assert_eq!((ran.code(), ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("in the baseline"), "{}", ran.stderr);
    // Lines above do not matter; another line does.
    let skill = "skills/my-skill/SKILL.md";
    write(path, skill, &BAD.replace("allowed_tools", "license: MIT\nallowed_tools"));
    let ran = run_in(path, &["validate", "skills", "--baseline", "known.json"]);
    assert_eq!(ran.code(), 0, "{}", ran.stdout);
    write(path, skill, &BAD.replace("name: My-Skill", "name: My_Skill"));
    let ran = run_in(path, &["validate", "skills", "--baseline", "known.json", "--format", "concise"]);
    assert_eq!((ran.code(), ran.stdout.lines().count()), (1, 1), "{}", ran.stdout);
    write(path, "known.json", "{}");
    let ran = run_in(path, &["validate", "skills", "--baseline", "known.json"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr.contains("--write-baseline"), "{}", ran.stderr);
}

#[test]
fn rules_are_chosen_on_the_command_line_and_ignored_in_the_text() {
    let directory = skills();
    let path = directory.path();
    let codes = |arguments: &[&str]| -> Vec<String> {
        let arguments: Vec<&str> =
            ["validate", "skills/my-skill", "--format", "concise"].iter().chain(arguments).copied().collect();
        let ran = run_in(path, &arguments);
        let lines = ran.stdout.lines();
        lines.map(|line| line[line.find('[').unwrap() + 1..line.find(']').unwrap()].to_owned()).collect()
    };
    assert_eq!(codes(&["--select", "name-uppercase,SB062"]), ["SB044", "SB062"]);
    assert_eq!(codes(&["--select", "SB04"]), ["SB044"]);
    assert!(!codes(&["--ignore", "fields"]).iter().any(|code| code.starts_with("SB04")));
    let ran = run_in(path, &["validate", "skills", "--select", "SB9"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr.contains("skillbox rules"), "{}", ran.stderr);
    write(path, "skills/my-skill/SKILL.md", &BAD.replace("name: My", "# skillbox: ignore SB044\nname: My"));
    assert!(!codes(&[]).contains(&"SB044".to_owned()));
}

#[test]
fn paths_of_all_kinds_mean_skills_each_once() {
    let directory = skills();
    let path = directory.path();
    write(path, "skills/other/scripts/deep/run.py", "print(1)\n");
    fs::write(path.join("other.zip"), bundle::of_folder(&path.join("skills/other"))).unwrap();
    let sources = |arguments: &[&str]| -> Vec<String> {
        let arguments: Vec<&str> = ["--json", "validate"].iter().chain(arguments).copied().collect();
        let document = run_in(path, &arguments).json();
        let one = [document.clone()];
        let skills = document.get("skills").and_then(Value::as_array).map_or(one.as_slice(), Vec::as_slice);
        skills.iter().map(|skill| skill["source"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(sources(&["skills/other/scripts/deep/run.py"]), ["skills/other"]);
    assert_eq!(sources(&["skills/other/SKILL.md", "skills/other", "./skills/other/"]), ["skills/other"]);
    assert_eq!(sources(&["other.zip"]), ["other.zip"]);
    assert_eq!(sources(&["skills"]), ["skills/broken.skill", "skills/my-skill", "skills/other"]);
    write(path, "loose.txt", "x");
    for (wrong, says) in [("loose.txt", "in no skill"), ("nowhere", "there is no skill at")] {
        let ran = run_in(path, &["validate", wrong]);
        assert_eq!(ran.code(), 2, "{wrong}");
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    // From inside a skill, as commit hooks run.
    let ran = run_in(&path.join("skills/other/scripts"), &["validate", "deep/run.py"]);
    assert_eq!(ran.code(), 0, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn standard_input_may_be_a_text_or_a_bundle() {
    let directory = skills();
    let bundle = bundle::of_folder(&directory.path().join("skills/other"));
    for input in [GOOD.as_bytes(), &bundle] {
        let ran = run_with_input(directory.path(), &["--json", "validate", "-"], input);
        assert_eq!((ran.code(), ran.json()["slug"].as_str()), (0, Some("other")), "{}", ran.stdout);
    }
    assert_eq!(run_with_input(directory.path(), &["validate", "-"], BAD.as_bytes()).code(), 1);
    assert_eq!(run_with_input(directory.path(), &["validate", "-"], b"PK\x03\x04").code(), 1);
}

#[test]
fn annotations_come_by_themselves_on_github() {
    let directory = skills();
    let mut on_github = command();
    on_github.args(["validate", "skills"]).current_dir(directory.path()).env("GITHUB_ACTIONS", "true");
    let ran = Ran::of(on_github.output().unwrap());
    assert!(ran.stdout.starts_with("::"), "{}", ran.stdout);
    on_github.env("SKILLBOX_FORMAT", "concise");
    assert!(!Ran::of(on_github.output().unwrap()).stdout.starts_with("::"));
}

#[test]
fn a_report_of_hostile_texts_is_harmless() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    let evil = "---\nname: \"\\e[2J\u{202e}\"\ndescription: \u{1b}]0;owned\u{7}\u{202e} ::error::x\n---\n\u{1b}[31m\n::set-output name=x::y\n";
    write(path, "evil\u{1b}[2J/SKILL.md", evil);
    for format in ["full", "concise", "json", "sarif", "junit", "github", "gitlab"] {
        let ran = run_in(path, &["validate", ".", "--format", format]);
        let control =
            |character: char| character.is_control() && character != '\n' || character == '\u{202e}';
        let shown = if matches!(format, "json" | "sarif" | "gitlab") {
            // JSON escapes control characters itself.
            serde_json::from_str::<Value>(&ran.stdout).unwrap();
            ran.stdout.replace('\u{202e}', "")
        } else {
            ran.stdout.clone()
        };
        if format != "github" {
            assert!(!shown.contains(control), "{format}: {shown:?}");
        }
        assert!(!ran.stdout.lines().any(|line| line.starts_with("::set-output")), "{format}: {}", ran.stdout);
    }
}

#[test]
fn skills_are_compared_with_each_other() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    write(path, "a/other/SKILL.md", GOOD);
    write(path, "b/other/SKILL.md", GOOD);
    write(path, "b/third/SKILL.md", &GOOD.replace("other", "third"));
    fs::create_dir_all(path.join("b/begun/scripts")).unwrap();
    std::os::unix::fs::symlink("../a/other", path.join("b/linked")).unwrap();
    let ran = run_in(path, &["validate", ".", "--format", "concise"]);
    for code in ["SB400", "SB401", "SB402"] {
        assert!(ran.stdout.contains(code), "{code}: {}", ran.stdout);
    }
    let ran = run_in(path, &["validate", "b", "--format", "concise"]);
    assert!(ran.stdout.contains("SB403"), "{}", ran.stdout);
}

#[test]
fn links_that_lead_out_are_left_out_with_a_reason() {
    let directory = TempDir::new().unwrap();
    write(directory.path(), "other/SKILL.md", GOOD);
    std::os::unix::fs::symlink("/etc/passwd", directory.path().join("other/notes.md")).unwrap();
    let ran = run_in(directory.path(), &["validate", "other", "--format", "concise"]);
    assert!(ran.stdout.contains("other/notes.md:1:1: warning[SB125]"), "{}", ran.stdout);
    for number in 0..2_001 {
        write(directory.path(), &format!("other/assets/{number}"), "");
    }
    let ran = run_in(directory.path(), &["validate", "other", "--format", "concise"]);
    assert_eq!(ran.code(), 1);
    assert!(ran.stdout.starts_with("other:1:1: error[SB015]"), "{}", ran.stdout);
}

#[test]
fn the_profiles_differ_where_the_world_does() {
    let directory = TempDir::new().unwrap();
    let text = "---\nname: claude-helper\ndescription: Makes codes. Use it when asked for one.\nversion: 1.0.0\nauthor: Team\nlicense: MIT\n---\nRun it.\n";
    write(directory.path(), "claude-helper/SKILL.md", text);
    for (profile, code) in [("octavus", 0), ("lenient", 0), ("spec", 1), ("claude", 1)] {
        let ran = run_in(directory.path(), &["validate", "claude-helper", "--profile", profile]);
        assert_eq!(ran.code(), code, "{profile}: {}", ran.stdout);
    }
    assert_eq!(run_in(directory.path(), &["validate", "claude-helper", "--profile", "none"]).code(), 2);
}

#[test]
fn the_examples_are_clean_for_everybody() {
    for name in ["qr-code", "data-analysis", "text-report"] {
        for profile in ["octavus", "lenient"] {
            let path = example(name);
            let ran = run(&["validate", "--strict", "--profile", profile, path.to_str().unwrap()]);
            assert_eq!(ran.code(), 0, "{name} {profile}: {}", ran.stdout);
        }
    }
}

#[test]
fn each_rule_explains_itself() {
    let ran = run(&["rules", "SB044"]).success();
    insta::assert_snapshot!("rule", shown(&ran, &[]));
    let document = run(&["--json", "rules"]).success().json();
    let rules = document["rules"].as_array().unwrap();
    assert!(rules.len() > 60);
    let list = run(&["rules"]).success();
    for rule in rules {
        assert!(list.stdout.contains(rule["code"].as_str().unwrap()), "{rule}");
        assert!(!rule["why"].as_str().unwrap().is_empty());
    }
    assert_eq!(run(&["rules", "SB999"]).code(), 2);
}

/// Texts that cost their readers hundreds of times their size, and bundles with far more text than anybody looks at: the kernel
/// gives 64 MiB here and no more. Before there were bounds, these took up to 3.5 GiB and 40 seconds.
#[test]
fn hostile_texts_are_checked_within_their_memory() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    let half = 131_000;
    let python = "v = call(a, [x for x in range(9)], key=1)\n".repeat(12_000);
    let markdown = "- see [x](references/a.md) and `scripts/b.py` <b> *em*\n".repeat(4_700);
    let texts: [(&str, String, usize); 10] = [
        ("scripts/#.py", format!("x = {}", "(".repeat(2 * half)), 1),
        ("scripts/#.py", format!("x = {}1", "-".repeat(2 * half)), 1),
        ("scripts/#.py", format!("x = {}1", "not ".repeat(half / 2)), 1),
        ("scripts/#.py", "@".repeat(2 * half), 1),
        ("scripts/#.py", python, 100),
        ("references/#.md", markdown, 100),
        ("references/#.md", "[".repeat(2 * half), 1),
        ("references/#.md", ">".repeat(2 * half), 1),
        ("#pyproject.toml", format!("a = {}", "[".repeat(2 * half)), 1),
        ("data/#.yaml", "---\na: 1\n".repeat(half / 5), 1),
    ];
    for (number, (name, text, count)) in texts.iter().enumerate() {
        let skill = path.join(number.to_string()).join("other");
        write(&skill, "SKILL.md", GOOD);
        for copy in 0..*count {
            write(&skill, &name.replace('#', &copy.to_string()), text);
        }
        let limited = "ulimit -d 65536; exec \"$0\" validate --format concise other";
        let mut shell = Command::new("sh");
        shell.args(["-c", limited]).arg(crate::support::skillbox::executable());
        let ran = Ran::of(shell.current_dir(path.join(number.to_string())).output().unwrap());
        assert!(
            matches!(ran.status.code(), Some(0 | 1)),
            "{number} {name}: {:?}\n{}",
            ran.status,
            ran.stderr
        );
        assert_eq!(ran.stdout.contains("SB016"), *count > 1, "{number} {name}: {}", ran.stdout);
    }
}
