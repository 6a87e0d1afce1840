//! `GET /healthz` and `GET /readyz`, in plain text where all is well.

use std::time::Duration;

use axum::{extract::State, routing::get};

use super::{Route, error::Error};
use crate::feed::{Detail, Feed};

/// Liveness.
pub const HEALTHZ: Route = Route {
    path: "/healthz",
    summary: "200 while the daemon can answer.",
    parameters: &[],
    on_metrics_only: true,
    handler: || get(healthz),
};

/// Readiness.
pub const READYZ: Route = Route {
    path: "/readyz",
    summary: "200 once the attach plan has finished, fallbacks included.",
    parameters: &[],
    on_metrics_only: true,
    handler: || get(readyz),
};

/// A readiness check that waits is of no use to who asks every second.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// The store task answers, or else the daemon is of no use and may as well start anew.
async fn healthz(State(feed): State<Feed>) -> Result<&'static str, Error> {
    super::snapshot(&feed, Detail::Counts).await?;
    Ok("ok\n")
}

async fn readyz(State(feed): State<Feed>) -> Result<&'static str, Error> {
    let answer = tokio::time::timeout(READY_TIMEOUT, super::snapshot(&feed, Detail::Counts)).await;
    let snapshot = match answer {
        Ok(answer) => answer?,
        Err(_) => {
            return Err(Error::unavailable(
                "not_ready",
                format!("the daemon gave no snapshot within {READY_TIMEOUT:?}"),
            ));
        }
    };
    if snapshot.agent.attached() {
        Ok("ready\n")
    } else {
        Err(Error::unavailable(
            "not_ready",
            "the probes are being attached".to_owned(),
        ))
    }
}
