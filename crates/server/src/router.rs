//! All routes, each with what it asks of whoever comes, and the layers around them.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::Handler as _,
    middleware::{from_fn, from_fn_with_state},
    routing::{MethodRouter, get, post, put},
};

use crate::{
    app::App,
    guard::{
        Access::{self, Open, Signed, Token},
        Places::{Calls, Requests, Streams},
        guard,
    },
    observe::observe,
    problem::{Code, Problem},
    routes::{calls, definitions, files, health, metrics, progress, skills, triggers},
};

pub(crate) fn router(app: App) -> Router {
    let routes: [(&str, Access, MethodRouter<App>); 16] = [
        ("/healthz", Open, get(health::alive)),
        ("/readyz", Open, get(health::ready)),
        ("/metrics", Token(Requests), get(metrics::show)),
        ("/v1/triggers", Token(Requests), get(triggers::list)),
        (
            "/v1/triggers/{id}",
            Token(Requests),
            put(triggers::declare).get(triggers::show).delete(triggers::end),
        ),
        ("/v1/triggers/{id}/events", Token(Streams), get(progress::follow)),
        ("/v1/triggers/{id}/tool-calls", Token(Calls), post(calls::carry_out)),
        ("/v1/triggers/{id}/tool-calls/{tool_call_id}/cancel", Token(Requests), post(calls::cancel)),
        ("/v1/skills", Token(Requests), get(skills::list).post(skills::install)),
        ("/v1/skills/validate", Token(Requests), post(skills::validate)),
        ("/v1/skills/{slug}", Token(Requests), get(skills::show).delete(skills::remove)),
        ("/v1/tools", Token(Requests), get(definitions::tools)),
        ("/v1/prompt", Token(Requests), get(definitions::prompt)),
        ("/v1/files/{id}", Token(Requests), get(files::link)),
        ("/v1/files/{id}/content", Signed, get(files::content)),
        ("/v1", Token(Requests), get(definitions::about)),
    ];
    let mut router = Router::new();
    for (path, access, methods) in routes {
        let guarded = from_fn_with_state((app.clone(), access), guard);
        // The other methods of the path as well: who has no token learns nothing of them.
        router = router.route(path, methods.fallback(other_method).layer(guarded));
    }
    let guarded = from_fn_with_state((app.clone(), Token(Requests)), guard);
    router
        .fallback(no_such_path.layer(guarded))
        // Every body is read by `body`, within bounds of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(observe))
        .with_state(app)
}

async fn no_such_path() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this path; docs/api.md lists all routes")
}

async fn other_method() -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        "this path does not take this method; the Allow header lists those it takes",
    )
}
