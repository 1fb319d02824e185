//! Output files: fresh links, and content that can only be saved.

use axum::http::Method;
use sandbox::fake::Program;
use serde_json::json;

use super::{Ask, TestApp};

const HTML: &str = "<html><script>alert(1)</script></html>";

async fn saved(app: &TestApp, name: &str, content: &str) -> (String, String) {
    let program = Program::new().write(format!("/output/{name}"), content);
    let answer = app.run("t", name, &program).value().await;
    let file = &answer["toolResults"][0]["files"][0];
    let link = file["url"].as_str().unwrap().strip_prefix("http://localhost:8080").unwrap();
    (file["id"].as_str().unwrap().to_owned(), link.to_owned())
}

fn on_disk() -> TestApp {
    TestApp::with(|settings| settings.on_disk = true)
}

fn open(app: &TestApp, link: &str) -> Ask {
    app.get(link).without("authorization")
}

#[tokio::test]
async fn a_signed_link_needs_no_token_and_its_content_never_runs() {
    let app = on_disk();
    let (_, link) = saved(&app, "page.html", HTML).await;
    let reply = open(&app, &link).send().await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, HTML));
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("content-length", "38"),
        ("content-disposition", "attachment; filename=\"page.html\""),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "private, max-age=3600"),
        ("accept-ranges", "bytes"),
        ("cross-origin-resource-policy", "cross-origin"),
    ] {
        assert_eq!(reply.header(name), value, "{name}");
    }
    let tag = reply.header("etag").to_owned();
    let head = app.ask(Method::HEAD, &link).without("authorization").send().await;
    assert_eq!((head.status.as_u16(), head.body.len(), head.header("content-length")), (200, 0, "38"));
    let known = open(&app, &link).header("if-none-match", &format!("\"x\", {tag}")).send().await;
    assert_eq!((known.status.as_u16(), known.body.len(), known.header("etag")), (304, 0, tag.as_str()));
    assert_eq!(known.header("content-length"), "38", "of what is not sent");
    assert_eq!(open(&app, &link).header("if-none-match", "\"x\"").send().await.status, 200);
}

#[tokio::test]
async fn parts_of_a_file() {
    let app = on_disk();
    let large = "0123456789".repeat(100_000);
    for content in ["0123456789", &large] {
        let (_, link) = saved(&app, &format!("f{}.txt", content.len()), content).await;
        let size = content.len();
        for (range, first, last) in
            [("bytes=2-5", 2, 5), ("bytes=3-", 3, size - 1), ("bytes=-4", size - 4, size - 1)]
        {
            let reply = open(&app, &link).header("range", range).send().await;
            assert_eq!((reply.status.as_u16(), reply.text()), (206, &content[first..=last]), "{range}");
            assert_eq!(reply.header("content-range"), format!("bytes {first}-{last}/{size}"));
            assert_eq!(reply.header("content-length"), (last - first + 1).to_string());
            assert!(reply.header("content-disposition").starts_with("attachment"));
        }
        assert_eq!(open(&app, &link).header("range", "bytes=0-1,3-4").send().await.status, 200);
        let tag = open(&app, &link).send().await.header("etag").to_owned();
        assert_eq!(
            open(&app, &link).header("range", "bytes=1-2").header("if-range", &tag).send().await.status,
            206
        );
        assert_eq!(
            open(&app, &link).header("range", "bytes=1-2").header("if-range", "\"old\"").send().await.status,
            200
        );
        let behind = open(&app, &link).header("range", &format!("bytes={size}-"));
        let detail = "the range begins behind the end of the file";
        let reply =
            behind.refused(416, "Range Not Satisfiable", "RANGE_NOT_SATISFIABLE", detail, json!({})).await;
        assert_eq!(reply.header("content-range"), format!("bytes */{size}"));
    }
}

#[tokio::test]
async fn forged_and_changed_links_open_nothing() {
    let app = on_disk();
    let (id, link) = saved(&app, "a.txt", "secret").await;
    let (other, _) = saved(&app, "b.txt", "other").await;
    let (path, query) = link.split_once('?').unwrap();
    let detail = "the link is not valid";
    for bad in [
        path.to_owned(),
        format!("{path}?{query}&x=1"),
        format!("{path}?{}", query.replace("exp=", "exp=9")),
        format!("{path}?{query}x"),
        link.replace(&id, &other),
        link.replace("file_", "file%5F"),
        format!("/v1/files/..%2F..%2Fetc%2Fpasswd/content?{query}"),
    ] {
        open(&app, &bad).refused(403, "Forbidden", "LINK_INVALID", detail, json!({})).await;
        // Neither does a token help.
        assert_eq!(app.get(&bad).code().await.0, 403);
    }
    assert_eq!(app.ask(Method::POST, &link).code().await.0, 405);
}

#[tokio::test]
async fn an_expired_link_says_how_to_get_another() {
    let app = on_disk();
    let (id, _) = saved(&app, "a.txt", "text").await;
    let links = app.app.config.signed_urls.clone().unwrap();
    let old = links.sign(&id.parse().unwrap(), std::time::UNIX_EPOCH).url;
    let old = old.strip_prefix("http://localhost:8080").unwrap();
    let detail = "the link has expired; GET /v1/files/{id} gives a fresh one";
    open(&app, old).refused(410, "Gone", "LINK_EXPIRED", detail, json!({})).await;
    let fresh = app.get(&format!("/v1/files/{id}")).send().await;
    assert_eq!((fresh.status.as_u16(), fresh.body.len()), (302, 0));
    assert_eq!(fresh.header("cache-control"), "no-store");
    let location = fresh.header("location").strip_prefix("http://localhost:8080").unwrap();
    assert_eq!(open(&app, location).send().await.text(), "text");
}

#[tokio::test]
async fn files_that_are_not_there() {
    let app = on_disk();
    let unknown = format!("file_{}", "a".repeat(40));
    let detail = "there is no such file";
    for id in [unknown.as_str(), "x", "..%2Fsecret", "file_"] {
        app.get(&format!("/v1/files/{id}")).refused(404, "Not Found", "NOT_FOUND", detail, json!({})).await;
    }
    let links = app.app.config.signed_urls.clone().unwrap();
    let link = links.sign(&unknown.parse().unwrap(), std::time::SystemTime::now()).url;
    let link = link.strip_prefix("http://localhost:8080").unwrap();
    open(&app, link).refused(404, "Not Found", "NOT_FOUND", detail, json!({})).await;
    // Where the store serves its own links, this server has none.
    let memory = TestApp::new();
    open(&memory, link).refused(404, "Not Found", "NOT_FOUND", detail, json!({})).await;
}
