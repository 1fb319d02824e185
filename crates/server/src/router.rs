//! All routes, with the layers around them.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post, put},
};

use crate::{
    app::App,
    guard::guard,
    observe::observe,
    problem::{Code, Problem},
    routes::{calls, definitions, files, health, metrics, progress, skills, triggers},
};

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .route("/v1/triggers", get(triggers::list))
        .route("/v1/triggers/{id}", put(triggers::declare).get(triggers::show).delete(triggers::end))
        .route("/v1/triggers/{id}/events", get(progress::follow))
        .route("/v1/triggers/{id}/tool-calls", post(calls::carry_out))
        .route("/v1/triggers/{id}/tool-calls/{tool_call_id}/cancel", post(calls::cancel))
        .route("/v1/skills", get(skills::list).post(skills::install))
        .route("/v1/skills/validate", post(skills::validate))
        .route("/v1/skills/{slug}", get(skills::show).delete(skills::remove))
        .route("/v1/tools", get(definitions::tools))
        .route("/v1/prompt", get(definitions::prompt))
        .route("/v1/files/{id}", get(files::link))
        .route("/v1/files/{id}/content", get(files::content))
        .fallback(async || {
            Problem::new(Code::NotFound, "there is nothing at this path; docs/api.md lists all routes")
        })
        .method_not_allowed_fallback(async || {
            Problem::new(
                Code::MethodNotAllowed,
                "this path does not take this method; the Allow header lists those it takes",
            )
        })
        // Every body is read by `body`, within bounds of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(app.clone(), guard))
        .layer(from_fn(observe))
        .with_state(app)
}
