//! Every kind of expectation, met and not met, on answers that no sandbox had to make.

use artifact::{Expected, MediaType, NewArtifact, memory::MemoryStore};
use bytes::Bytes;
use runner::{CallReport, ProgramReport};
use sandbox::{Termination, Usage};
use serde_json::json;
use tool::{
    ExecResult, OutputFile, OutputFileState, SkillListResult, ToolCall, ToolError, ToolOutput, answer,
};

use super::*;
use crate::{format, samples};

/// A PNG of 3 × 2 pixels, as far as its size is read.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x03\0\0\0\x02\x08\x02\0\0\0\x12\x16\xf1\x4d";

/// What a step came to.
struct Came {
    store: MemoryStore,
    outcome: Result<ToolOutput, ToolError>,
    files: Vec<OutputFile>,
}

impl Came {
    fn exec(change: impl FnOnce(&mut ExecResult)) -> Self {
        let mut result = ExecResult::default();
        change(&mut result);
        Self { store: MemoryStore::new(), outcome: Ok(ToolOutput::Exec(result)), files: Vec::new() }
    }

    fn printed(stdout: &str) -> Self {
        Self::exec(|result| result.stdout = stdout.to_owned())
    }

    fn refused(error: ToolError) -> Self {
        Self { store: MemoryStore::new(), outcome: Err(error), files: Vec::new() }
    }

    async fn with_file(mut self, name: &str, media_type: &str, bytes: &'static [u8]) -> Self {
        use artifact::ArtifactStore as _;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let new = NewArtifact::new("t", name, MediaType::PLAIN_TEXT, deadline).unwrap();
        let id = new.id.to_string();
        let mut upload = self.store.begin(new).await.unwrap();
        upload.write(Bytes::from_static(bytes)).await.unwrap();
        upload.finish(Expected { size: bytes.len() as u64, sha256: None }).await.unwrap();
        let state = OutputFileState::Stored { id, url: "x".to_owned() };
        self.files.push(OutputFile {
            name: name.to_owned(),
            path: format!("/output/{name}"),
            media_type: media_type.to_owned(),
            size: bytes.len() as u64,
            state,
        });
        self
    }
}

/// What fails of one step with this `expect`, written on one line.
async fn failures_of(
    step: &Step,
    came: &Came,
    skill: &Skill,
    update: bool,
) -> (Vec<String>, Vec<(String, String)>) {
    let call: ToolCall =
        serde_json::from_value(json!({"toolCallId": "c", "toolName": "octavus_code_run", "args": {}}))
            .unwrap();
    let answer = answer(&call, &came.outcome);
    let program = came.outcome.is_ok().then(|| ProgramReport {
        termination: Termination::Exited(0),
        exit_code: 0,
        usage: Usage { wall: Duration::from_millis(1500), ..Usage::default() },
        out_of_memory: None,
    });
    let report = CallReport { files: came.files.clone(), program, ..CallReport::default() };
    let mut checker = Checker {
        skill,
        folder: "tests",
        store: &came.store,
        timeout: Duration::from_secs(3),
        attempts: Some(2),
        update,
        failures: Vec::new(),
        rewrites: Vec::new(),
    };
    checker.step(step, &CallAnswer { answer, report }).await;
    (checker.failures.into_iter().map(|failure| failure.message).collect(), checker.rewrites)
}

fn step(expect: &str) -> Step {
    let text = samples::case(&format!("run: {{ script: a }}\nexpect: {{ {expect} }}"));
    let file = format::parse("tests/t.test.yaml", &text, "x")
        .unwrap_or_else(|problems| panic!("{expect}: {problems:?}"));
    file.cases.into_iter().next().unwrap().steps.remove(0)
}

fn skill() -> Skill {
    let text = "---\nname: x\ndescription: Does things.\n---\nBody\n";
    Skill::from_files([("SKILL.md", text), ("tests/snap.txt", "took [..] ms\nend\n")]).unwrap()
}

/// Every expectation of `met` holds, and each of `not_met` fails with just this message.
async fn check(came: &Came, met: &[&str], not_met: &[(&str, &str)]) {
    let skill = skill();
    for expect in met {
        let (failures, _) = failures_of(&step(expect), came, &skill, false).await;
        assert!(failures.is_empty(), "{expect}: {failures:?}");
    }
    for (expect, message) in not_met {
        let (failures, _) = failures_of(&step(expect), came, &skill, false).await;
        assert_eq!(failures, [*message], "{expect}");
    }
}

#[tokio::test]
async fn how_a_program_ends() {
    check(
        &Came::exec(|_| {}),
        &[
            "exit_code: 0",
            "exit_code: '<1'",
            "stdout: ''",
            "timed_out: false",
            "out_of_memory: false",
            "network: attempted",
        ],
        &[
            ("network: none", "expected no attempt to reach the network, but the kernel counted 2"),
            ("exit_code: 1", "expected exit code 1, got 0"),
            ("exit_code: '!=0'", "expected exit code other than 0, got 0"),
            ("timed_out: true", "expected its time to be over, got exit code 0"),
            ("out_of_memory: true", "expected it to be killed for memory, got exit code 0"),
        ],
    )
    .await;
    // A program that fails is not expected by somebody who says nothing of it.
    check(
        &Came::exec(|result| result.exit_code = 2),
        &["exit_code: 2", "exit_code: '>0'"],
        &[
            ("stdout: ''", "expected exit code 0, got 2"),
            ("no_other_files: true", "expected exit code 0, got 2"),
        ],
    )
    .await;
    check(
        &Came::exec(|result| *result = std::mem::take(result).timed_out()),
        &[
            "timed_out: true",
            "timed_out: true, exit_code: 124",
            "timed_out: true, stderr: { contains: timed out }",
        ],
        &[
            ("stdout: ''", "expected exit code 0, got 124: its 3.0 s were over"),
            (
                "exit_code: 124, timed_out: false",
                "expected its time not to be over, got exit code 124: its 3.0 s were over",
            ),
        ],
    )
    .await;
    check(
        &Came::exec(|result| {
            *result = std::mem::take(result).out_of_memory();
            result.exit_code = 137;
        }),
        &["out_of_memory: true", "exit_code: 137"],
        &[("stdout: ''", "expected exit code 0, got 137: it was killed for memory")],
    )
    .await;
}

#[tokio::test]
async fn what_a_program_prints() {
    check(
        &Came::printed("Saved a.png\nin 12 ms\n"),
        &[
            "stdout: \"Saved a.png\\nin 12 ms\\n\"",
            "stdout: { contains: [Saved, a.png], not_contains: error }",
            "stdout: { matches: ['^in \\d+ ms$', 'Saved'] }",
            "stderr: ''",
        ],
        &[
            ("stdout: Saved", "stdout is not what is expected"),
            ("stdout: { contains: [Saved, b.png] }", "expected stdout to contain \"b.png\""),
            ("stdout: { not_contains: ms }", "expected stdout not to contain \"ms\", but line 2 does"),
            ("stdout: { matches: '^in$' }", "expected stdout to match `^in$`"),
            ("stderr: x", "expected stderr to be \"x\", got \"\""),
            ("stderr: { contains: x }", "expected stderr to contain \"x\", but it is empty"),
        ],
    )
    .await;
}

#[tokio::test]
async fn json_by_pointer() {
    check(
        &Came::printed("{\"ok\": true, \"n\": 3.0, \"a\": [{\"b\": null}, \"x\"]}\n"),
        &[
            "stdout: { json: { /ok: true, /n: 3, /a/1: x, /a/0: { b: null } } }",
            "stdout: { json: { '': { n: 3, a: [{ b: ~ }, x], ok: true } } }",
        ],
        &[
            ("stdout: { json: { /n: '3' } }", "expected `/n` of stdout to be \"3\", got 3.0"),
            (
                "stdout: { json: { /a/2: 1 } }",
                "expected `/a/2` of stdout to be 1, but there is no such place; the list there has 2 items",
            ),
            (
                "stdout: { json: { /no: 1 } }",
                "expected `/no` of stdout to be 1, but there is no such place; there are `ok`, `n`, `a`",
            ),
            (
                "stdout: { json: { /a: [x] } }",
                "expected `/a` of stdout to be [\"x\"], got [{\"b\":null},\"x\"]",
            ),
        ],
    )
    .await;
    let (failures, _) =
        failures_of(&step("stdout: { json: { /a: 1 } }"), &Came::printed("no"), &skill(), false).await;
    assert!(failures[0].starts_with("stdout is not JSON: "), "{failures:?}");
}

#[tokio::test]
async fn which_files_there_are() {
    let came = Came::exec(|_| {})
        .with_file("a.txt", "text/plain", b"x")
        .await
        .with_file("d/b.txt", "text/plain", b"y")
        .await;
    check(
        &came,
        &[
            "files: [a.txt]",
            "files: ['**/*.txt'], no_other_files: true",
            "files: [/output/a.txt, d/*], no_other_files: true",
            "files: [{ path: '**/*.txt', count: 2 }, { path: '*.png', count: 0 }]",
        ],
        &[
            ("files: [c.txt]", "expected an output file `c.txt`, but there are only `a.txt`, `d/b.txt`"),
            (
                "files: ['*.txt'], no_other_files: true",
                "expected no other output files, but there are `d/b.txt`",
            ),
            ("no_other_files: true", "expected no output files, but there are `a.txt`, `d/b.txt`"),
            ("files: [{ path: '*.txt', count: '>1' }]", "expected more than 1 output files `*.txt`, got 1"),
            ("files: [{ path: a.txt, count: 0 }]", "expected 0 output files `a.txt`, got 1"),
        ],
    )
    .await;
    check(
        &Came::exec(|_| {}),
        &["no_other_files: true"],
        &[("files: [a]", "expected an output file `a`, but there is none at all")],
    )
    .await;
    let mut left_out = Came::exec(|_| {});
    left_out.files.push(OutputFile {
        name: "big.bin".into(),
        path: "/output/big.bin".into(),
        media_type: "application/octet-stream".into(),
        size: 1 << 30,
        state: OutputFileState::Failed { error: "File is larger than the limit of 10 MB".into() },
    });
    let message = "the output file `big.bin` was left out: File is larger than the limit of 10 MB";
    check(&left_out, &[], &[("files: [{ path: big.bin, text: x }]", message)]).await;
}

#[tokio::test]
async fn what_is_in_files() {
    let came = Came::exec(|_| {})
        .with_file("a.txt", "text/plain", b"one\ntwo\n")
        .await
        .with_file("i.png", "image/png", PNG)
        .await
        .with_file("t.csv", "text/csv", b"month,units\n2024-01,3\n2024-02,\"4,5\"\n")
        .await
        .with_file("j.json", "application/json", b"{\"a\": {\"b\": [1]}}")
        .await
        .with_file("x.bin", "application/octet-stream", b"\xff\xfe")
        .await;
    let sum = "2e72e5a5d0c8a4cf1be5ba4bdfd92b1f4c1c2f9c1cf7ccd3a3a3c7d2f1cbb9c0";
    let right = artifact::Sha256Digest::of(b"one\ntwo\n").to_string();
    check(
        &came,
        &[
            "files: [{ path: a.txt, media_type: text/plain, size: 8, text: { contains: two } }]",
            &format!("files: [{{ path: a.txt, sha256: 'sha256:{}' }}]", right.to_uppercase()),
            "files: [{ path: i.png, image: { format: png, width: 3, height: '>1', min_width: 3, max_height: 2 } }]",
            "files: [{ path: t.csv, csv: { rows: 2, columns: [month, units], contains: { month: 2024-02, units: '4,5' } } }]",
            "files: [{ path: t.csv, csv: { rows: '>=1', contains: [{ units: 3 }, { month: 2024-02 }] } }]",
            "files: [{ path: j.json, json: { /a/b/0: 1 } }]",
        ],
        &[
            ("files: [{ path: a.txt, media_type: text/csv }]", "expected `a.txt` to be text/csv, got text/plain"),
            ("files: [{ path: a.txt, size: '>1K' }]", "expected `a.txt` to have more than 1024 bytes, got 8"),
            (&format!("files: [{{ path: a.txt, sha256: {sum} }}]"), &format!("expected `a.txt` to have the checksum {sum}, got {right}")),
            ("files: [{ path: i.png, image: { width: 4 } }]", "expected `i.png` to be 4 pixels wide, got 3 × 2"),
            ("files: [{ path: i.png, image: { min_height: 3 } }]", "expected `i.png` to be at least 3 pixels high, got 3 × 2"),
            ("files: [{ path: i.png, image: { max_width: 2 } }]", "expected `i.png` to be at most 2 pixels wide, got 3 × 2"),
            ("files: [{ path: i.png, image: { format: jpg } }]", "expected `i.png` to be a jpeg image, got png"),
            ("files: [{ path: a.txt, image: { width: 4 } }]", "`a.txt` is no image that is known here"),
            ("files: [{ path: t.csv, csv: { rows: 3 } }]", "expected `t.csv` to have 3 rows, got 2"),
            ("files: [{ path: t.csv, csv: { columns: month } }]", "expected `t.csv` to have the columns month, got month, units"),
            ("files: [{ path: t.csv, csv: { contains: { year: 1 } } }]", "expected `t.csv` to have a column \"year\"; it has month, units"),
            ("files: [{ path: t.csv, csv: { contains: { units: 9 } } }]", "expected `t.csv` to have a row with units: 9, but none of its 2 rows is"),
            ("files: [{ path: x.bin, csv: { rows: 0 } }]", "`x.bin` is no table: CSV parse error: record 0 (line 1, field: 0, byte: 0): invalid utf-8: invalid UTF-8 in field 0 near byte index 0"),
            ("files: [{ path: j.json, json: { /a/b/0: 2 } }]", "expected `/a/b/0` of `j.json` to be 2, got 1"),
            ("files: [{ path: x.bin, json: { /a: 2 } }]", "`x.bin` is not JSON: it is not UTF-8"),
            ("files: [{ path: x.bin, text: x }]", "`x.bin` is not text: it is not UTF-8"),
            ("files: [{ path: a.txt, text: { contains: three } }]", "expected `a.txt` to contain \"three\", got \"one\\ntwo\\n\""),
        ],
    )
    .await;
}

#[tokio::test]
async fn refused_calls() {
    let came = Came::refused(ToolError::script_not_found("x", "b.py", &["scripts/a.py"]));
    check(
        &came,
        &[
            "error: SCRIPT_NOT_FOUND",
            "error: \"scripts/a.py\"",
            "error: { code: SCRIPT_NOT_FOUND, contains: b.py, matches: '^Script not found' }",
        ],
        &[
            ("error: SKILL_NOT_FOUND", "expected the error SKILL_NOT_FOUND, got SCRIPT_NOT_FOUND: Script not found: b.py. Scripts of x: scripts/a.py"),
            ("exit_code: 0", "the call was refused (SCRIPT_NOT_FOUND): Script not found: b.py. Scripts of x: scripts/a.py"),
        ],
    )
    .await;
    let (failures, _) = failures_of(&step("error: { contains: zzz }"), &came, &skill(), false).await;
    assert!(
        failures[0].starts_with("expected the error to contain \"zzz\", got \"Script not found"),
        "{failures:?}"
    );
    check(
        &Came::exec(|_| {}),
        &[],
        &[("error: SCRIPT_NOT_FOUND", "expected the call to be refused, but it was carried out")],
    )
    .await;
}

#[tokio::test]
async fn results_and_times() {
    let list = SkillListResult {
        skill: "x".into(),
        scripts: Vec::new(),
        references: Vec::new(),
        assets: Vec::new(),
    };
    let came =
        Came { store: MemoryStore::new(), outcome: Ok(ToolOutput::SkillList(list)), files: Vec::new() };
    let text =
        samples::case("steps: [{ octavus_skill_list: {}, expect: { result: { /skill: x, /scripts: [] } } }]");
    let step_of = |text: &str| format::parse("t", text, "x").unwrap().cases.remove(0).steps.remove(0);
    assert!(failures_of(&step_of(&text), &came, &skill(), false).await.0.is_empty());
    let wrong = text.replace("/skill: x", "/skill: y");
    assert_eq!(
        failures_of(&step_of(&wrong), &came, &skill(), false).await.0,
        ["expected `/skill` of the result to be \"y\", got \"x\""]
    );
    // The program of these tests took 1.5 s.
    check(
        &Came::exec(|_| {}),
        &["max_duration: 2s"],
        &[("max_duration: 500ms", "expected at most 500 ms, took 1.5 s")],
    )
    .await;
}

#[tokio::test]
async fn snapshots_are_compared_and_rewritten() {
    check(
        &Came::printed("took 12 ms\nend\n"),
        &["stdout: { snapshot: snap.txt }"],
        &[(
            "stdout: { snapshot: new.txt }",
            "the snapshot `tests/new.txt` is not there yet; `--update` writes it",
        )],
    )
    .await;
    let changed = Came::printed("took 12 ms\nmore\n");
    check(
        &changed,
        &[],
        &[(
            "stdout: { snapshot: snap.txt }",
            "stdout differs from the snapshot `tests/snap.txt`; `--update` rewrites it",
        )],
    )
    .await;
    let (failures, rewrites) =
        failures_of(&step("stdout: { snapshot: snap.txt }"), &changed, &skill(), true).await;
    assert!(failures.is_empty(), "{failures:?}");
    // The line that still fits keeps its wildcard.
    assert_eq!(rewrites, [("tests/snap.txt".to_owned(), "took [..] ms\nmore\n".to_owned())]);
    let (_, rewrites) = failures_of(
        &step("stdout: { snapshot: snap.txt }"),
        &Came::printed("took 1 ms\nend"),
        &skill(),
        true,
    )
    .await;
    assert!(rewrites.is_empty(), "{rewrites:?}");
}
