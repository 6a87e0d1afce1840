//! Status, health, metrics, the page, and which listener serves what.

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use tcpwatch::{
    api::{self, Routes},
    feed::Feed,
};

use crate::{ask, common, get, get_from};

#[tokio::test]
async fn the_status_names_probes_losses_and_memory() {
    let json = get("/api/v1/status").await.json();
    for (pointer, expected) in [
        ("/generated_at", json!("2026-01-01T00:00:10.000000Z")),
        ("/version", json!("0.1.0")),
        ("/revision", json!("abc1234")),
        ("/kernel", json!("6.12.0")),
        ("/started_at", json!("2025-12-31T23:59:10.000000Z")),
        ("/uptime_seconds", json!(60.0)),
        ("/ready", json!(true)),
        ("/attach_seconds", json!(0.025)),
        ("/listening", json!(["unix:/run/tcpwatch/tcpwatch.sock"])),
        ("/only_netns", Value::Null),
        ("/probes/0/up", json!(true)),
        ("/probes/0/missed", json!(3)),
        ("/probes/0/runs", json!(300)),
        ("/probes/0/run_time_seconds", json!(0.000_018)),
        ("/probes/2/name", json!("tcp_receive_reset")),
        ("/probes/2/hook", json!("tracepoint")),
        ("/probes/2/up", json!(false)),
        (
            "/probes/2/unavailable",
            json!("this kernel has no tracepoint tcp_receive_reset"),
        ),
        (
            "/probes/3/refused",
            json!([{"hook": "fentry", "reason": "tcp_conn_request: the kernel refused to load it"},
                   {"hook": "kprobe", "reason": "this kernel has no kprobes"}]),
        ),
        ("/probes/3/hook", json!("poll")),
        ("/probes/3/up", json!(true)),
        ("/probes/2/missed", Value::Null),
        ("/probes/2/runs", Value::Null),
        ("/probes/2/run_time_seconds", Value::Null),
        (
            "/rings/0",
            json!({"name": "events", "size_bytes": 1_048_576, "records": 40, "lost": 5,
                   "undecodable": 1}),
        ),
        (
            "/losses",
            json!({"ring_records_lost": 5, "ring_records_undecodable": 1,
                   "probe_events_missed": 3, "table_entries_refused": 2,
                   "handshakes_unended": 1, "handshakes_unknown": 6}),
        ),
        (
            "/tables/0",
            json!({"name": "handshakes", "entries": 4, "capacity": 16384, "full": 2}),
        ),
        (
            "/degraded/0",
            json!("cgroups are not shown: /sys/fs/cgroup is missing"),
        ),
        (
            "/memory",
            json!({"resident_bytes": 12_582_912, "virtual_bytes": 134_217_728}),
        ),
        (
            "/process",
            json!({"cpu_seconds": 1.25, "open_fds": 19, "max_fds": 1024}),
        ),
    ] {
        assert_eq!(json.pointer(pointer), Some(&expected), "{pointer}");
    }
}

#[tokio::test]
async fn a_metrics_listener_serves_metrics_and_health_only() {
    let feed = common::feed(common::snapshot());
    let check = async |path: &str, expected: u16| {
        let router = api::router(feed.clone(), Routes::MetricsOnly);
        let answer = ask(router, "GET", path).await;
        assert_eq!(answer.status, expected, "{path}: {}", answer.body);
        answer
    };
    for path in ["/metrics", "/healthz", "/readyz"] {
        check(path, 200).await;
    }
    for path in ["/", "/api/v1/status", "/api/v1/connects"] {
        check(path, 404).await;
    }
    let answer = check("/api/v1/connections", 404).await;
    assert_eq!(
        answer.json()["error"]["message"],
        "/api/v1/connections is not served here: this listener has /metrics, /healthz and /readyz \
         only"
    );
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let answer = get("/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.headers[header::CONTENT_TYPE],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let golden = include_str!("../golden/metrics.txt");
    assert_eq!(answer.body, golden);
}

#[tokio::test]
async fn readiness_waits_for_the_attach_plan() {
    let answer = get("/readyz").await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "ready\n"));

    let mut snapshot = common::snapshot();
    snapshot.agent.attach_ns = 0;
    let answer = get_from(snapshot.clone(), "/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        answer.json()["error"]["message"],
        "the probes are being attached"
    );
    let status = get_from(snapshot.clone(), "/api/v1/status").await.json();
    assert_eq!(status["ready"], false);
    assert_eq!(status["attach_seconds"], Value::Null);
    // It lives all the same.
    let answer = get_from(snapshot, "/healthz").await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "ok\n"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_a_503_in_the_end() {
    // Kept, so that the feed is open and nobody answers.
    let (feed, _asks) = Feed::new(8);
    for (path, code) in [
        ("/readyz", "not_ready"),
        ("/healthz", "timeout"),
        ("/api/v1/connections", "timeout"),
    ] {
        let answer = ask(api::router(feed.clone(), Routes::All), "GET", path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.json()["error"]["code"], code, "{path}");
    }
}

#[tokio::test]
async fn a_daemon_that_stops_says_so() {
    let (feed, asks) = Feed::new(8);
    drop(asks);
    for path in ["/metrics", "/healthz", "/readyz", "/api/v1/status"] {
        let answer = ask(api::router(feed.clone(), Routes::All), "GET", path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(
            answer.json(),
            json!({"error": {"code": "stopping", "message": "the daemon is stopping"}}),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_page_lists_every_route() {
    let answer = get("/").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.headers[header::CONTENT_TYPE],
        "text/html; charset=utf-8"
    );
    for route in api::ROUTES {
        let link = format!("<a href=\"{}\">", route.path);
        assert!(answer.body.contains(&link), "{}", route.path);
        // It writes its texts as they are, so none may hold markup.
        for text in [route.path, route.summary].into_iter().chain(
            route
                .parameters
                .iter()
                .flat_map(|one| [one.name, one.meaning]),
        ) {
            assert!(!text.contains(['<', '>', '&', '"']), "{text}");
        }
    }
}

#[tokio::test]
async fn head_is_answered_like_get_without_a_body() {
    let feed = common::feed(common::snapshot());
    let answer = ask(api::router(feed, Routes::All), "HEAD", "/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body, "");
}
