//! Who may ask: token, host, origin, content type, unix socket; and that every refusal is a flat problem document.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    bundle,
    client::{Address, Request, Response},
    require::require,
    serve::{Options, Serve, TOKEN, bash, call},
    skillbox::example,
};

/// The members that the SDKs read are there, on the top level.
#[track_caller]
fn problem(response: &Response, status: u16, code: &str) -> Value {
    let body = response.expect(status);
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!((&body["status"], &body["code"]), (&json!(status), &json!(code)), "{body}");
    assert!(body["error"].as_str().is_some_and(|error| !error.is_empty()), "{body}");
    assert_eq!(body["error"], body["detail"]);
    body
}

#[test]
fn strangers_are_turned_away() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let ask = |path: &str| server.request("GET", path);
    let skills = "/v1/skills";
    assert_eq!(ask(skills).send().status, 200);
    let refused = ask(skills).without("Authorization").send();
    problem(&refused, 401, "UNAUTHORIZED");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    for wrong in ["Bearer wrong", &format!("Bearer {TOKEN}x"), &format!("Basic {TOKEN}"), "Bearer ", TOKEN] {
        problem(&ask(skills).header("Authorization", wrong).send(), 401, "UNAUTHORIZED");
    }
    // A page of another site, by name or by a name that now leads here.
    problem(&ask(skills).header("Origin", "https://evil.example").send(), 403, "ORIGIN_NOT_ALLOWED");
    problem(&ask(skills).header("Origin", "null").send(), 403, "ORIGIN_NOT_ALLOWED");
    problem(&ask(skills).header("Host", "evil.example").send(), 421, "HOST_NOT_ALLOWED");
    // Before anything is read, and before there is a trigger.
    let run = server.request("POST", "/v1/triggers/x/tool-calls").json(&json!({"toolCalls": [bash("true")]}));
    problem(&run.clone().without("Authorization").send(), 401, "UNAUTHORIZED");
    problem(&run.header("Origin", "https://evil.example").send(), 403, "ORIGIN_NOT_ALLOWED");
    problem(&ask("/v1/triggers/x").send(), 404, "NOT_FOUND");
    // Health says nothing secret and needs no token.
    for open in ["/healthz", "/readyz"] {
        let asked = ask(open).without("Authorization").header("Host", "10.0.0.7:1").send();
        assert_eq!(asked.status, 200, "{open}");
    }
}

#[test]
fn requests_that_make_no_sense_are_refused_with_a_reason() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let post = |media_type: &str, body: &str| {
        server.request("POST", "/v1/triggers/x/tool-calls").body(media_type, body.as_bytes().to_vec()).send()
    };
    problem(&post("application/json", "{"), 400, "MALFORMED_JSON");
    problem(&post("application/json", "{}"), 422, "INVALID_REQUEST");
    problem(&post("application/json", r#"{"toolCalls": 7}"#), 422, "INVALID_REQUEST");
    // What a web page can send without being asked first.
    problem(&post("text/plain", r#"{"toolCalls": []}"#), 415, "UNSUPPORTED_MEDIA_TYPE");
    let unknown = server
        .request("POST", "/v1/triggers/x/tool-calls")
        .json(&json!({"toolCalls": [bash("true")], "skills": ["nope"]}));
    let body = problem(&unknown.send(), 422, "SKILL_NOT_FOUND");
    assert!(body["error"].as_str().unwrap().contains("qr-code"), "{body}");
    problem(&server.request("GET", "/v1/nothing").send(), 404, "NOT_FOUND");
    problem(&server.request("DELETE", "/v1/tools").send(), 405, "METHOD_NOT_ALLOWED");
    let huge = json!({"toolCalls": [bash(&"x".repeat(64 << 20))]});
    problem(&server.request("POST", "/v1/triggers/x/tool-calls").json(&huge).send(), 413, "BODY_TOO_LARGE");
    let network =
        server.request("PUT", "/v1/triggers/n").json(&json!({"network": {"allow": ["example.com"]}}));
    problem(&network.send(), 422, "NETWORK_NOT_CONFIGURED");
    let lasting = server.request("PUT", "/v1/triggers/n").json(&json!({"sandboxTimeout": 864_000_000}));
    problem(&lasting.send(), 422, "INVALID_DECLARATION");
    // None of it made a trigger.
    problem(&server.request("GET", "/v1/triggers/n").send(), 404, "NOT_FOUND");
}

#[test]
fn a_unix_socket_is_its_owners() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("skillbox.sock");
    let listen = format!("unix:{}", path.display());
    let mut server =
        Serve::with(&Options { args: vec!["--listen".to_owned(), listen], ..Options::default() });
    let metadata = fs::metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.mode() & 0o777, 0o600);
    let address = Address::Unix(path.clone());
    // The file's mode is the permission.
    let run = Request::new(&address, "POST", "/v1/triggers/u/tool-calls")
        .json(&json!({"toolCalls": [bash("echo hello")]}));
    assert_eq!(run.send().expect(200)["toolResults"][0]["result"]["stdout"], "hello\n");
    server.signal(rustix::process::Signal::TERM);
    server.wait(std::time::Duration::from_secs(30));
    assert!(!path.exists(), "the socket's file goes with the server");
}

/// What runs in a sandbox has no way to the API, not even through the socket's file.
#[test]
fn a_sandbox_cannot_reach_the_server() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let (host, port) = server
        .url()
        .strip_prefix("http://")
        .unwrap()
        .split_once(':')
        .map(|(host, port)| (host.to_owned(), port.to_owned()))
        .unwrap();
    let code = format!("(exec 3<>/dev/tcp/{host}/{port}) 2>&1 || echo refused");
    let result = server.result("s", &bash(&code));
    assert!(result["stdout"].as_str().unwrap().ends_with("refused\n"), "{result}");
}

#[test]
fn an_uploaded_skill_wins_until_it_is_removed() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let folder = TempDir::new().unwrap();
    let own = folder.path().join("text-report");
    fs::create_dir_all(own.join("scripts")).unwrap();
    fs::write(
        own.join("SKILL.md"),
        "---\nname: text-report\ndescription: Says where it is from. Use it in tests.\n---\n\nRun it.\n",
    )
    .unwrap();
    fs::write(own.join("scripts/report.sh"), "echo uploaded\n").unwrap();
    let bundle = bundle::of_folder(&own);
    let run = |trigger: &str| {
        let call = call("skill_run", &json!({"skill": "text-report", "script": "report.sh"}));
        server.call(trigger, &["text-report"], &[call])["toolResults"][0]["result"]["stdout"].clone()
    };
    assert_ne!(run("before"), "uploaded\n");
    let validated = server
        .request("POST", "/v1/skills/validate")
        .body("application/zip", bundle.clone())
        .send()
        .expect(200);
    assert_eq!((&validated["valid"], &validated["slug"]), (&json!(true), &json!("text-report")));
    let upload = || server.request("POST", "/v1/skills").body("application/zip", bundle.clone()).send();
    let created = upload().expect(201);
    assert_eq!((&created["slug"], &created["created"]), (&json!("text-report"), &json!(true)));
    assert_eq!(upload().expect(200)["created"], false);
    let listed = server.request("GET", "/v1/skills/text-report").send().expect(200);
    assert_eq!((&listed["origin"], &listed["shadowsBuiltin"]), (&json!("uploaded"), &json!(true)));
    assert_eq!(run("between"), "uploaded\n");
    server.request("DELETE", "/v1/skills/text-report").send().expect(204);
    assert_ne!(run("after"), "uploaded\n");
    // What came with the server stays.
    problem(&server.request("DELETE", "/v1/skills/text-report").send(), 403, "SKILLS_READ_ONLY");
}

#[test]
fn a_hostile_bundle_is_refused_before_anything_is_written() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let install = |bytes: Vec<u8>| server.request("POST", "/v1/skills").body("application/zip", bytes).send();
    problem(&install(b"not a zip".to_vec()), 422, "INVALID_SKILL");
    // A name that leads out: the same bytes with another name of the same length.
    let bundle = bundle::of_folder(&example("qr-code"));
    let hostile = replaced(&bundle, b"qr-code/LICENSE", b"../../x/LICENSE");
    let body = problem(&install(hostile), 422, "INVALID_SKILL");
    assert!(body["diagnostics"][0]["message"].as_str().is_some(), "{body}");
    let skills = server.request("GET", "/v1/skills/qr-code").send().expect(200);
    assert_eq!(skills["origin"], "builtin");
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut found = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    // In the entry itself and in the directory at the end.
    assert_eq!(found, 2);
    bytes
}

/// Whatever callers write, a line of the log stays one line, and whoever reads it in a terminal gets no control sequence.
#[test]
fn callers_cannot_write_into_the_log() {
    if !require("native") {
        return;
    }
    let server = Serve::with(&Options { args: vec!["-vv".to_owned()], ..Options::default() });
    let nasty = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\n{\"level\":\"ERROR\"}\u{202e}";
    let body = |call: Value| json!({"toolCalls": [call], "skills": [nasty]});
    for call in [
        json!({"toolCallId": "c1", "toolName": nasty, "args": {}}),
        json!({"toolCallId": "c2", "toolName": "octavus_skill_run", "args": {"skill": nasty, "script": nasty}}),
        json!({"toolCallId": "c3", "toolName": "octavus_file_read", "args": {"path": nasty}}),
        json!({"toolCallId": "c4", "toolName": "octavus_code_run", "args": {"language": nasty, "code": nasty}}),
    ] {
        let path = "/v1/triggers/t/tool-calls";
        server.request("POST", path).json(&body(call.clone())).send();
        server.request("POST", path).json(&json!({"toolCalls": [call]})).send();
    }
    server.call("t", &[], &[bash("printf '\\033[2J'; mkdir -p /output; echo x > $'/output/a\\033[2J\\nb'")]);
    server.request("GET", "/v1/triggers/%1b%5b2J/events").send();
    server.request("GET", "/healthz").header("X-Request-Id", "a\u{1b}[2J").send();
    server.request("POST", "/v1/skills").body("application/zip", nasty.as_bytes().to_vec()).send();
    let log = server.log();
    assert!(log.contains("\"a tool call is done\"") || log.contains("a tool call"), "{log}");
    let is_bad = |character: &char| {
        (character.is_control() && *character != '\n') || ('\u{202a}'..='\u{202e}').contains(character)
    };
    assert_eq!(log.chars().find(is_bad), None, "{log}");
    server.events();
    assert!(!log.lines().any(|line| line.starts_with("{\"level\":\"ERROR\"}")), "{log}");
}
