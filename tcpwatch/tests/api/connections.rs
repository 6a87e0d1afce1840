//! `/api/v1/connections`: the shape, the filters, the order and the limit.

use serde_json::{Value, json};

use crate::{check_list, get};

/// Which of the fixture's connections an answer holds, by remote address, in order.
async fn check_connections(query: &str, expected: &[&str]) {
    check_list("connections", query, expected).await;
}

const CURL: &str = "10.0.0.9";
const MAPPED: &str = "10.1.2.3";
const OLD: &str = "2001:db8::9";
const SIMULTANEOUS: &str = "10.0.0.6";

#[tokio::test]
async fn a_connection_is_what_the_contract_shows() {
    let answer = get("/api/v1/connections?remote=10.0.0.9").await;
    let expected: Value =
        serde_json::from_str(include_str!("../fixtures/connections.json")).unwrap();
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
