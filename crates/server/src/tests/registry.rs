//! The registry of skills, definitions and the prompt.

use std::io::{Cursor, Write as _};

use axum::http::Method;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use super::{Ask, TestApp};

fn bundle(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn skill(name: &str, description: &str) -> Vec<u8> {
    let text = format!("---\nname: {name}\ndescription: {description}\n---\n# {name}\nUse it.\n");
    bundle(&[
        ("SKILL.md", &text),
        ("scripts/run.sh", "#!/bin/bash\n# Says hello.\necho hello\n"),
        ("references/a.md", "# A\n"),
    ])
}

fn upload(app: &TestApp, path: &str, bundle: Vec<u8>) -> Ask {
    app.ask(Method::POST, path).header("content-type", "application/zip").body(bundle)
}

fn form(app: &TestApp, field: &str, bundle: &[u8]) -> Ask {
    let mut body = format!(
        "--xyz\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--xyz\r\nContent-Disposition: form-data; \
         name=\"{field}\"; filename=\"a.skill\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bundle);
    body.extend_from_slice(b"\r\n--xyz--\r\n");
    app.ask(Method::POST, "/v1/skills").header("content-type", "multipart/form-data; boundary=xyz").body(body)
}

#[tokio::test]
async fn a_bundle_is_installed_replaced_shown_and_removed() {
    let app = TestApp::new();
    let built_in = json!([
        {"slug": "notes", "description": "Takes <notes> & keeps them.", "origin": "builtin"},
        {"slug": "qr-code", "description": "Makes QR codes.", "origin": "builtin"},
    ]);
    assert_eq!(app.get("/v1/skills").value().await, json!({"skills": built_in}));
    let reply = upload(&app, "/v1/skills", skill("qr-code", "Better codes.")).send().await;
    let body = json!({
        "skillId": "qr-code", "slug": "qr-code", "created": true, "dependencies": {"state": "ready"}, "diagnostics": [],
    });
    assert_eq!((reply.status.as_u16(), reply.json()), (201, body));
    let reply = form(&app, "file", &skill("qr-code", "Best codes.")).send().await;
    assert_eq!((reply.status.as_u16(), &reply.json()["created"]), (200, &json!(false)));
    let mut shown = app.get("/v1/skills/qr-code").value().await;
    let digest = shown.as_object_mut().unwrap().remove("digest").unwrap();
    assert!(digest.as_str().unwrap().starts_with("sha256:") && digest.as_str().unwrap().len() == 71);
    let size = |path: &str| {
        shown["files"].as_array().unwrap().iter().find(|file| file["path"] == path).unwrap()["size"].clone()
    };
    assert_eq!(
        shown,
        json!({
            "slug": "qr-code", "description": "Best codes.", "origin": "uploaded", "shadowsBuiltin": true,
            "scripts": [{"path": "scripts/run.sh", "language": "bash", "size": 37, "description": "Says hello."}],
            "references": [{"path": "references/a.md", "size": 4}],
            "assets": [],
            "files": [{"path": "SKILL.md", "size": size("SKILL.md")}, {"path": "references/a.md", "size": 4},
                      {"path": "scripts/run.sh", "size": 37}],
            "diagnostics": [],
        })
    );
    assert_eq!(app.delete("/v1/skills/qr-code").send().await.status, 204);
    assert_eq!(app.get("/v1/skills/qr-code").value().await["description"], "Makes QR codes.");
    let detail = "this skill is built in; only uploaded skills can be removed";
    app.delete("/v1/skills/qr-code").refused(403, "Forbidden", "SKILLS_READ_ONLY", detail, json!({})).await;
    let detail = "there is no such skill; GET /v1/skills lists all";
    for slug in ["none", "..%2F..%2Fetc", "%00"] {
        let path = format!("/v1/skills/{slug}");
        app.get(&path).refused(404, "Not Found", "NOT_FOUND", detail, json!({})).await;
        app.delete(&path).refused(404, "Not Found", "NOT_FOUND", detail, json!({})).await;
    }
}

#[tokio::test]
async fn dependencies_that_cannot_be_had_are_said_and_the_skill_is_there() {
    let app = TestApp::new();
    let text = "---\nname: needy\ndescription: Needs things.\n---\n# Needy\nUse it.\n";
    let reply = upload(
        &app,
        "/v1/skills",
        bundle(&[("SKILL.md", text), ("requirements.txt", "no-such-package==1.0\n")]),
    )
    .send()
    .await;
    let answer = reply.json();
    assert_eq!((reply.status.as_u16(), &answer["dependencies"]["state"]), (201, &json!("failed")));
    assert!(!answer["dependencies"]["error"].as_str().unwrap().is_empty());
    assert_eq!(app.get("/v1/skills/needy").send().await.status, 200);
    let bad = bundle(&[("SKILL.md", text), ("requirements.txt", "git+https://evil.example/x\n")]);
    let answer = upload(&app, "/v1/skills", bad).value().await;
    assert!(answer["dependencies"]["error"].as_str().unwrap().contains("requirements.txt"), "{answer}");
}

#[tokio::test]
async fn bundles_that_are_none_are_refused_with_findings() {
    let app = TestApp::new();
    let reply = upload(&app, "/v1/skills", b"not a zip".to_vec()).send().await;
    assert_eq!(reply.status, 422);
    let problem = reply.json();
    assert_eq!(
        (&problem["code"], &problem["title"]),
        (&json!("INVALID_SKILL"), &json!("Unprocessable Entity"))
    );
    assert_eq!(problem["error"], "the file is not a ZIP, or it is cut off");
    assert_eq!(
        problem["diagnostics"],
        json!([{"rule": "AR001", "severity": "error", "message": "the file is not a ZIP, or it is cut off",
                "help": "pack the skill's folder again with a common ZIP tool"}])
    );
    let nameless = bundle(&[("SKILL.md", "---\ndescription: x\n---\nHello\n")]);
    let problem = upload(&app, "/v1/skills", nameless.clone()).send().await.json();
    assert_eq!(problem["code"], "INVALID_SKILL");
    assert_eq!(problem["diagnostics"][0]["rule"], "SB040");
    assert_eq!(problem["diagnostics"][0]["path"], "SKILL.md");
    assert_eq!(app.get("/v1/skills").value().await["skills"].as_array().unwrap().len(), 2);
    // The same, only looked at: without a directory that could name it, and with advice.
    let checked = upload(&app, "/v1/skills/validate", nameless).value().await;
    assert_eq!((&checked["valid"], &checked["errors"][0]["rule"]), (&json!(false), &json!("SB040")));
    assert!(checked.get("slug").is_none());
    let good = "---\nname: good\ndescription: Counts words. Use it when asked how many there are.\nlicense: MIT\n---\nUse it.\n";
    let checked = upload(&app, "/v1/skills/validate", bundle(&[("SKILL.md", good)])).value().await;
    assert_eq!(checked, json!({"slug": "good", "valid": true, "errors": [], "warnings": [], "infos": []}));
    let warned = bundle(&[("SKILL.md", &good.replace("license: MIT", "colour: red"))]);
    let checked = upload(&app, "/v1/skills/validate", warned.clone()).value().await;
    assert_eq!(checked["valid"], true);
    let strict = upload(&app, "/v1/skills/validate?profile=spec", warned.clone()).value().await;
    assert_eq!((&strict["valid"], &strict["errors"][0]["rule"]), (&json!(false), &json!("SB030")));
    assert_eq!(upload(&app, "/v1/skills/validate?profile=none", warned).send().await.status, 422);
    let mut warning = checked["warnings"][0].clone();
    warning.as_object_mut().unwrap().remove("help");
    warning.as_object_mut().unwrap().remove("message");
    assert_eq!(
        warning,
        json!({"rule": "SB030", "severity": "warning", "path": "SKILL.md", "line": 4, "column": 1})
    );
    assert!(app.get("/v1/skills/good").send().await.status == 404);
}

#[tokio::test]
async fn uploads_of_other_types_and_forms_without_a_file() {
    let app = TestApp::with(|settings| settings.server.bundle_bytes = 2000);
    let detail = "send the bundle as application/zip, or as the field `file` of multipart/form-data";
    for path in ["/v1/skills", "/v1/skills/validate"] {
        for bad in ["application/json", "text/plain", ""] {
            app.ask(Method::POST, path)
                .header("content-type", bad)
                .body("{}")
                .refused(415, "Unsupported Media Type", "UNSUPPORTED_MEDIA_TYPE", detail, json!({}))
                .await;
        }
        let large = upload(&app, path, vec![0; 2001]);
        let detail = "the body is larger than the limit of 2000 bytes";
        large.refused(413, "Payload Too Large", "BODY_TOO_LARGE", detail, json!({"limit": 2000})).await;
    }
    let detail = "the form has no field `file` with the bundle";
    form(&app, "bundle", b"x")
        .refused(422, "Unprocessable Entity", "INVALID_REQUEST", detail, json!({}))
        .await;
    let broken = |content_type: &str| {
        app.ask(Method::POST, "/v1/skills").header("content-type", content_type).body("--x\r\n")
    };
    let detail = "the form has no boundary";
    broken("multipart/form-data").refused(400, "Bad Request", "BAD_REQUEST", detail, json!({})).await;
    let detail = "the form cannot be read";
    broken("multipart/form-data; boundary=x")
        .refused(400, "Bad Request", "BAD_REQUEST", detail, json!({}))
        .await;
}

#[tokio::test]
async fn without_a_directory_nothing_can_be_uploaded() {
    let app = TestApp::with(|settings| settings.uploads = false);
    let detail = "skills cannot be uploaded: no directory for them is configured; the operator names one with \
                  `--uploaded-skills`";
    upload(&app, "/v1/skills", skill("good", "Is good."))
        .refused(403, "Forbidden", "SKILLS_READ_ONLY", detail, json!({}))
        .await;
}

#[tokio::test]
async fn definitions_for_the_skills_that_are_named() {
    let app = TestApp::new();
    let tools = async |query: &str| {
        app.get(&format!("/v1/tools{query}")).value().await["tools"].as_array().unwrap().clone()
    };
    let octavus = tools("?skills=qr-code,notes,%20qr-code&style=octavus").await;
    let names: Vec<&Value> = octavus.iter().map(|tool| &tool["name"]).collect();
    assert_eq!(
        names,
        [
            "octavus_skill_read",
            "octavus_skill_list",
            "octavus_skill_run",
            "octavus_code_run",
            "octavus_file_write",
            "octavus_file_read"
        ]
    );
    assert_eq!(octavus[0]["inputSchema"]["properties"]["skill"]["enum"], json!(["qr-code", "notes"]));
    assert_eq!(tools("?skills=notes&style=openai").await[3]["function"]["name"], "octavus_code_run");
    assert!(tools("?skills=notes&style=anthropic").await[0]["input_schema"].is_object());
    assert_eq!(tools("").await[0]["inputSchema"]["properties"]["skill"]["enum"], json!(["notes", "qr-code"]));
    assert!(tools("?skills=").await.is_empty());
    let detail = "style must be one of octavus, openai, anthropic";
    app.get("/v1/tools?style=x").refused(400, "Bad Request", "BAD_REQUEST", detail, json!({})).await;
    let detail = "skill `x` is not known; GET /v1/skills lists all";
    app.get("/v1/tools?skills=notes,x")
        .refused(422, "Unprocessable Entity", "SKILL_NOT_FOUND", detail, json!({}))
        .await;
    assert_eq!(app.get("/v1/tools?skills=a&skills=b").code().await, (400, "BAD_REQUEST".into()));
}

#[tokio::test]
async fn the_prompt_for_the_skills_that_are_named() {
    let app = TestApp::new();
    let prompt = app.get("/v1/prompt?skills=notes").value().await["prompt"].as_str().unwrap().to_owned();
    assert!(prompt.starts_with(
        "<available_skills>\n<skill>\n<name>\nnotes\n</name>\n<description>\nTakes &lt;notes&gt; &amp; keeps"
    ));
    assert!(prompt.contains("octavus_skill_read") && prompt.contains("300 seconds"));
    assert_eq!(app.get("/v1/prompt?skills=").value().await, json!({"prompt": ""}));
}
