//! `GET /api/v1/status`: the agent itself.

use axum::{
    Json,
    extract::State,
    http::Uri,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::{Parameters, Route, error::Error, view};
use crate::{
    feed::{Detail, Feed},
    model::{Probe, Ring, Snapshot, Table},
};

/// The route.
pub const ROUTE: Route = Route {
    path: "/api/v1/status",
    summary: "The agent: version, kernel, probes, rings, losses, table fill and memory.",
    parameters: &[],
    on_metrics_only: false,
    handler: || get(status),
};

async fn status(State(feed): State<Feed>, uri: Uri) -> Result<Response, Error> {
    Parameters::parse(&uri, &[])?;
    let snapshot = super::snapshot(&feed, Detail::Counts).await?;
    Ok(Json(Answer::new(&snapshot)).into_response())
}

#[derive(Serialize)]
struct Answer<'a> {
    generated_at: Option<String>,
    version: &'static str,
    revision: &'static str,
    kernel: &'a str,
    started_at: Option<String>,
    uptime_seconds: f64,
    /// Whether the attach plan has finished.
    ready: bool,
    /// From the start until the attach plan finished.
    attach_seconds: Option<f64>,
    listening: &'a [String],
    only_netns: Option<u32>,
    probes: Vec<ProbeView<'a>>,
    rings: Vec<RingView>,
    losses: Losses,
    tables: Vec<TableView>,
    degraded: &'a [String],
    memory: Memory,
    process: ProcessView,
}

impl<'a> Answer<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let agent = &snapshot.agent;
        Self {
            generated_at: view::time(snapshot, snapshot.taken_ns),
            version: agent.version,
            revision: agent.revision,
            kernel: &agent.kernel,
            started_at: view::time(snapshot, agent.started_ns),
            uptime_seconds: view::seconds_between(agent.started_ns, snapshot.taken_ns),
            ready: agent.attached(),
            attach_seconds: agent
                .attached()
                .then(|| view::seconds_between(0, agent.attach_ns)),
            listening: &agent.listening,
            only_netns: agent.only_netns,
            probes: snapshot.probes.iter().map(Into::into).collect(),
            rings: snapshot.rings.iter().map(Into::into).collect(),
            losses: Losses::new(snapshot),
            tables: snapshot.tables.iter().map(Into::into).collect(),
            degraded: &agent.degraded,
            memory: Memory {
                resident_bytes: agent.process.resident_bytes,
                virtual_bytes: agent.process.virtual_bytes,
            },
            process: ProcessView {
                cpu_seconds: agent.process.cpu.map(view::seconds),
                open_fds: agent.process.open_fds,
                max_fds: agent.process.max_fds,
            },
        }
    }
}

#[derive(Serialize)]
struct ProbeView<'a> {
    name: &'static str,
    hook: &'static str,
    up: bool,
    /// Why it is not up.
    unavailable: Option<&'a str>,
    /// The hooks that the plan prefers to the one in use, or all where none attached.
    refused: Vec<RefusalView<'a>>,
    /// What is lost without it.
    feeds: &'static str,
    missed: Option<u64>,
    /// `null` while the kernel has counted none: it does so where kernel.bpf_stats_enabled is 1.
    runs: Option<u64>,
    /// In those runs, together.
    run_time_seconds: Option<f64>,
}

#[derive(Serialize)]
struct RefusalView<'a> {
    hook: &'static str,
    reason: &'a str,
}

impl<'a> From<&'a Probe> for ProbeView<'a> {
    fn from(probe: &'a Probe) -> Self {
        Self {
            name: probe.name,
            hook: probe.hook.label(),
            up: probe.unavailable.is_none(),
            unavailable: probe.unavailable.as_deref(),
            refused: probe
                .refused
                .iter()
                .map(|refusal| RefusalView {
                    hook: refusal.hook.label(),
                    reason: &refusal.reason,
                })
                .collect(),
            feeds: probe.feeds,
            missed: probe.missed,
            runs: probe.runs,
            // Nanoseconds: a run takes some hundred of them.
            run_time_seconds: probe.run_time.map(|time| time.as_secs_f64()),
        }
    }
}

#[derive(Serialize)]
struct RingView {
    name: &'static str,
    size_bytes: u64,
    records: u64,
    lost: u64,
    undecodable: u64,
}

impl From<&Ring> for RingView {
    fn from(ring: &Ring) -> Self {
        Self {
            name: ring.name,
            size_bytes: ring.size_bytes,
            records: ring.records,
            lost: ring.lost,
            undecodable: ring.undecodable,
        }
    }
}

/// Everything that is missing from what the agent shows, summed over where it was lost.
#[derive(Serialize)]
struct Losses {
    ring_records_lost: u64,
    ring_records_undecodable: u64,
    /// `null` where no probe's kernel counts them.
    probe_events_missed: Option<u64>,
    table_entries_refused: u64,
    /// Attempts whose end was not seen and that went with their socket.
    handshakes_unended: u64,
    /// Sockets that left SYN_SENT without an entry: from before the agent, or after a full table.
    handshakes_unknown: u64,
}

impl Losses {
    fn new(snapshot: &Snapshot) -> Self {
        let missed: Vec<u64> = snapshot
            .probes
            .iter()
            .filter_map(|probe| probe.missed)
            .collect();
        Self {
            ring_records_lost: snapshot.rings.iter().map(|ring| ring.lost).sum(),
            ring_records_undecodable: snapshot.rings.iter().map(|ring| ring.undecodable).sum(),
            probe_events_missed: (!missed.is_empty()).then(|| missed.iter().sum()),
            table_entries_refused: snapshot.tables.iter().map(|table| table.full).sum(),
            handshakes_unended: snapshot.counters.handshakes_unended,
            handshakes_unknown: snapshot.counters.handshakes_unknown,
        }
    }
}

#[derive(Serialize)]
struct TableView {
    name: &'static str,
    entries: u64,
    capacity: u64,
    full: u64,
}

impl From<&Table> for TableView {
    fn from(table: &Table) -> Self {
        Self {
            name: table.name,
            entries: table.entries,
            capacity: table.capacity,
            full: table.full,
        }
    }
}

#[derive(Serialize)]
struct Memory {
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
}

#[derive(Serialize)]
struct ProcessView {
    cpu_seconds: Option<f64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
}
