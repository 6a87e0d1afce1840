//! `/api/v1/connects`: the shape, the filters and what the history lacks.

use serde_json::{Value, json};

use crate::{check_list, common, get, get_from};

const CURL: &str = "10.0.0.9";

async fn check_connects(query: &str, expected: &[&str]) {
    check_list("connects", query, expected).await;
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
