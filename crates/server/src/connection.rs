//! One connection: HTTP/1.1 within bounds of head size and time, until it ends, is asked to, or is cut.

use std::{
    convert::Infallible,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{Config, app::Transport, held::holding, seats::Seat};

/// Most headers of a request.
const MOST_HEADERS: usize = 64;
/// Most bytes of a request's head.
const HEAD_BYTES: usize = 32 * 1024;
/// Most bytes that are read or held for writing at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// When a connection is to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    /// After the request that is being answered.
    pub(crate) close: CancellationToken,
    /// Now.
    pub(crate) cut: CancellationToken,
}

/// Serves a connection to its end. Dropping the future cuts it. Whether it was cut is the answer.
pub(crate) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    transport: Transport,
    router: Router,
    config: &Config,
    ending: Ending,
    seat: Arc<Seat>,
) -> bool {
    let of_requests = Arc::clone(&seat);
    let service = service_fn(move |request: Request<Incoming>| {
        let busy = of_requests.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(transport);
        request.extensions_mut().insert(of_requests.service());
        let router = router.clone();
        async move {
            let response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
            Ok::<_, Infallible>(response.map(|body| holding(body, busy)))
        }
    });
    let io = TokioIo::new(Impatient {
        stream,
        seat: Arc::clone(&seat),
        head_timeout: config.head_timeout,
        // A new connection is there for a request.
        head: Some(Box::pin(sleep(config.head_timeout))),
        begun: 0,
        patience: config.write_timeout,
        waiting: None,
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(config.idle_timeout)
            .max_headers(MOST_HEADERS)
            .max_header_size(HEAD_BYTES)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(io, service)
    );
    let mut closing = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    // A client's doing: gone in mid-request, silent for too long, or no HTTP.
                    tracing::debug!(%error, "a connection ended early");
                }
                return false;
            }
            () = ending.cut.cancelled() => return true,
            () = seat.evicted() => {
                tracing::debug!("a connection that waited for a request made room for another");
                return false;
            }
            () = ending.close.cancelled(), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// A stream that ends with an error when its other end leaves what was sent unread for too long, or begins a request and
/// does not finish its head.
struct Impatient<S> {
    stream: S,
    seat: Arc<Seat>,
    head_timeout: Duration,
    /// Runs from the first byte of a head, or from the beginning of the connection, to the end of that head.
    head: Option<Pin<Box<Sleep>>>,
    /// Requests whose heads have come.
    begun: u64,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S: Unpin> Impatient<S> {
    fn judge<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.waiting = None;
            return result;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other end does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, into);
        let begun = self.seat.begun();
        if begun != self.begun {
            (self.begun, self.head) = (begun, None);
        }
        if !self.seat.waits() {
            return result;
        }
        if matches!(result, Poll::Ready(Ok(()))) && into.filled().len() > before && self.head.is_none() {
            self.head = Some(Box::pin(sleep(self.head_timeout)));
        }
        if result.is_ready() {
            return result;
        }
        let Some(head) = &mut self.head else { return Poll::Pending };
        ready!(head.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head of a request does not come")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, result)
    }
}
