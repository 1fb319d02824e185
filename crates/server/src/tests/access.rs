//! Who may ask: tokens, hosts, origins, types of bodies; and what every answer carries.

use axum::{
    Router,
    body::Body,
    http::{Method, Request},
    middleware::from_fn,
    routing::get,
};
use serde_json::json;
use tower::ServiceExt as _;

use super::{TOKEN, TestApp};
use crate::observe::observe;

const NEEDED: &str = "a token is needed: `Authorization: Bearer <token>`";

#[tokio::test]
async fn without_a_token_there_is_nothing() {
    let app = TestApp::new();
    for path in [
        "/v1/skills",
        "/v1/tools",
        "/v1/triggers/t",
        "/v1/triggers/t/events",
        "/v1/files/x",
        "/v1/none",
        "/",
        "/metrics",
        "/healthz/",
        "//healthz",
        "/readyz/x",
        "/v1/files/x/contents",
    ] {
        let reply = app
            .get(path)
            .without("authorization")
            .refused(401, "Unauthorized", "UNAUTHORIZED", NEEDED, json!({}))
            .await;
        assert_eq!(reply.header("www-authenticate"), "Bearer", "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        assert_eq!(app.ask(method, "/v1/triggers/t").without("authorization").code().await.0, 401);
    }
    assert_eq!(app.driver.created(), 0);
}

#[tokio::test]
async fn only_the_whole_token_in_the_one_form_counts() {
    let app = TestApp::new();
    for good in [format!("Bearer {TOKEN}"), format!("bearer {TOKEN}"), format!("BEARER  {TOKEN}")] {
        assert_eq!(app.get("/v1/skills").header("authorization", &good).send().await.status, 200, "{good}");
    }
    let wrong = "the token is not valid";
    for bad in [
        format!("Bearer {TOKEN}x"),
        format!("Bearer {}", &TOKEN[1..]),
        "Bearer ".into(),
        format!("Bearer {TOKEN},{TOKEN}"),
    ] {
        app.get("/v1/skills")
            .header("authorization", &bad)
            .refused(401, "Unauthorized", "UNAUTHORIZED", wrong, json!({}))
            .await;
    }
    for bad in
        [TOKEN.to_owned(), format!("Basic {TOKEN}"), format!("Bearer{TOKEN}"), "Bearer".into(), String::new()]
    {
        app.get("/v1/skills")
            .header("authorization", &bad)
            .refused(
                401,
                "Unauthorized",
                "UNAUTHORIZED",
                "the Authorization header must be `Bearer <token>`",
                json!({}),
            )
            .await;
    }
    let twice = app.get("/v1/skills").another_header("authorization", "Bearer another-token-here");
    twice
        .refused(
            401,
            "Unauthorized",
            "UNAUTHORIZED",
            "the request has more than one Authorization header",
            json!({}),
        )
        .await;
    // A token in a query is none.
    assert_eq!(app.get(&format!("/v1/skills?token={TOKEN}")).without("authorization").code().await.0, 401);
}

#[tokio::test]
async fn a_new_token_counts_at_once_and_the_old_one_no_more() {
    let app = TestApp::new();
    let (path, new) = (app.directory.path().join("tokens"), app.directory.path().join("new"));
    std::fs::write(&new, "the-second-token-1\nthe-third-token-22\n").unwrap();
    std::fs::rename(new, path).unwrap();
    assert_eq!(app.get("/v1/skills").code().await.0, 401);
    for token in ["the-second-token-1", "the-third-token-22"] {
        let reply = app.get("/v1/skills").header("authorization", &format!("Bearer {token}")).send().await;
        assert_eq!(reply.status, 200);
    }
}

#[tokio::test]
async fn a_rebound_name_is_refused_before_the_token_is_looked_at() {
    let app = TestApp::with(|settings| settings.server.hosts = vec!["runner.internal".into()]);
    let detail =
        "this server is not known by the name in the Host header; the operator can list further names";
    for bad in ["evil.example", "evil.example:8080", "localhost.evil.example", "192.168.1.5", ""] {
        app.get("/v1/skills")
            .header("host", bad)
            .without("authorization")
            .refused(421, "Misdirected Request", "HOST_NOT_ALLOWED", detail, json!({}))
            .await;
    }
    for good in ["localhost", "127.0.0.1:8080", "[::1]:9", "runner.internal:80"] {
        assert_eq!(app.get("/v1/skills").header("host", good).send().await.status, 200, "{good}");
    }
    let detail = "the request must have exactly one Host header";
    app.get("/v1/skills").without("host").refused(400, "Bad Request", "BAD_REQUEST", detail, json!({})).await;
    let two = app.get("/v1/skills").another_header("host", "localhost");
    two.refused(400, "Bad Request", "BAD_REQUEST", detail, json!({})).await;
    // A whole URL in the request line goes before the header.
    assert_eq!(app.get("http://evil.example/v1/skills").code().await, (421, "HOST_NOT_ALLOWED".into()));
    // Signed links are served under our names only; health is asked by addresses of pods.
    assert_eq!(app.get("/v1/files/x/content").header("host", "evil.example").code().await.0, 421);
    assert_eq!(
        app.get("/healthz").header("host", "10.1.2.3:80").without("authorization").send().await.status,
        200
    );
}

#[tokio::test]
async fn web_pages_are_refused_unless_listed() {
    let app = TestApp::with(|settings| settings.server.origins = vec!["https://chat.example.com".into()]);
    let detail = "requests from this web page's origin are not allowed; the operator can list it";
    for bad in ["http://localhost:8080", "https://evil.example", "null", ""] {
        for path in ["/v1/skills", "/healthz", "/readyz", "/v1/files/x/content"] {
            app.get(path)
                .header("origin", bad)
                .refused(403, "Forbidden", "ORIGIN_NOT_ALLOWED", detail, json!({}))
                .await;
        }
    }
    let listed = app.get("/v1/skills").header("origin", "https://chat.example.com");
    assert_eq!(listed.send().await.status, 200);
    let both =
        app.get("/v1/skills").header("origin", "https://chat.example.com").another_header("origin", "null");
    assert_eq!(both.code().await.0, 403);
}

#[tokio::test]
async fn bodies_that_a_form_could_send_are_refused() {
    let app = TestApp::new();
    let detail = "the body must be application/json, and its Content-Type must say so";
    let body = json!({"toolCalls": []}).to_string();
    for (method, path) in [
        (Method::POST, "/v1/triggers/t/tool-calls"),
        (Method::PUT, "/v1/triggers/t"),
        (Method::POST, "/v1/triggers/t/tool-calls/c/cancel"),
    ] {
        for bad in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonp",
            "",
        ] {
            app.ask(method.clone(), path)
                .header("content-type", bad)
                .body(body.clone())
                .refused(415, "Unsupported Media Type", "UNSUPPORTED_MEDIA_TYPE", detail, json!({}))
                .await;
        }
        let untold = app.ask(method.clone(), path).body(body.clone());
        assert_eq!(untold.code().await, (415, "UNSUPPORTED_MEDIA_TYPE".into()));
        let packed = app.ask(method, path).json(&json!({})).header("content-encoding", "gzip");
        let detail = "the body must not be compressed";
        packed.refused(415, "Unsupported Media Type", "UNSUPPORTED_MEDIA_TYPE", detail, json!({})).await;
    }
    for good in ["application/json; charset=utf-8", "Application/JSON"] {
        let ask = app
            .ask(Method::POST, "/v1/triggers/t/tool-calls")
            .header("content-type", good)
            .body(body.clone());
        assert_eq!(ask.send().await.status, 200);
    }
    assert_eq!(app.driver.created(), 0);
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let app = TestApp::new();
    let detail = "there is nothing at this path; docs/api.md lists all routes";
    for path in [
        "/",
        "/v1/",
        "/v1/triggers/",
        "/v2/skills",
        "/v1/triggers/t/tool-calls/c",
        "/v1/files/a/b/content",
        "/v1/skills/",
    ] {
        app.get(path).refused(404, "Not Found", "NOT_FOUND", detail, json!({})).await;
    }
    let detail = "this path does not take this method; the Allow header lists those it takes";
    let none = json!({});
    let reply = app.ask(Method::POST, "/v1/triggers/t").refused(
        405,
        "Method Not Allowed",
        "METHOD_NOT_ALLOWED",
        detail,
        none.clone(),
    );
    let reply = reply.await;
    let mut allowed: Vec<&str> = reply.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "PUT"]);
    let reply =
        app.delete("/v1/skills").refused(405, "Method Not Allowed", "METHOD_NOT_ALLOWED", detail, none).await;
    assert!(reply.header("allow").contains("POST"));
    assert_eq!(app.ask(Method::OPTIONS, "/v1/skills").code().await.0, 405);
    let bad = app.get("/v1/triggers/%FF");
    let detail = "the path cannot be read: it is not UTF-8 behind its escapes";
    bad.refused(400, "Bad Request", "BAD_REQUEST", detail, json!({})).await;
    let detail = "a trigger id must have 1 to 256 characters and no control characters";
    app.get("/v1/triggers/a%0Ab").refused(400, "Bad Request", "INVALID_ID", detail, json!({})).await;
}

#[tokio::test]
async fn every_answer_has_an_id_and_safe_headers() {
    let app = TestApp::new();
    for ask in [
        app.get("/v1/skills"),
        app.get("/none"),
        app.get("/healthz").without("authorization"),
        app.delete("/v1/skills"),
    ] {
        let reply = ask.send().await;
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(
            reply.header("content-security-policy"),
            "default-src 'none'; frame-ancestors 'none'; sandbox"
        );
        assert_eq!(reply.header("x-frame-options"), "DENY");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert_eq!(reply.header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(reply.header("x-request-id").len(), 36);
    }
    let taken = app.get("/healthz").header("x-request-id", "req-1.2:3_A").send().await;
    assert_eq!(taken.header("x-request-id"), "req-1.2:3_A");
    for bad in ["", "a b", "a;b", "<x>", &"x".repeat(129)] {
        assert_ne!(app.get("/healthz").header("x-request-id", bad).send().await.header("x-request-id"), bad);
    }
}

#[tokio::test]
async fn a_panic_is_a_plain_500() {
    async fn broken() -> &'static str {
        panic!("the secret reason")
    }
    let router: Router = Router::new().route("/", get(broken)).layer(from_fn(observe));
    let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(response.status(), 500);
    assert!(response.headers().contains_key("x-request-id"));
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["code"], "INTERNAL_ERROR");
    assert_eq!(problem["error"], "something failed inside the runner; its log says what");
}
