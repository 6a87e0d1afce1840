//! The HTTP API as a contract: shapes, filters, order, limits and errors.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tcpwatch::{
    api::{self, Routes},
    feed::Feed,
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

/// Which of the fixture's connections an answer holds, by remote address, in order.
async fn check_connections(query: &str, expected: &[&str]) {
    check_list("connections", query, expected).await;
}

async fn check_connects(query: &str, expected: &[&str]) {
    check_list("connects", query, expected).await;
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

async fn check_error(uri: &str, status: u16, code: &str, message: &str) {
    let answer = get(uri).await;
    assert_eq!(answer.status, status, "{uri}: {}", answer.body);
    let expected = json!({"error": {"code": code, "message": message}});
    assert_eq!(answer.json(), expected, "{uri}");
}

#[tokio::test]
async fn a_connection_is_what_the_contract_shows() {
    let answer = get("/api/v1/connections?remote=10.0.0.9").await;
    let expected: Value = serde_json::from_str(include_str!("fixtures/connections.json")).unwrap();
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn what_is_unknown_is_null_and_mapped_ipv4_is_ipv4() {
    let json = get("/api/v1/connections?netns=blue").await.json();
    let expected = json!({
        "state": "SYN_SENT", "family": "ipv6",
        "local": {"address": "10.0.0.5", "port": null},
        "remote": {"address": "10.1.2.3", "port": 80},
        "netns": 4_026_532_000_u32, "netns_name": "blue",
        "inode": null, "cookie": null, "uid": 1000, "process": null,
        "since": "2026-01-01T00:00:09.750000Z",
        "age_seconds": 0.25, "age_at_least_seconds": 0.25,
        "gives_up_in_seconds": null, "gives_up_because": null,
        "syn": {"retransmits": 0, "retransmits_limit": null, "next_retransmit_in_seconds": null,
                "stalled": false, "dropped_locally": null},
        "tcp": null, "timer": null
    });
    assert_eq!(json["connections"][0], expected);

    let json = get("/api/v1/connections?pid=77").await.json();
    let old = &json["connections"][0];
    assert_eq!(old["since"], Value::Null);
    assert_eq!(old["age_seconds"], Value::Null);
    assert_eq!(old["age_at_least_seconds"], 65.0);
    assert_eq!(old["netns_name"], Value::Null);
    assert_eq!(
        old["timer"],
        json!({"kind": "off", "expires_in_seconds": null, "retransmits": 0})
    );
}

const CURL: &str = "10.0.0.9";
const MAPPED: &str = "10.1.2.3";
const OLD: &str = "2001:db8::9";
const SIMULTANEOUS: &str = "10.0.0.6";

#[tokio::test]
async fn connections_are_filtered() {
    let check = check_connections;
    check("", &[OLD, CURL, MAPPED, SIMULTANEOUS]).await;
    check("state=SYN_SENT", &[OLD, CURL, MAPPED]).await;
    check("state=syn_sent&state=Syn_Sent", &[OLD, CURL, MAPPED]).await;
    check("family=ipv4", &[CURL, SIMULTANEOUS]).await;
    check("family=IPv6", &[OLD, MAPPED]).await;
    check("remote=10.0.0.0/8", &[CURL, MAPPED, SIMULTANEOUS]).await;
    check("remote=10.1.2.3", &[MAPPED]).await;
    check("remote=::ffff:10.1.2.3", &[MAPPED]).await;
    check("remote=::ffff:10.1.0.0/112", &[MAPPED]).await;
    check("remote=2001:db8::/32", &[OLD]).await;
    check("remote=::/0", &[OLD]).await;
    check("remote=0.0.0.0/0", &[CURL, MAPPED, SIMULTANEOUS]).await;
    check("remote=192.0.2.0/24", &[]).await;
    check("local=10.0.0.5", &[CURL, MAPPED, SIMULTANEOUS]).await;
    check("local=2001:db8::5", &[OLD]).await;
    check("local_port=43210", &[CURL]).await;
    check("remote_port=443", &[OLD, CURL]).await;
    check("port=50000", &[OLD]).await;
    check("port=80", &[MAPPED]).await;
    check("local_port=443", &[]).await;
    check("netns=host", &[CURL, SIMULTANEOUS]).await;
    check("netns=4026532111", &[OLD]).await;
    check("netns=1", &[]).await;
    check("pid=1234", &[CURL]).await;
    check("pid=1", &[]).await;
    check("comm=curl", &[CURL]).await;
    check("comm=cur", &[]).await;
    // The kernel keeps 15 bytes of a name.
    check("comm=a-very-long-name-indeed", &[OLD]).await;
    check("older_than=1s", &[OLD, CURL]).await;
    check("older_than=3200ms", &[OLD]).await;
    check("older_than=3199ms", &[OLD, CURL]).await;
    check("older_than=1m", &[OLD]).await;
    check("older_than=1h30m", &[]).await;
    check("older_than=1d", &[]).await;
    check("stalled=true", &[OLD, CURL]).await;
    check("stalled=false", &[MAPPED, SIMULTANEOUS]).await;
    check("stalled=true&remote=10.0.0.0/8&comm=curl", &[CURL]).await;
}

#[tokio::test]
async fn connections_are_sorted() {
    let check = check_connections;
    check("sort=age", &[OLD, CURL, MAPPED, SIMULTANEOUS]).await;
    check("sort=-age", &[SIMULTANEOUS, MAPPED, CURL, OLD]).await;
    check("sort=retransmits", &[OLD, CURL, MAPPED, SIMULTANEOUS]).await;
    // Only one of them has a tcp_info, and none an RTT: what is unknown comes last, by age.
    check("sort=rtt", &[OLD, CURL, MAPPED, SIMULTANEOUS]).await;
    for sort in ["send_queue", "recv_queue", "rwnd_limited"] {
        let query = format!("sort={sort}");
        check(&query, &[CURL, OLD, MAPPED, SIMULTANEOUS]).await;
    }
}

#[tokio::test]
async fn a_limit_cuts_and_says_so() {
    let check = async |query: &str, returned: usize, truncated: bool| {
        let json = get(&format!("/api/v1/connections?{query}")).await.json();
        assert_eq!(json["total"], 4, "{query}");
        assert_eq!(json["returned"], returned, "{query}");
        assert_eq!(json["truncated"], truncated, "{query}");
        assert_eq!(json["connections"].as_array().unwrap().len(), returned);
    };
    check("", 4, false).await;
    check("limit=4", 4, false).await;
    check("limit=3", 3, true).await;
    check("limit=0", 0, true).await;
    check("limit=100000", 4, false).await;
}

#[tokio::test]
async fn an_ended_attempt_is_what_the_contract_shows() {
    let json = get("/api/v1/connects?outcome=timed_out").await.json();
    let expected = json!({
        "generated_at": "2026-01-01T00:00:10.000000Z",
        "total": 1, "returned": 1, "truncated": false,
        "history_begins_at": "2025-12-31T23:59:10.000000Z",
        "complete": true, "sample_rate": 0.0,
        "connects": [{
            "family": "ipv4",
            "local": {"address": "10.0.0.5", "port": 40000},
            "remote": {"address": "10.0.0.9", "port": 443},
            "netns": 4_026_531_840_u32, "netns_name": "host", "inode": 900, "uid": 0,
            "process": {"pid": 1234, "comm": "curl", "cgroup": null},
            "outcome": "timed_out", "error": "ETIMEDOUT", "by": "timer", "icmp": null,
            "started": "2025-12-31T23:59:12.900000Z",
            "ended": "2025-12-31T23:59:20.000000Z",
            "duration_seconds": 7.1, "syn_retransmits": 5
        }]
    });
    assert_eq!(json, expected);

    let json = get("/api/v1/connects?outcome=cancelled").await.json();
    let cancelled = &json["connects"][0];
    for unknown in ["error", "started", "duration_seconds", "process"] {
        assert_eq!(cancelled[unknown], Value::Null, "{unknown}");
    }
    assert_eq!(cancelled["by"], "application");
}

#[tokio::test]
async fn ended_attempts_are_filtered_and_newest_first() {
    const UNREACHABLE: &str = "192.0.2.1";
    let check = check_connects;
    check("", &[CURL, UNREACHABLE, CURL, CURL, CURL]).await;
    check(
        "outcome=refused_rst&outcome=HOST_UNREACHABLE",
        &[UNREACHABLE, CURL],
    )
    .await;
    check("outcome=no_local_port", &[]).await;
    check("since=10s", &[CURL, UNREACHABLE, CURL]).await;
    check("since=2026-01-01T00:00:05Z", &[CURL, UNREACHABLE]).await;
    check("until=10s", &[CURL, CURL]).await;
    check("since=20s&until=5s", &[CURL, CURL]).await;
    check("remote=192.0.2.0/24", &[UNREACHABLE]).await;
    check("remote_port=81", &[CURL]).await;
    check("pid=77", &[UNREACHABLE]).await;
    check("comm=curl&since=5s", &[CURL]).await;
    check("limit=2", &[CURL, UNREACHABLE]).await;
}

#[tokio::test]
async fn history_says_whether_it_holds_everything() {
    let check = async |complete: bool, query: &str, expected: bool| {
        let mut snapshot = common::snapshot();
        snapshot.history_complete = complete;
        let answer = get_from(snapshot, &format!("/api/v1/connects?{query}")).await;
        assert_eq!(answer.json()["complete"], expected, "{query}");
    };
    check(true, "", true).await;
    check(true, "since=59s", true).await;
    check(true, "since=1m", true).await;
    check(true, "since=61s", false).await;
    check(true, "since=9000d", false).await;
    check(false, "since=1s", false).await;
}

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
async fn each_invalid_parameter_is_named_with_what_it_takes() {
    let check = async |query: &str, message: &str| {
        check_error(
            &format!("/api/v1/connections?{query}"),
            400,
            "invalid_parameter",
            message,
        )
        .await;
    };
    check(
        "state=FOO",
        "state: unknown state FOO; one of ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2, \
         TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING, NEW_SYN_RECV",
    )
    .await;
    check(
        "family=ipx",
        "family: unknown family ipx; one of ipv4, ipv6",
    )
    .await;
    for name in ["local", "remote"] {
        for value in ["10.0.0.300", "10.0.0.0/33", "example.org", ""] {
            check(
                &format!("{name}={value}"),
                &format!(
                    "{name}: {value} is neither an address nor a CIDR block; such as 10.0.0.9 or \
                     10.0.0.0/8"
                ),
            )
            .await;
        }
    }
    for name in ["local_port", "remote_port", "port"] {
        for value in ["0", "65536", "-1", "https", ""] {
            check(
                &format!("{name}={value}"),
                &format!("{name}: {value} is not a port; 1 to 65535"),
            )
            .await;
        }
    }
    check(
        "netns=green",
        "netns: unknown network namespace green; an inode number or one of host, blue",
    )
    .await;
    for value in ["0", "-1", "curl"] {
        check(
            &format!("pid={value}"),
            &format!("pid: {value} is not a process id; a number from 1"),
        )
        .await;
    }
    check("comm=", "comm: the value is empty").await;
    for value in ["1", "-1s", "soon", "1x", "", "1month"] {
        check(
            &format!("older_than={value}"),
            &format!("older_than: {value} is not a duration; such as 500ms, 10s, 5m or 1h30m"),
        )
        .await;
    }
    check(
        "stalled=yes",
        "stalled: unknown value yes; one of true, false",
    )
    .await;
    check(
        "sort=size",
        "sort: unknown order size; one of age, -age, retransmits, rtt, send_queue, recv_queue, \
         rwnd_limited",
    )
    .await;
    for value in ["100001", "-1", "all", ""] {
        check(
            &format!("limit={value}"),
            &format!("limit: {value} is not a number from 0 to 100000"),
        )
        .await;
    }
    check("pid=1&pid=2", "pid: given more than once").await;
    check(
        "colour=red",
        "colour: unknown parameter; one of state, family, local, remote, local_port, remote_port, \
         port, netns, pid, comm, older_than, stalled, sort, limit",
    )
    .await;
}

#[tokio::test]
async fn each_invalid_parameter_of_the_other_routes_is_named_too() {
    let check = async |uri: &str, message: &str| {
        check_error(uri, 400, "invalid_parameter", message).await;
    };
    check(
        "/api/v1/connects?outcome=lost",
        "outcome: unknown outcome lost; one of established, refused_rst, refused_icmp, timed_out, \
         host_unreachable, net_unreachable, cancelled, no_local_port, other",
    )
    .await;
    for name in ["since", "until"] {
        check(
            &format!("/api/v1/connects?{name}=yesterday"),
            &format!(
                "{name}: yesterday is neither a duration nor a time; such as 10m or \
                 2026-01-01T00:00:00Z"
            ),
        )
        .await;
    }
    check(
        "/api/v1/connects?sort=age",
        "sort: unknown parameter; one of outcome, since, until, remote, remote_port, pid, comm, \
         limit",
    )
    .await;
    check(
        "/api/v1/status?verbose=1",
        "verbose: unknown parameter; this route takes none",
    )
    .await;
}

#[tokio::test]
async fn a_state_that_cannot_be_listed_yet_is_not_an_empty_list() {
    for state in ["established", "SYN_RECV", "listen", "time_wait"] {
        check_error(
            &format!("/api/v1/connections?state=syn_sent&state={state}"),
            501,
            "not_implemented",
            &format!(
                "state: this version cannot list connections in {}; it lists SYN_SENT",
                state.to_uppercase()
            ),
        )
        .await;
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_have_the_same_shape_of_error() {
    check_error(
        "/api/v1/nothing",
        404,
        "not_found",
        "/api/v1/nothing: no such route; GET / lists them",
    )
    .await;
    let feed = common::feed(common::snapshot());
    let answer = ask(
        api::router(feed, Routes::All),
        "POST",
        "/api/v1/connections?state=syn_sent",
    )
    .await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers[header::ALLOW], "GET,HEAD");
    assert_eq!(
        answer.json(),
        json!({"error": {"code": "method_not_allowed",
                         "message": "POST /api/v1/connections: only GET and HEAD"}})
    );
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
    let golden = include_str!("golden/metrics.txt");
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
