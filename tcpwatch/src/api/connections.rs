//! `GET /api/v1/connections`: live connections, filtered, sorted and cut.

use std::{cmp::Reverse, time::Duration};

use axum::{
    Json,
    extract::State,
    http::Uri,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tcpwatch_common::{flow::Family, tcp_state::TcpState};

use super::{
    Parameters, Route,
    connection::View,
    error::Error,
    filter::{self, End, Owner},
    list::{self, Extent},
    query::{self, Parameter},
    view,
};
use crate::{
    feed::{Detail, Feed},
    model::{Connection, Snapshot},
};

const PARAMETERS: &[Parameter] = &[
    Parameter::repeatable("state", "a state by its kernel name, in any case: SYN_SENT"),
    Parameter::once("family", "the socket's own family: ipv4 or ipv6"),
    Parameter::once("local", "local address or CIDR block"),
    Parameter::once("remote", "remote address or CIDR block"),
    Parameter::once("local_port", "local port"),
    Parameter::once("remote_port", "remote port"),
    Parameter::once("port", "local or remote port"),
    Parameter::once(
        "netns",
        "network namespace: its inode number, its name, or host",
    ),
    Parameter::once("pid", "process id"),
    Parameter::once("comm", "process name"),
    Parameter::once("older_than", "longer in its state than this: 500ms, 1s, 5m"),
    Parameter::once("stalled", "true or false: whether its handshake is stalled"),
    Parameter::once(
        "sort",
        "age (the oldest first, as without it), -age (the youngest first), or the most first: \
         retransmits, rtt, send_queue, recv_queue, rwnd_limited",
    ),
    list::LIMIT,
];

/// The route.
pub const ROUTE: Route = Route {
    path: "/api/v1/connections",
    summary: "Live connections: those in SYN_SENT, and in the SYN_RECV of a simultaneous open.",
    parameters: PARAMETERS,
    on_metrics_only: false,
    handler: || get(connections),
};

/// The states that a snapshot lists in full. A SYN_RECV of a simultaneous open is listed too, but
/// those of a listener are not, so the state as a filter would answer with a part and say nothing.
const LISTED: [TcpState; 1] = [TcpState::SynSent];

#[derive(Clone, Copy, Debug, Default)]
enum Sort {
    #[default]
    Oldest,
    Youngest,
    Retransmits,
    Rtt,
    SendQueue,
    RecvQueue,
    RwndLimited,
}

const SORTS: [(&str, Sort); 7] = [
    ("age", Sort::Oldest),
    ("-age", Sort::Youngest),
    ("retransmits", Sort::Retransmits),
    ("rtt", Sort::Rtt),
    ("send_queue", Sort::SendQueue),
    ("recv_queue", Sort::RecvQueue),
    ("rwnd_limited", Sort::RwndLimited),
];

#[derive(Debug)]
struct Filter {
    states: Vec<TcpState>,
    family: Option<Family>,
    local: End,
    remote: End,
    port: Option<u16>,
    netns: Option<u32>,
    owner: Owner,
    older_than: Option<Duration>,
    stalled: Option<bool>,
}

impl Filter {
    fn parse(parameters: &Parameters, snapshot: &Snapshot) -> Result<Self, Error> {
        Ok(Self {
            states: states(parameters)?,
            family: parameters.one("family", query::family)?,
            local: End::parse(parameters, "local", "local_port")?,
            remote: End::parse(parameters, "remote", "remote_port")?,
            port: parameters.one("port", query::port)?,
            netns: filter::netns(parameters, snapshot)?,
            owner: Owner::parse(parameters)?,
            older_than: parameters.one("older_than", query::duration)?,
            stalled: parameters.one("stalled", query::boolean)?,
        })
    }

    fn matches(&self, connection: &Connection) -> bool {
        let stalled = connection.syn.is_some_and(|syn| syn.stalled);
        (self.states.is_empty() || self.states.contains(&connection.state))
            && self.family.is_none_or(|family| family == connection.family)
            && self.local.matches(connection.local)
            && self.remote.matches(connection.remote)
            && self.port.is_none_or(|port| {
                port == connection.local.port() || port == connection.remote.port()
            })
            && self.netns.is_none_or(|netns| netns == connection.netns)
            && self.owner.matches(connection.process.as_ref())
            && self
                .older_than
                .is_none_or(|older_than| connection.age_at_least > older_than)
            && self.stalled.is_none_or(|wanted| wanted == stalled)
    }
}

fn states(parameters: &Parameters) -> Result<Vec<TcpState>, Error> {
    let names = TcpState::ALL.map(|state| (state.name(), state));
    let states = parameters.all("state", |value| query::choice("state", value, &names))?;
    match states.iter().find(|state| !LISTED.contains(state)) {
        None => Ok(states),
        Some(state) => Err(Error::not_implemented(format!(
            "state: this version cannot list connections in {}; it lists {}",
            state.name(),
            LISTED.map(TcpState::name).join(", ")
        ))),
    }
}

async fn connections(State(feed): State<Feed>, uri: Uri) -> Result<Response, Error> {
    let parameters = Parameters::parse(&uri, PARAMETERS)?;
    // What can be refused without a snapshot is, before the kernel is asked for one.
    states(&parameters)?;
    let limit = list::limit(&parameters)?;
    let sort = parameters.one("sort", |value| query::choice("order", value, &SORTS))?;
    let snapshot = super::snapshot(&feed, Detail::Connections).await?;
    let filter = Filter::parse(&parameters, &snapshot)?;

    let mut matches: Vec<_> = snapshot
        .connections
        .iter()
        .filter(|connection| filter.matches(connection))
        .collect();
    order(&mut matches, sort.unwrap_or_default());
    let extent = Extent::cut(
        view::time(&snapshot, snapshot.taken_ns),
        &mut matches,
        limit,
    );
    let answer = Answer {
        extent,
        connections: matches
            .into_iter()
            .map(|connection| View::new(connection, &snapshot))
            .collect(),
    };
    Ok(Json(answer).into_response())
}

/// Sorts; among equals by age and tuple, so that the same sockets stay in the same order. What is
/// unknown counts as least.
fn order(connections: &mut [&Connection], sort: Sort) {
    connections.sort_by_cached_key(|connection| {
        let tcp = connection.tcp.as_ref();
        let first: Option<u128> = match sort {
            Sort::Oldest => None,
            Sort::Youngest => Some(u128::MAX - connection.age_at_least.as_nanos()),
            Sort::Retransmits => connection.syn.map(|syn| syn.retransmits.into()),
            Sort::Rtt => tcp.and_then(|tcp| tcp.rtt).map(|rtt| rtt.as_nanos()),
            Sort::SendQueue => tcp.map(|tcp| tcp.send_queue_bytes.into()),
            Sort::RecvQueue => tcp.map(|tcp| tcp.recv_queue_bytes.into()),
            Sort::RwndLimited => tcp
                .and_then(|tcp| tcp.rwnd_limited)
                .map(|time| time.as_nanos()),
        };
        (
            Reverse(first),
            Reverse(connection.age_at_least),
            (connection.remote, connection.local, connection.netns),
            connection.inode,
        )
    });
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    extent: Extent,
    connections: Vec<View<'a>>,
}
