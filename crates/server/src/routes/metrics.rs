//! What has been counted, for Prometheus.

use std::sync::atomic::Ordering;

use axum::{extract::State, http::header, response::IntoResponse as _};

use crate::{
    app::App,
    metrics,
    problem::{Answer, Code, Problem},
};

/// `GET /metrics`
pub(crate) async fn show(State(app): State<App>) -> Answer {
    let text = metrics::text(&app.runner, app.config.lost_log_lines.load(Ordering::Relaxed))
        .map_err(|_| Problem::new(Code::InternalError, "the metrics could not be written"))?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
