//! `GET /metrics`: the text that [`crate::metrics`] renders.

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{Route, error::Error};
use crate::{
    feed::{Detail, Feed},
    metrics,
};

/// The route. It takes no parameters, and ignores those that a scraper's configuration adds.
pub const ROUTE: Route = Route {
    path: "/metrics",
    summary: "Prometheus text, format version 0.0.4.",
    parameters: &[],
    on_metrics_only: true,
    handler: || get(render),
};

async fn render(State(feed): State<Feed>) -> Result<Response, Error> {
    let snapshot = super::snapshot(&feed, Detail::Counts).await?;
    let text = metrics::render(&snapshot).map_err(|error| Error::internal(error.to_string()))?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
