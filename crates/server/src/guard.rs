//! Who may ask, and how much at a time. A layer on every route, which says there what it asks of whoever comes; a route
//! cannot be made without ([`crate::router`]).

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    app::{App, Transport},
    held::holding,
    problem::{Code, Problem},
    seats::Service,
};

/// What a route asks of whoever comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Health: no token, and any `Host`, because an orchestrator asks by the address of a pod. Says nothing secret.
    Open,
    /// The signature in the link is the permission.
    Signed,
    /// A token. Each kind has its own places: when all calls are taken, they can still be watched and stopped.
    Token(Places),
}

/// Among which requests one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Places {
    /// Those that carry out tool calls.
    Calls,
    /// Those that follow a trigger.
    Streams,
    /// All others.
    Requests,
}

/// Checks a request, and holds its place among those that are carried out until its answer was sent.
pub(crate) async fn guard(
    State((app, access)): State<(App, Access)>,
    request: Request,
    next: Next,
) -> Response {
    match admit(&app, access, &request) {
        Ok(place) => next.run(request).await.map(|body| holding(body, place)),
        Err(problem) => problem.into_response(),
    }
}

fn admit(app: &App, access: Access, request: &Request) -> Result<Option<OwnedSemaphorePermit>, Problem> {
    // In-process callers say nothing of where they come from: they are treated like strangers.
    let transport = request.extensions().get().copied().unwrap_or(Transport::Tcp(None));
    if let Transport::Tcp(local) = transport
        && access != Access::Open
    {
        let allowed = |host: &str| app.hosts.allow(host, local);
        check_host(request, allowed)?;
    }
    for origin in request.headers().get_all(header::ORIGIN) {
        if !origin.to_str().is_ok_and(|origin| app.origins.allow(origin)) {
            let detail = "requests from this web page's origin are not allowed; the operator can list it";
            return Err(Problem::new(Code::OriginNotAllowed, detail));
        }
    }
    if matches!(access, Access::Token(_)) && transport != Transport::Unix {
        check_token(app, request.headers())?;
    }
    let busy = |what: &str| {
        Problem::new(Code::Busy, format!("too many {what} at once")).retry_after(app.config.retry_after)
    };
    let (places, what) = match access {
        Access::Open => return Ok(None),
        Access::Token(Places::Calls) => (&app.calls, "requests for tool calls"),
        Access::Token(Places::Streams) => (&app.streams, "progress streams"),
        Access::Token(Places::Requests) | Access::Signed => (&app.requests, "requests"),
    };
    if request.extensions().get() == Some(&Service::HealthOnly) {
        return Err(busy("connections"));
    }
    let place = Arc::<Semaphore>::clone(places).try_acquire_owned();
    place.map(Some).map_err(|_| busy(what))
}

fn check_host(request: &Request, allowed: impl Fn(&str) -> bool) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Problem::new(Code::BadRequest, "the request must have exactly one Host header"));
    };
    // A request line with a whole URL names a host as well, and goes before the header.
    let named = request.uri().authority().is_none_or(|authority| allowed(authority.as_str()));
    if named && host.to_str().is_ok_and(allowed) {
        return Ok(());
    }
    let detail =
        "this server is not known by the name in the Host header; the operator can list further names";
    Err(Problem::new(Code::HostNotAllowed, detail))
}

fn check_token(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let detail = match (values.next(), values.next()) {
        (None, _) => "a token is needed: `Authorization: Bearer <token>`",
        (Some(value), None) => match bearer(value.as_bytes()) {
            Some(token) if app.tokens.as_ref().is_some_and(|tokens| tokens.accept(token)) => return Ok(()),
            Some(_) => "the token is not valid",
            None => "the Authorization header must be `Bearer <token>`",
        },
        (Some(_), Some(_)) => "the request has more than one Authorization header",
    };
    Err(Problem::new(Code::Unauthorized, detail))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii_start())
}
