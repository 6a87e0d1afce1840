//! The HTTP API as a contract: shapes, filters, order, limits and errors.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod connections;
mod connects;
mod errors;
mod service;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tcpwatch::{
    api::{self, Routes},
    model::Snapshot,
};
use tower::ServiceExt as _;

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/json");
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn ask(router: Router, method: &str, uri: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .body(Body::empty())
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

async fn get(uri: &str) -> Answer {
    get_from(common::snapshot(), uri).await
}

async fn get_from(snapshot: Snapshot, uri: &str) -> Answer {
    ask(api::router(common::feed(snapshot), Routes::All), "GET", uri).await
}

async fn check_list(plural: &str, query: &str, expected: &[&str]) {
    let answer = get(&format!("/api/v1/{plural}?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.body);
    let json = answer.json();
    let got: Vec<_> = json[plural]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["remote"]["address"].as_str().unwrap())
        .collect();
    assert_eq!(got, expected, "{query}");
    assert_eq!(json["returned"], expected.len(), "{query}");
}
