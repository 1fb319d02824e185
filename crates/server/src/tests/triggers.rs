//! Declaring, looking at and ending a trigger.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Body,
    http::{Method, Request},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use sandbox::fake::Program;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::TestApp;

#[tokio::test]
async fn a_declaration_creates_nothing_and_may_come_again() {
    let app = TestApp::new();
    let declaration = json!({
        "skills": ["qr-code"], "sandboxTimeout": 60_000, "limits": {"memoryBytes": 100_000_000, "processes": 16},
        "network": null, "env": {"LEVEL": "3"}, "inputs": [{"path": "a.txt", "content": STANDARD.encode("hello")}],
        "metadata": {"session": "s1", "nested": {"a": [1]}},
    });
    let expected = json!({
        "id": "t/1", "state": "idle", "skills": ["qr-code"], "toolCalls": [], "files": [],
        "metadata": {"session": "s1", "nested": {"a": [1]}},
    });
    for _ in 0..2 {
        assert_eq!(app.put("/v1/triggers/t%2F1", &declaration).value().await, expected);
    }
    assert_eq!(app.get("/v1/triggers/t%2F1").value().await, expected);
    assert_eq!(app.driver.created(), 0);
    let program = Program::new().read("a.txt");
    app.run("t%2F1", "c1", &program).value().await;
    let spec = &app.driver.sandboxes()[0].spec;
    assert_eq!((spec.limits.memory_bytes, spec.limits.processes), (100_000_000, 16));
    assert_eq!(spec.lifetime.as_secs(), 60);
    let detail = "the trigger already has a sandbox that was made from another declaration; end the trigger, or use a new id";
    let other = app.put("/v1/triggers/t%2F1", &json!({"skills": [], "sandboxTimeout": 1000}));
    other.refused(409, "Conflict", "CONFLICT", detail, json!({})).await;
}

#[tokio::test]
async fn an_empty_declaration_is_enough() {
    let app = TestApp::new();
    let state = app.put("/v1/triggers/t", &json!({})).value().await;
    assert_eq!(
        state,
        json!({"id": "t", "state": "idle", "skills": [], "toolCalls": [], "files": [], "metadata": {}})
    );
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_as_a_whole() {
    let app = TestApp::new();
    let check = async |body: Value, code: &str, detail: &str| {
        app.put("/v1/triggers/t", &body).refused(422, "Unprocessable Entity", code, detail, json!({})).await;
    };
    check(
        json!({"skills": ["qr-cod"]}),
        "SKILL_NOT_FOUND",
        "skill `qr-cod` is not known; known skills: notes, qr-code",
    )
    .await;
    check(
        json!({"network": {"allow": ["example.com"]}}),
        "NETWORK_NOT_CONFIGURED",
        "network access is not configured on this runner; declare no network, or ask the operator to allow hosts",
    )
    .await;
    check(
        json!({"sandboxTimeout": 0}),
        "INVALID_DECLARATION",
        "sandboxTimeout (ms) of 0 is not allowed: it must be between 1 and 3600000",
    )
    .await;
    check(
        json!({"limits": {"cpuMillis": 64_000}}),
        "INVALID_DECLARATION",
        "cpu (thousandths) of 64000 is not allowed: it must be between 1 and 2000",
    )
    .await;
    check(
        json!({"inputs": [{"path": "/etc/passwd", "content": ""}]}),
        "INVALID_DECLARATION",
        "input `/etc/passwd` cannot be put into the sandbox: it must be a file below /workspace or /output",
    )
    .await;
    for input in [json!({"path": "a"}), json!({"path": "a", "content": "", "url": "/v1/files/x"})] {
        check(json!({"inputs": [input]}), "INVALID_DECLARATION", "input `a` needs either content or url")
            .await;
    }
    let refused =
        app.put("/v1/triggers/t", &json!({"inputs": [{"path": "a", "content": "***"}]})).send().await.json();
    assert_eq!(refused["code"], "INVALID_DECLARATION");
    assert!(refused["detail"].as_str().unwrap().starts_with("the content of input `a` is not base64"));
    let env = app.put("/v1/triggers/t", &json!({"env": {"A=B": "x"}})).code().await;
    assert_eq!(env, (422, "INVALID_DECLARATION".into()));
    assert_eq!(app.get("/v1/triggers/t").code().await, (404, "NOT_FOUND".into()));
}

#[tokio::test]
async fn urls_of_other_hosts_are_never_fetched() {
    let app = TestApp::new();
    let id = format!("file_{}", "a".repeat(40));
    for url in [
        "https://example.com/data.csv".to_owned(),
        "http://169.254.169.254/latest/meta-data/".into(),
        "file:///etc/passwd".into(),
        format!("https://evil.example/{id}"),
    ] {
        let detail = "the url of input `a` cannot be used: only links to files of this runner are taken, since the operator \
                      has listed no other host; send the content in base64";
        app.put("/v1/triggers/t", &json!({"inputs": [{"path": "a", "url": url}]}))
            .refused(422, "Unprocessable Entity", "INPUT_URL_NOT_ALLOWED", detail, json!({}))
            .await;
    }
    let gone =
        app.put("/v1/triggers/t", &json!({"inputs": [{"path": "a", "url": format!("/v1/files/{id}")}]}));
    let detail = "the url of input `a` cannot be used: the file does not exist";
    gone.refused(422, "Unprocessable Entity", "INPUT_URL_NOT_ALLOWED", detail, json!({})).await;
}

/// A web server on the machine's loopback, which tells how often each path was asked for.
async fn web_server() -> (String, Arc<Mutex<Vec<String>>>, JoinSet<()>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let answer = move |request: Request<Body>| {
        let path = request.uri().path().to_owned();
        log.lock().unwrap().push(path.clone());
        async move {
            match path.as_str() {
                "/data.csv" => Response::new(Body::from("a,b\n")),
                "/moved" => {
                    let moved = Response::builder().status(302).header("Location", "/data.csv");
                    moved.body(Body::empty()).unwrap()
                }
                // Without a length, so that only counting helps.
                "/endless" => {
                    let piece = || Ok::<_, std::convert::Infallible>(Bytes::from(vec![b'x'; 1024]));
                    let pieces = futures_util::stream::iter(std::iter::repeat_with(piece));
                    Response::new(Body::from_stream(pieces))
                }
                _ => Response::builder().status(404).body(Body::from("secret of the host")).unwrap(),
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
    (address, asked, serving)
}

#[tokio::test]
async fn inputs_come_from_hosts_that_the_operator_has_listed() {
    let (address, asked, _serving) = web_server().await;
    let (other, other_asked, _other) = web_server().await;
    let app = TestApp::with(|settings| {
        settings.server.input_hosts = vec![address.parse().unwrap()];
        settings.runner.input_bytes = 100_000;
    });
    let declare =
        |url: String| app.put("/v1/triggers/t", &json!({"inputs": [{"path": "in.csv", "url": url}]}));
    declare(format!("http://{address}/data.csv?x=1")).value().await;
    let read = app.run("t", "c1", &Program::new().read("in.csv")).value().await;
    assert_eq!(read["toolResults"][0]["result"]["stdout"], "a,b\n");
    for (url, why) in [
        (format!("http://{address}/none"), "its host answered with status 404".to_owned()),
        (format!("http://{address}/moved"), "its host answered with status 302".to_owned()),
        (
            format!("http://{other}/data.csv"),
            format!("only links to files of this runner and to {address} are taken"),
        ),
    ] {
        let detail = format!("the url of input `in.csv` cannot be used: {why}");
        declare(url).refused(422, "Unprocessable Entity", "INPUT_URL_NOT_ALLOWED", &detail, json!({})).await;
    }
    let detail = "input `in.csv` is larger than what is left of the limit for all inputs";
    declare(format!("http://{address}/endless"))
        .refused(422, "Unprocessable Entity", "INVALID_DECLARATION", detail, json!({}))
        .await;
    assert_eq!(*asked.lock().unwrap(), ["/data.csv", "/none", "/moved", "/endless"]);
    assert!(other_asked.lock().unwrap().is_empty(), "a host that is not listed was asked");
}

/// A small body must not be a way to have much held.
#[tokio::test]
async fn fetched_inputs_count_as_bodies_do() {
    let (address, ..) = &web_server().await;
    let app = TestApp::with(|settings| {
        settings.server.input_hosts = vec![address.parse().unwrap()];
        settings.server.buffered_bytes = 256 * 1024;
        settings.on_disk = true;
    });
    let saved = app.run("first", "c1", &Program::new().write("/output/a", "x".repeat(40_000))).value().await;
    let stored = saved["toolResults"][0]["files"][0]["url"].as_str().unwrap().to_owned();
    let many: Vec<Value> = (0..7).map(|n| json!({"path": format!("{n}"), "url": stored})).collect();
    for inputs in [json!([{"path": "in", "url": format!("http://{address}/endless")}]), json!(many)] {
        app.put("/v1/triggers/t", &json!({"inputs": inputs}))
            .refused(429, "Too Many Requests", "BUSY", "too many bytes of requests at once", json!({}))
            .await;
    }
    // Everything was given back.
    let small = json!({"inputs": [{"path": "in", "url": format!("http://{address}/data.csv")}]});
    app.put("/v1/triggers/t", &small).value().await;
}

#[tokio::test]
async fn a_file_of_one_trigger_can_be_an_input_of_another() {
    let app = TestApp::with(|settings| settings.on_disk = true);
    let saved = app.run("first", "c1", &Program::new().write("/output/a.csv", "x,y\n1,2\n")).value().await;
    let file = &saved["toolResults"][0]["files"][0];
    let links =
        [file["url"].as_str().unwrap().to_owned(), format!("/v1/files/{}", file["id"].as_str().unwrap())];
    for (n, url) in links.iter().enumerate() {
        let trigger = format!("second-{n}");
        app.put(&format!("/v1/triggers/{trigger}"), &json!({"inputs": [{"path": "in.csv", "url": url}]}))
            .value()
            .await;
        let read = app.run(&trigger, "c1", &Program::new().read("in.csv")).value().await;
        assert_eq!(read["toolResults"][0]["result"]["stdout"], "x,y\n1,2\n");
    }
}

#[tokio::test]
async fn an_input_by_url_counts_against_the_limit() {
    let app = TestApp::with(|settings| {
        settings.on_disk = true;
        settings.runner.input_bytes = 10;
    });
    let saved = app.run("first", "c1", &Program::new().write("/output/a.csv", "12345678")).value().await;
    let url = saved["toolResults"][0]["files"][0]["url"].clone();
    let inputs = json!([{"path": "a", "content": "MTIz"}, {"path": "b", "url": url}]);
    let detail = "input `b` is larger than what is left of the limit for all inputs";
    app.put("/v1/triggers/t", &json!({"inputs": inputs}))
        .refused(422, "Unprocessable Entity", "INVALID_DECLARATION", detail, json!({}))
        .await;
}

#[tokio::test]
async fn json_that_is_wrong_is_refused_with_its_place() {
    let app = TestApp::new();
    let ask = |body: &str| {
        app.ask(Method::PUT, "/v1/triggers/t")
            .header("content-type", "application/json")
            .body(body.to_owned())
    };
    ask("{\n  \"skills\": [,]\n}")
        .refused(
            400,
            "Bad Request",
            "MALFORMED_JSON",
            "the body is not valid JSON: expected value at line 2 column 14",
            json!({"line": 2, "column": 14}),
        )
        .await;
    ask("")
        .refused(
            400,
            "Bad Request",
            "MALFORMED_JSON",
            "the body is not valid JSON: EOF while parsing a value at line 1 column 0",
            json!({"line": 1, "column": 0}),
        )
        .await;
    ask("{} x")
        .refused(
            400,
            "Bad Request",
            "MALFORMED_JSON",
            "the body is not valid JSON: trailing characters at line 1 column 4",
            json!({"line": 1, "column": 4}),
        )
        .await;
    ask("{\"limits\": {\"memory\": 5}}")
        .refused(
            422,
            "Unprocessable Entity",
            "INVALID_REQUEST",
            "unknown field `memory`, expected one of `memoryBytes`, `cpuMillis`, `processes`, `diskBytes`, `diskInodes`, \
             `shmBytes`, `openFiles`, `fileBytes` at line 1 column 20",
            json!({"line": 1, "column": 20}),
        )
        .await;
    assert_eq!(ask("{\"skills\": \"qr-code\"}").code().await, (422, "INVALID_REQUEST".into()));
    assert_eq!(
        ask(&format!("{{\"metadata\": {{\"a\": {}", "[".repeat(200_000))).code().await,
        (400, "MALFORMED_JSON".into())
    );
    assert_eq!(ask("\u{feff}{}").code().await, (400, "MALFORMED_JSON".into()));
}

#[tokio::test]
async fn the_state_shows_calls_and_files_with_fresh_links() {
    let app = TestApp::with(|settings| settings.on_disk = true);
    app.run("t", "c1", &Program::new().write("/output/a.txt", "abc")).value().await;
    let unknown = json!({"toolCalls": [{"toolCallId": "c2", "toolName": "nothing", "args": {}}]});
    app.post("/v1/triggers/t/tool-calls", &unknown).value().await;
    let state = app.get("/v1/triggers/t").value().await;
    assert_eq!(state["state"], "ready");
    assert_eq!(
        state["toolCalls"],
        json!([{"toolCallId": "c1", "toolName": "octavus_code_run", "state": "done"},
               {"toolCallId": "c2", "toolName": "nothing", "state": "failed"}])
    );
    assert!(state["sandboxId"].is_string());
    let remaining = state["remainingMs"].as_u64().unwrap();
    assert!((290_000..=300_000).contains(&remaining));
    let file = &state["files"][0];
    let id = file["id"].as_str().unwrap();
    assert!(
        file["url"]
            .as_str()
            .unwrap()
            .starts_with(&format!("http://localhost:8080/v1/files/{id}/content?exp="))
    );
    let mut file = file.clone();
    for random in ["id", "url"] {
        file.as_object_mut().unwrap().remove(random);
    }
    assert_eq!(
        file,
        json!({"name": "a.txt", "path": "/output/a.txt", "mediaType": "text/plain", "size": 3, "toolCallId": "c1"})
    );
}

#[tokio::test]
async fn an_ended_trigger_is_gone_and_ending_is_idempotent() {
    let app = TestApp::new();
    app.run("t", "c1", &Program::new()).value().await;
    assert_eq!(app.driver.live(), 1);
    for path in ["/v1/triggers/t", "/v1/triggers/t", "/v1/triggers/never-seen"] {
        let reply = app.delete(path).send().await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (204, 0));
    }
    assert_eq!((app.driver.live(), app.driver.destroyed()), (0, 1));
    let state = app.get("/v1/triggers/t").value().await;
    assert_eq!(state["state"], "ended");
    let none = json!({});
    app.run("t", "c2", &Program::new())
        .refused(409, "Conflict", "TRIGGER_CLOSED", "the trigger is closed", none.clone())
        .await;
    app.put("/v1/triggers/t", &none)
        .refused(409, "Conflict", "TRIGGER_CLOSED", "the trigger is closed", none.clone())
        .await;
    // What it did can still be asked for.
    assert_eq!(app.run("t", "c1", &Program::new()).send().await.status, 200);
    let detail = "this trigger is not known; it was never used, or ended some time ago";
    app.get("/v1/triggers/never-seen").refused(404, "Not Found", "NOT_FOUND", detail, none.clone()).await;
    app.get("/v1/triggers/never-seen/events").refused(404, "Not Found", "NOT_FOUND", detail, none).await;
}

#[tokio::test(start_paused = true)]
async fn those_that_have_not_ended_are_listed() {
    let app = TestApp::new();
    let listed = async || app.get("/v1/triggers").value().await;
    assert_eq!(
        listed().await,
        json!({"triggers": [], "sandboxes": 0, "mostSandboxes": 64, "mostTriggers": 10_000})
    );
    app.put("/v1/triggers/b", &json!({})).value().await;
    for trigger in ["a", "c"] {
        app.run(trigger, "c1", &Program::new()).value().await;
    }
    app.ask(Method::DELETE, "/v1/triggers/c").send().await;
    tokio::time::advance(std::time::Duration::from_millis(1500)).await;
    let seen = listed().await;
    assert_eq!(seen["sandboxes"], 1);
    let told: Vec<(&str, &str, bool)> = seen["triggers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let since = one["sinceMs"].as_u64().unwrap() >= 1500;
            (one["id"].as_str().unwrap(), one["state"].as_str().unwrap(), since)
        })
        .collect();
    assert_eq!(told, [("a", "ready", true), ("b", "idle", true)]);
}
