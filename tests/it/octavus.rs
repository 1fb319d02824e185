//! The published packages of the platform against what skillbox says: their schemas, their server SDK, their chat.
//!
//! The scripts beside (`tests/octavus/*.mjs`) do the work; here a real server is started for them.

use std::{
    fs::File,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use serde_json::{Value, json};

use crate::support::{
    require::{prepare, require},
    serve::{Serve, TOKEN, bash, call, python},
    skillbox::{executable, repository},
};

/// The directory of the scripts, with the packages of its lock file installed.
fn scripts() -> &'static PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let directory = repository().join("tests/octavus");
        // Two test runs at once would install into each other's feet.
        let lock = File::create(executable().parent().unwrap().join("npm.lock")).unwrap();
        lock.lock().unwrap();
        let installed = Command::new("npm").args(["ls", "--all"]).current_dir(&directory).output().unwrap();
        if !installed.status.success() {
            prepare(Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(&directory));
        }
        directory
    })
}

fn node(server: &Serve, script: &str) {
    let mut node = Command::new("node");
    node.arg(script).current_dir(scripts()).env("SKILLBOX_URL", server.url()).env("SKILLBOX_TOKEN", TOKEN);
    let output = node.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{script}: {}{}\nserver:\n{}",
        text(&output.stdout),
        text(&output.stderr),
        server.log()
    );
}

/// Asks the published schemas.
fn check(kind: &str, recorded: &str) -> Output {
    let mut node = Command::new("node");
    node.args(["check.mjs", kind]).current_dir(scripts());
    let mut child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(recorded.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn accepted(kind: &str, recorded: &str) {
    let output = check(kind, recorded);
    assert!(output.status.success(), "{}\n{recorded}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_server_sdk_carries_out_tool_calls() {
    if !require("native") || !require("node") {
        return;
    }
    node(&Serve::start(), "drive.mjs");
}

#[test]
fn a_chat_shows_results_and_files() {
    if !require("native") || !require("node") {
        return;
    }
    node(&Serve::start(), "chat.mjs");
}

/// Every kind of answer there is, as JSON and as a stream.
#[test]
fn recorded_runs_are_what_the_schemas_want() {
    if !require("native") || !require("node") {
        return;
    }
    let server = Serve::start();
    let mut echoed = python("open('/output/a.txt', 'w').write('a')");
    echoed["outputVariable"] = json!("X");
    echoed["blockIndex"] = json!(1);
    let calls = |round: &str| -> Vec<Value> {
        let mut calls = vec![
            echoed.clone(),
            call("skill_read", &json!({"skill": "qr-code"})),
            call("skill_list", &json!({"skill": "qr-code"})),
            call("skill_read", &json!({"skill": "none"})),
            call("file_write", &json!({"path": "/output/w.txt", "content": "w"})),
            call("file_read", &json!({"path": "/output/w.txt"})),
            call("file_read", &json!({"path": "/output/none.txt"})),
            python("open('/output/big', 'wb').write(bytes(11 << 20)); print('x' * 300_000)"),
            python("raise SystemExit(3)"),
            call("code_run", &json!({"language": "bash", "code": "sleep 60", "timeout": 300})),
            bash("kill -9 $$"),
            call("unknown", &json!({})),
        ];
        for call in &mut calls {
            call["toolCallId"] = json!(format!("{round}-{}", call["toolCallId"].as_str().unwrap()));
        }
        calls
    };
    let answer = server.call("answer", &["qr-code"], &calls("a"));
    accepted("answer", &answer.to_string());
    // The long output is cut, and the result says by how much.
    assert_eq!(
        answer["toolResults"][7]["result"]["truncated"]["stdout"], 200_001,
        "{}",
        answer["toolResults"][7]
    );
    let stream = server.stream("stream", &["qr-code"], &calls("s")).whole();
    accepted("stream", stream.text());
    // An empty list of calls is a stream, too.
    accepted("stream", server.stream("none", &[], &[]).whole().text());
}

/// The check itself can fail: what the SDKs drop without a word is found.
#[test]
fn the_check_finds_what_the_sdks_would_drop() {
    if !require("node") {
        return;
    }
    let file = json!({"type": "file-available", "id": "f", "mediaType": "image/png", "url": "http://x/f", "filename": "f.png", "size": 1});
    accepted("event", &file.to_string());
    let mut unknown_key = file.clone();
    unknown_key["sha256"] = json!("x");
    let mut null = file.clone();
    null["size"] = Value::Null;
    let no_output = json!({"type": "tool-output-available", "toolCallId": "c"});
    let object = json!({"type": "tool-output-error", "toolCallId": "c", "error": {"message": "x"}});
    let empty = json!({"type": "tool-output-error", "toolCallId": "c", "error": ""});
    let source = json!({"type": "error", "errorType": "tool_error", "message": "x", "source": "sandbox", "retryable": false});
    let nothing = json!({"type": "tool-progress", "toolCallId": "c"});
    for event in [unknown_key, null, object, empty, source, nothing] {
        let output = check("event", &event.to_string());
        assert_eq!(output.status.code(), Some(1), "{event}");
    }
    // Accepted by the packages alone, yet the chat never shows that the call has ended.
    assert_eq!(check("event", &no_output.to_string()).status.code(), Some(1), "{no_output}");
    for stream in [
        "data:{\"type\":\"finish\",\"finishReason\":\"stop\"}\n\ndata: [DONE]\n\n",
        "data: {\"type\":\"finish\",\"finishReason\":\"stop\"}\r\n\r\ndata: [DONE]\r\n\r\n",
        "",
    ] {
        assert_eq!(check("stream", stream).status.code(), Some(1), "{stream:?}");
    }
}
