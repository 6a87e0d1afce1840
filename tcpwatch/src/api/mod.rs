//! The HTTP API: routes, query parameters, JSON shapes and the one shape of errors.
//!
//! Views only: every answer is made from one [`Snapshot`] asked for through the [`Feed`]. Only
//! this module knows serde's shape. A new route is a file with a [`Route`] and a row in [`ROUTES`].
#![forbid(unsafe_code)]

mod connection;
mod connections;
mod connects;
mod error;
mod filter;
mod health;
mod index;
mod list;
mod metrics;
mod query;
mod status;
mod view;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::{Method, Uri},
    routing::MethodRouter,
};

pub use self::query::Parameter;
use self::{error::Error, query::Parameters};
use crate::{
    feed::{Detail, Feed},
    model::Snapshot,
};

/// Which routes a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routes {
    /// All of them.
    All,
    /// `/metrics`, `/healthz` and `/readyz`: what a listener on a public address gets unless the
    /// operator says otherwise.
    MetricsOnly,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// Its path.
    pub path: &'static str,
    /// What it answers, in one sentence.
    pub summary: &'static str,
    /// Every query parameter it takes.
    pub parameters: &'static [Parameter],
    /// Whether [`Routes::MetricsOnly`] has it.
    pub on_metrics_only: bool,
    /// Its handlers.
    handler: fn() -> MethodRouter<Feed>,
}

/// Every route.
pub const ROUTES: &[&Route] = &[
    &index::ROUTE,
    &metrics::ROUTE,
    &health::HEALTHZ,
    &health::READYZ,
    &connections::ROUTE,
    &connects::ROUTE,
    &status::ROUTE,
];

/// How long a request waits for its snapshot before it is answered with a 503; less than a client
/// waits, so that it hears why.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(8);

/// The routes of one listener.
pub fn router(feed: Feed, routes: Routes) -> Router {
    ROUTES
        .iter()
        .filter(|route| routes == Routes::All || route.on_metrics_only)
        .fold(Router::new(), |router, route| {
            router.route(route.path, (route.handler)())
        })
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(move |uri| not_found(uri, routes))
        .with_state(feed)
}

async fn not_found(uri: Uri, routes: Routes) -> Error {
    let path = uri.path();
    if routes == Routes::MetricsOnly && ROUTES.iter().any(|route| route.path == path) {
        return Error::not_found(format!(
            "{path} is not served here: this listener has /metrics, /healthz and /readyz only"
        ));
    }
    Error::not_found(format!("{path}: no such route; GET / lists them"))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Error {
    Error::method_not_allowed(format!("{method} {}: only GET and HEAD", uri.path()))
}

/// A snapshot of this moment, or the error that says why there is none.
async fn snapshot(feed: &Feed, detail: Detail) -> Result<Arc<Snapshot>, Error> {
    match tokio::time::timeout(SNAPSHOT_TIMEOUT, feed.snapshot(detail)).await {
        Ok(Ok(snapshot)) => Ok(snapshot),
        Ok(Err(stopping)) => Err(Error::unavailable("stopping", stopping.to_string())),
        Err(_) => Err(Error::unavailable(
            "timeout",
            format!("the daemon gave no snapshot within {SNAPSHOT_TIMEOUT:?}"),
        )),
    }
}
