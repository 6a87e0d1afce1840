//! The one shape of errors, for each parameter, route and method.

use axum::http::{StatusCode, header};
use serde_json::json;
use tcpwatch::api::{self, Routes};

use crate::{ask, common, get};

async fn check_error(uri: &str, status: u16, code: &str, message: &str) {
    let answer = get(uri).await;
    assert_eq!(answer.status, status, "{uri}: {}", answer.body);
    let expected = json!({"error": {"code": code, "message": message}});
    assert_eq!(answer.json(), expected, "{uri}");
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
