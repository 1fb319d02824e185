//! Arguments, environment, results and errors of each tool.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sandbox::fake::Program;
use serde_json::json;

use super::{Bench, call, code, id};
use crate::{CallRequest, StreamChoice};

#[tokio::test(start_paused = true)]
async fn skills_are_read_and_listed() {
    let bench = Bench::new();
    bench.declare("t", &["qr-code"]).await;
    let read = bench.result("t", call("1", "skill_read", json!({"skill": "qr-code"}))).await;
    assert_eq!((&read["path"], &read["directory"]), (&json!("SKILL.md"), &json!("/skills/qr-code")));
    assert!(read["content"].as_str().unwrap().starts_with("---\nname: qr-code"));
    assert_eq!(read["files"].as_array().unwrap().len(), 5);
    for path in ["references/format.md", "./references/format.md", "/skills/qr-code/references/format.md"] {
        let args = json!({"skill": "qr-code", "path": path});
        assert_eq!(bench.result("t", call(path, "skill_read", args)).await["content"], "# Format\n");
    }
    let list = bench.result("t", call("2", "skill_list", json!({"skill": "qr-code"}))).await;
    assert_eq!(list["scripts"][0]["path"], "scripts/generate.py");
    assert_eq!(
        (&list["references"][0]["size"], &list["assets"][0]["path"]),
        (&json!(9), &json!("assets/logo.png"))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_said_with_what_is() {
    let bench = Bench::new();
    bench.declare("t", &["qr-code", "odd"]).await;
    let cases = [
        ("skill_read", json!({"skill": "notes"}), "SKILL_NOT_FOUND", "Available skills: qr-code, odd"),
        ("skill_list", json!({"skill": "../x"}), "SKILL_NOT_FOUND", "Skill not found: \"../x\""),
        (
            "skill_read",
            json!({"skill": "qr-code", "path": "../notes/SKILL.md"}),
            "FILE_NOT_FOUND",
            "Files of qr-code",
        ),
        (
            "skill_read",
            json!({"skill": "qr-code", "path": "assets/logo.png"}),
            "NOT_A_FILE",
            "Not a text file",
        ),
        (
            "skill_run",
            json!({"skill": "qr-code", "script": "x.py"}),
            "SCRIPT_NOT_FOUND",
            "Scripts of qr-code: scripts/generate.py",
        ),
        (
            "skill_run",
            json!({"skill": "odd", "script": "a.rb"}),
            "SCRIPT_NOT_RUNNABLE",
            "Python, Bash and Node",
        ),
        (
            "skill_run",
            json!({"skill": "qr-code", "script": "assets/logo.png"}),
            "SCRIPT_NOT_RUNNABLE",
            "cannot be run",
        ),
        ("code_run", json!({"language": "perl", "code": ""}), "INVALID_ARGUMENTS", "python, bash"),
        ("shell", json!({}), "UNKNOWN_TOOL", "octavus_code_run"),
    ];
    for (n, (tool, args, code, part)) in cases.into_iter().enumerate() {
        let error = bench.error("t", call(&n.to_string(), tool, args)).await;
        assert_eq!(error.0, code, "{error:?}");
        assert!(error.1.contains(part), "{error:?}");
    }
    assert_eq!(bench.driver.created(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_script_runs_in_the_workspace_with_input_and_arguments() {
    let bench = Bench::new();
    bench.declare("t", &["qr-code"]).await;
    let args =
        json!({"skill": "qr-code", "script": "generate", "args": ["--data", "a b"], "input": {"size": 3}});
    let answer = bench.answer("t", call("1", "skill_run", args)).await;
    let result = answer.answer.result.result.as_ref().unwrap();
    let stdout = result["stdout"].as_str().unwrap();
    assert!(stdout.starts_with("[--data]\n[a b]\n") && stdout.ends_with("{\"size\":3}"), "{stdout}");
    let exec = &bench.driver.execs()[0];
    assert_eq!(exec.argv[..2], ["python3", "/skills/qr-code/scripts/generate.py"]);
    assert_eq!(exec.cwd, "/workspace");
    let env = |name: &str| exec.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    for (name, value) in [
        ("SKILL_DIR", "/skills/qr-code"),
        ("OUTPUT_DIR", "/output"),
        ("WORKSPACE_DIR", "/workspace"),
        ("HOME", "/tmp"),
        ("LANG", "C.UTF-8"),
        ("TZ", "UTC"),
        ("MPLBACKEND", "Agg"),
        ("PYTHONUNBUFFERED", "1"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ] {
        assert_eq!(env(name), Some(value), "{name}");
    }
    // `from scripts.x import y` works from any directory.
    assert_eq!(env("PYTHONPATH"), Some("/skills/qr-code"));
    assert_eq!(answer.report.skill.as_deref(), Some("qr-code"));
    let run = bench
        .result("t", call("2", "skill_run", json!({"skill": "qr-code", "script": "scripts/list.sh"})))
        .await;
    assert_eq!(run["stdout"], "listed\n");
    assert!(bench.driver.execs()[1].stdin.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_argument_is_a_file_of_the_workspace_and_else_of_the_skill() {
    let bench = Bench::new();
    bench.declare("t", &["qr-code"]).await;
    let args = ["data.csv", "assets/logo.png", "--in=references/format.md", "assets", "assets/none.png"];
    let run = json!({"skill": "qr-code", "script": "generate", "args": args});
    bench.result("t", call("1", "skill_run", run.clone())).await;
    assert_eq!(
        bench.driver.execs()[0].argv[2..],
        [
            "data.csv",
            "/skills/qr-code/assets/logo.png",
            "--in=/skills/qr-code/references/format.md",
            "assets",
            "assets/none.png"
        ]
    );
    let own = json!({"path": "assets/logo.png", "content": "another"});
    bench.result("t", call("2", "file_write", own)).await;
    bench.result("t", call("3", "skill_run", run)).await;
    assert_eq!(bench.driver.execs()[1].argv[3], "assets/logo.png", "what the model wrote comes first");
}

#[tokio::test(start_paused = true)]
async fn code_runs_in_the_workspace_from_a_file_of_its_own() {
    let bench = Bench::new();
    let program = Program::new().stdout("x");
    let python = json!({"language": "python", "code": program.python()});
    assert_eq!(bench.result("t", call("1", "code_run", python)).await["stdout"], "x");
    bench.result("t", code("2", &program)).await;
    let execs = bench.driver.execs();
    assert_eq!(execs[0].argv, ["python3", "/tmp/code/1.py"]);
    assert_eq!(execs[1].argv, ["bash", "/tmp/code/2.sh"]);
    assert_eq!(execs[0].cwd, "/workspace");
    let has = |name: &str, value: &str| execs[0].env.contains(&(name.to_owned(), value.to_owned()));
    assert!(has("PYTHONPATH", "/workspace"));
    assert!(!execs[0].env.iter().any(|(name, _)| name == "SKILL_DIR"));
}

#[tokio::test(start_paused = true)]
async fn long_streams_keep_head_and_tail() {
    let bench = Bench::with(|config| config.stream_limit = 10);
    let program = Program::new().stdout("0123456789abcdefghij").stderr("short").exit(3);
    let result = bench.result("t", code("1", &program)).await;
    assert_eq!(result["stdout"], "01234\n... truncated 10 characters ...\nfghij");
    assert_eq!((&result["stderr"], &result["truncated"]), (&json!("short"), &json!({"stdout": 10})));
}

#[tokio::test(start_paused = true)]
async fn a_caller_in_the_same_process_gets_the_whole_stream_live() {
    let bench = Bench::with(|config| config.stream_limit = 10);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut request = CallRequest::new(code("1", &Program::new().cat_stdin()));
    let sink = Arc::clone(&seen);
    request.options.sink = Some(Box::new(move |_, text| sink.lock().unwrap().extend_from_slice(text)));
    request.options.whole_streams = StreamChoice::Whole;
    request.options.stdin = Some(Bytes::from("x".repeat(1000)));
    let answer = bench.runner.submit(&id("t"), request).await.unwrap().await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), 1000);
    assert_eq!(answer.answer.result.result.as_ref().unwrap()["stdout"], "");
    let report = &answer.report;
    assert!(report.sandbox.as_ref().is_some_and(|sandbox| sandbox.driver == "fake" && !sandbox.restarted));
    assert_eq!(report.program.unwrap().exit_code, 0);
}

#[tokio::test(start_paused = true)]
async fn files_are_written_and_read_in_ranges() {
    let bench = Bench::new();
    let write = json!({"path": "a.txt", "content": "grüße, welt"});
    bench.result("t", call("1", "file_write", write)).await;
    let all = bench.result("t", call("2", "file_read", json!({"path": "/workspace/a.txt"}))).await;
    assert_eq!(
        all,
        json!({"path": "/workspace/a.txt", "size": 13, "offset": 0, "content": "grüße, welt", "encoding": "utf-8",
               "truncated": false, "mediaType": "text/plain"})
    );
    // A limit that cuts a character in two ends before it.
    let cut = bench.result("t", call("3", "file_read", json!({"path": "a.txt", "limit": 3}))).await;
    assert_eq!((&cut["content"], &cut["truncated"]), (&json!("gr"), &json!(true)));
    let rest = bench.result("t", call("4", "file_read", json!({"path": "a.txt", "offset": 9}))).await;
    assert_eq!((&rest["content"], &rest["truncated"]), (&json!("welt"), &json!(false)));
    let png = json!({"path": "p.txt", "content": "iVBORw0KGgoA", "encoding": "base64"});
    bench.result("t", call("5", "file_write", png)).await;
    let read = bench.result("t", call("6", "file_read", json!({"path": "p.txt"}))).await;
    assert_eq!((&read["encoding"], &read["mediaType"]), (&json!("base64"), &json!("image/png")));
}

#[tokio::test(start_paused = true)]
async fn the_default_and_the_highest_limit_of_a_read_hold() {
    let bench = Bench::with(|config| {
        config.read_default = 5;
        config.read_limit = 8;
        config.write_limit = 20;
    });
    bench.result("t", call("1", "file_write", json!({"path": "a", "content": "0123456789"}))).await;
    for (n, (args, content)) in [
        (json!({"path": "a"}), "01234"),
        (json!({"path": "a", "limit": 1000}), "01234567"),
        (json!({"path": "a", "offset": 4, "limit": 1000}), "456789"),
        (json!({"path": "a", "offset": 100}), ""),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(bench.result("t", call(&format!("r{n}"), "file_read", args)).await["content"], content);
    }
    let error =
        bench.error("t", call("2", "file_write", json!({"path": "a", "content": "x".repeat(21)}))).await;
    assert_eq!(error.0, "FILE_TOO_LARGE");
}

#[tokio::test(start_paused = true)]
async fn file_errors_are_told_apart() {
    let bench = Bench::new();
    bench.declare("t", &["qr-code"]).await;
    let prepare = Program::new()
        .make_directory("/workspace/dir")
        .symlink("/etc/passwd", "/workspace/out")
        .fifo("/workspace/pipe");
    bench.result("t", code("prepare", &prepare)).await;
    let cases = [
        ("file_read", "none.txt", "FILE_NOT_FOUND"),
        ("file_read", "dir", "NOT_A_FILE"),
        ("file_read", "pipe", "NOT_A_FILE"),
        ("file_read", "out", "PATH_NOT_ALLOWED"),
        ("file_read", "/tmp/code/1.sh", "PATH_NOT_ALLOWED"),
        ("file_read", "../../etc/passwd", "PATH_NOT_ALLOWED"),
        ("file_write", "/skills/qr-code/SKILL.md", "PATH_NOT_ALLOWED"),
        ("file_write", "dir", "NOT_A_FILE"),
        ("file_write", "dir/", "NOT_A_FILE"),
        ("file_write", "/workspace", "NOT_A_FILE"),
        ("file_write", "out", "PATH_NOT_ALLOWED"),
    ];
    for (n, (tool, path, expected)) in cases.into_iter().enumerate() {
        let mut args = json!({"path": path});
        if tool == "file_write" {
            args["content"] = json!("x");
        }
        let error = bench.error("t", call(&n.to_string(), tool, args)).await;
        assert_eq!(error.0, expected, "{tool} {path}: {error:?}");
    }
    let skill = bench
        .result("t", call("s", "file_read", json!({"path": "/skills/qr-code/references/format.md"})))
        .await;
    assert_eq!(skill["content"], "# Format\n");
    assert_eq!(bench.driver.created(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_and_failing_programs_are_explained() {
    let bench = Bench::new();
    let missing = Program::new().stderr("ModuleNotFoundError: No module named 'pandas'\n").exit(1);
    let result = bench.result("t", code("1", &missing)).await;
    assert!(result["hint"].as_str().unwrap().contains("nothing can be installed"), "{result}");
    let full = json!({"path": "a", "content": "x"});
    bench.result("t", code("2", &Program::new().fill("/workspace/full", 256 << 20))).await;
    assert_eq!(bench.error("t", call("3", "file_write", full)).await.0, "NO_SPACE");
}
