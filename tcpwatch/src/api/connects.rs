//! `GET /api/v1/connects`: connect attempts that ended, newest first.

use axum::{
    Json,
    extract::State,
    http::Uri,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tcpwatch_common::outcome::Outcome;

use super::{
    Parameters, Route,
    error::Error,
    filter::{End, Owner},
    list::{self, Extent},
    query::{self, Parameter},
    view,
};
use crate::{
    feed::{Detail, Feed},
    model::{EndedAttempt, Snapshot},
};

const PARAMETERS: &[Parameter] = &[
    Parameter::repeatable("outcome", "what became of it: timed_out, refused_rst, ..."),
    Parameter::once(
        "since",
        "ended at this time or later: RFC 3339, or a duration ago such as 10m",
    ),
    Parameter::once(
        "until",
        "ended before this time: RFC 3339, or a duration ago such as 10m",
    ),
    Parameter::once("remote", "remote address or CIDR block"),
    Parameter::once("remote_port", "remote port"),
    Parameter::once("pid", "process id"),
    Parameter::once("comm", "process name"),
    list::LIMIT,
];

/// The route.
pub const ROUTE: Route = Route {
    path: "/api/v1/connects",
    summary: "Connect attempts that failed, or stalled before they went well, newest first.",
    parameters: PARAMETERS,
    on_metrics_only: false,
    handler: || get(connects),
};

/// The share of attempts that neither failed nor stalled which the history keeps: none, they are
/// counts only.
const SAMPLE_RATE: f64 = 0.0;

#[derive(Debug)]
struct Filter {
    outcomes: Vec<Outcome>,
    since_ns: Option<i128>,
    until_ns: Option<i128>,
    remote: End,
    owner: Owner,
}

impl Filter {
    fn parse(parameters: &Parameters, snapshot: &Snapshot) -> Result<Self, Error> {
        let outcomes = Outcome::ALL.map(|outcome| (outcome.label(), outcome));
        let moment = |value: &str| query::moment(value, snapshot.clock, snapshot.taken_ns);
        Ok(Self {
            outcomes: parameters.all("outcome", |value| {
                query::choice("outcome", value, &outcomes)
            })?,
            since_ns: parameters.one("since", moment)?,
            until_ns: parameters.one("until", moment)?,
            remote: End::parse(parameters, "remote", "remote_port")?,
            owner: Owner::parse(parameters)?,
        })
    }

    fn matches(&self, ended: &EndedAttempt) -> bool {
        let ended_ns = i128::from(ended.ended_ns);
        (self.outcomes.is_empty() || self.outcomes.contains(&ended.outcome))
            && self.since_ns.is_none_or(|since| ended_ns >= since)
            && self.until_ns.is_none_or(|until| ended_ns < until)
            && self.remote.matches(ended.attempt.remote)
            && self.owner.matches(ended.attempt.process.as_ref())
    }
}

async fn connects(State(feed): State<Feed>, uri: Uri) -> Result<Response, Error> {
    let parameters = Parameters::parse(&uri, PARAMETERS)?;
    let limit = list::limit(&parameters)?;
    let snapshot = super::snapshot(&feed, Detail::Counts).await?;
    let filter = Filter::parse(&parameters, &snapshot)?;

    // The history is in the order of arrival, which is not quite that of the ends.
    let mut matches: Vec<_> = snapshot
        .ended
        .iter()
        .rev()
        .filter(|ended| filter.matches(ended))
        .collect();
    matches.sort_by_key(|ended| std::cmp::Reverse(ended.ended_ns));
    let extent = Extent::cut(
        view::time(&snapshot, snapshot.taken_ns),
        &mut matches,
        limit,
    );
    let begins = i128::from(snapshot.history_begins_ns);
    let answer = Answer {
        extent,
        history_begins_at: view::time(&snapshot, snapshot.history_begins_ns),
        complete: snapshot.history_complete && filter.since_ns.is_none_or(|since| since >= begins),
        sample_rate: SAMPLE_RATE,
        connects: matches
            .into_iter()
            .map(|ended| View::new(ended, &snapshot))
            .collect(),
    };
    Ok(Json(answer).into_response())
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    extent: Extent,
    /// Since when the history holds every attempt that failed or stalled.
    history_begins_at: Option<String>,
    /// Whether the history holds every such attempt of the time that was asked for.
    complete: bool,
    sample_rate: f64,
    connects: Vec<View<'a>>,
}

#[derive(Serialize)]
struct View<'a> {
    family: &'static str,
    local: view::Endpoint,
    remote: view::Endpoint,
    netns: u32,
    netns_name: Option<&'a str>,
    inode: Option<u64>,
    uid: Option<u32>,
    process: Option<view::Owner<'a>>,
    outcome: &'static str,
    error: Option<&'a str>,
    by: Option<&'static str>,
    icmp: Option<Icmp>,
    started: Option<String>,
    ended: Option<String>,
    duration_seconds: Option<f64>,
    syn_retransmits: u32,
}

/// The ICMP message that ended an attempt. No probe reads one yet.
#[derive(Serialize)]
enum Icmp {}

impl<'a> View<'a> {
    fn new(ended: &'a EndedAttempt, snapshot: &'a Snapshot) -> Self {
        let attempt = &ended.attempt;
        Self {
            family: attempt.family.label(),
            local: attempt.local.into(),
            remote: attempt.remote.into(),
            netns: attempt.netns,
            netns_name: view::netns_name(snapshot, attempt.netns),
            inode: attempt.inode,
            uid: attempt.uid,
            process: attempt.process.as_ref().map(Into::into),
            outcome: ended.outcome.label(),
            error: ended.error.as_deref(),
            by: by(ended.outcome),
            icmp: None,
            started: attempt
                .started_ns
                .and_then(|started| view::time(snapshot, started)),
            ended: view::time(snapshot, ended.ended_ns),
            duration_seconds: attempt
                .started_ns
                .map(|started| view::seconds_between(started, ended.ended_ns)),
            syn_retransmits: attempt.syn_retransmits,
        }
    }
}

/// What ended an attempt with that outcome; `None` where nothing cut it short or it is not known.
const fn by(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::TimedOut => Some("timer"),
        Outcome::RefusedRst => Some("rst"),
        Outcome::RefusedIcmp | Outcome::HostUnreachable | Outcome::NetUnreachable => Some("icmp"),
        Outcome::Cancelled => Some("application"),
        Outcome::NoLocalPort => Some("local"),
        Outcome::Established | Outcome::Other => None,
    }
}
