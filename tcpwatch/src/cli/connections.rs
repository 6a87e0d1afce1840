//! `tcpwatch connections`: live connections as a table.

use std::time::Duration;

use serde_json::Value;

use super::{
    format,
    request::{Query, Request},
    table::{Table, Weight},
    value,
};

/// Its flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this state, such as syn_sent; may be given more than once
    #[arg(long, value_name = "STATE", value_parser = value::state)]
    state: Vec<String>,
    /// Only what has been in its state for longer than this, such as 1s
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    older_than: Option<String>,
    /// Only what is stalled: a SYN sent again, or no answer for longer than syn_sent.stall_after
    #[arg(long)]
    stalled: bool,
    /// Only this remote address or CIDR block
    #[arg(long, value_name = "ADDRESS", value_parser = value::network)]
    remote: Option<String>,
    /// Only this port, local or remote
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Only this network namespace: its name, its inode number, or host
    #[arg(long)]
    netns: Option<String>,
    /// Only this process
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
    /// Only processes of this name
    #[arg(long, value_name = "NAME")]
    comm: Option<String>,
    /// age (the oldest first), -age, retransmits, rtt, send_queue, recv_queue or rwnd_limited
    #[arg(long, value_name = "ORDER", allow_hyphen_values = true)]
    sort: Option<String>,
    /// At most so many [default: 1000]
    #[arg(long, value_name = "COUNT")]
    limit: Option<u32>,
    /// The API's answer instead of a table
    #[arg(long)]
    json: bool,
    /// Draw it again each interval, 1s unless given, until interrupted
    #[arg(
        long,
        value_name = "INTERVAL",
        num_args = 0..=1,
        default_missing_value = "1s",
        value_parser = value::interval,
        conflicts_with = "json"
    )]
    watch: Option<Duration>,
}

impl Args {
    /// What to ask for.
    pub fn request(&self) -> Request {
        let path = Query::new("/api/v1/connections")
            .add("state", &self.state)
            .add("older_than", &self.older_than)
            .add("stalled", self.stalled.then_some(true))
            .add("remote", &self.remote)
            .add("port", self.port)
            .add("netns", &self.netns)
            .add("pid", self.pid)
            .add("comm", &self.comm)
            .add("sort", &self.sort)
            .add("limit", self.limit)
            .finish();
        Request {
            watch: self.watch,
            ..Request::new(path, self.json, show)
        }
    }
}

/// The last seconds before the kernel gives up are worth a colour of their own.
const SOON_SECONDS: f64 = 10.0;

fn show(answer: &Value, colour: bool) -> String {
    let connections = rows(answer, "connections");
    let with_netns = several_netns(connections);
    let mut columns = vec![
        "STATE", "AGE", "LOCAL", "REMOTE", "PROCESS", "RETRANS", "NEXT", "GIVES UP",
    ];
    if with_netns {
        columns.push("NETNS");
    }
    let mut table = Table::new(&columns);
    for connection in connections {
        let mut cells = vec![
            format::text(connection, "/state"),
            age(connection),
            format::endpoint(connection, "/local"),
            format::endpoint(connection, "/remote"),
            format::process(connection),
            retransmits(connection),
            next(connection),
            gives_up(connection),
        ];
        if with_netns {
            cells.push(format::netns(connection));
        }
        table.row(weight(connection), cells);
    }
    table.render(colour) + &remainder(answer, "connections")
}

/// The list of an answer.
pub fn rows<'a>(answer: &'a Value, plural: &str) -> &'a [Value] {
    answer
        .get(plural)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Whether a list needs the column NETNS.
pub fn several_netns(rows: &[Value]) -> bool {
    rows.windows(2)
        .any(|pair| pair.first().map(|row| &row["netns"]) != pair.last().map(|row| &row["netns"]))
}

/// The line below a table that is empty or was cut.
pub fn remainder(answer: &Value, plural: &str) -> String {
    if answer["truncated"] == true {
        return format!(
            "{} of {} {plural}; --limit shows more\n",
            answer["returned"], answer["total"]
        );
    }
    if rows(answer, plural).is_empty() {
        return format!("no {plural}\n");
    }
    String::new()
}

/// The time in the state; where it began before the agent looked, the least that it can be.
fn age(connection: &Value) -> String {
    match format::number(connection, "/age_seconds") {
        Some(age) => format::duration(age),
        None => match format::number(connection, "/age_at_least_seconds") {
            Some(age) => format!(">{}", format::duration(age)),
            None => format::UNKNOWN.to_owned(),
        },
    }
}

/// SYN retransmits so far, of how many.
fn retransmits(connection: &Value) -> String {
    match format::text(connection, "/syn/retransmits") {
        sent if sent == format::UNKNOWN => sent,
        sent => match format::number(connection, "/syn/retransmits_limit") {
            Some(limit) => format!("{sent}/{limit}"),
            None => sent,
        },
    }
}

/// Until the next retransmit; none after the last.
fn next(connection: &Value) -> String {
    let sent = format::number(connection, "/syn/retransmits");
    let limit = format::number(connection, "/syn/retransmits_limit");
    if limit.is_some() && sent >= limit {
        return "none".to_owned();
    }
    format::seconds(connection, "/syn/next_retransmit_in_seconds")
}

/// When the kernel gives up, and what sets that.
fn gives_up(connection: &Value) -> String {
    match format::number(connection, "/gives_up_in_seconds") {
        Some(seconds) => format!(
            "in {}, {}",
            format::duration(seconds),
            format::text(connection, "/gives_up_because")
        ),
        None => format::UNKNOWN.to_owned(),
    }
}

fn weight(connection: &Value) -> Weight {
    let ends_soon = format::number(connection, "/gives_up_in_seconds")
        .is_some_and(|seconds| seconds < SOON_SECONDS);
    if connection.pointer("/syn/stalled") != Some(&Value::Bool(true)) {
        Weight::Plain
    } else if ends_soon {
        Weight::Urgent
    } else {
        Weight::Notable
    }
}
