//! Who may ask, and how much at a time. Stands before every route, so that no route can forget it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use hyper::body::{Frame, SizeHint};
use runner::Tenant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    app::{App, Transport},
    problem::{Code, Problem},
};

/// What a path asks of whoever comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Health: no token, and any `Host`, because an orchestrator asks by the address of a pod. Says nothing secret.
    Open,
    /// The signature in the link is the permission.
    Signed,
    /// A token.
    Token,
}

/// Checks a request, and holds its place among those that are carried out until its answer was sent.
pub(crate) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match admit(&app, &request) {
        Ok((place, tenant)) => {
            request.extensions_mut().insert(tenant);
            let response = next.run(request).await;
            response.map(|body| Body::new(Held { body, _place: place }))
        }
        Err(problem) => problem.into_response(),
    }
}

/// The place of a request, and whose it is.
fn admit(app: &App, request: &Request) -> Result<(Option<OwnedSemaphorePermit>, Tenant), Problem> {
    let path = request.uri().path();
    // In-process callers say nothing of where they come from: they are treated like strangers.
    let transport = request.extensions().get().copied().unwrap_or(Transport::Tcp(None));
    let access = access(path);
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
    let tenant = if access == Access::Token && transport != Transport::Unix {
        check_token(app, request.headers())?
    } else {
        Tenant::default()
    };
    if access == Access::Open {
        return Ok((None, tenant));
    }
    // Each kind has its own places: when all calls are taken, they can still be watched and stopped.
    let (places, what) = match path {
        path if path.ends_with("/tool-calls") => (&app.calls, "requests for tool calls"),
        path if path.ends_with("/events") => (&app.streams, "progress streams"),
        _ => (&app.requests, "requests"),
    };
    let place = Arc::<Semaphore>::clone(places).try_acquire_owned();
    place.map(|place| (Some(place), tenant)).map_err(|_| {
        Problem::new(Code::Busy, format!("too many {what} at once")).retry_after(app.config.retry_after)
    })
}

fn access(path: &str) -> Access {
    match path {
        "/healthz" | "/readyz" => Access::Open,
        path if path.starts_with("/v1/files/") && path.ends_with("/content") => Access::Signed,
        _ => Access::Token,
    }
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

fn check_token(app: &App, headers: &HeaderMap) -> Result<Tenant, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let detail = match (values.next(), values.next()) {
        (None, _) => "a token is needed: `Authorization: Bearer <token>`",
        (Some(value), None) => match bearer(value.as_bytes()) {
            Some(token) => match app.tokens.as_ref().and_then(|tokens| tokens.tenant(token)) {
                Some(tenant) => return Ok(tenant),
                None => "the token is not valid",
            },
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

/// A body that keeps its request's place until it was sent, or its reader is gone.
struct Held {
    body: Body,
    _place: Option<OwnedSemaphorePermit>,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
