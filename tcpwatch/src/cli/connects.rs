//! `tcpwatch connects`: connect attempts that ended as a table, newest first.

use serde_json::Value;

use super::{
    connections::{remainder, rows, several_netns},
    format,
    request::{Query, Request},
    table::{Table, Weight},
    value,
};

/// Its flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this outcome, such as timed_out; may be given more than once
    #[arg(long, value_name = "OUTCOME", value_parser = value::outcome)]
    outcome: Vec<String>,
    /// Only what ended later than this: a duration ago such as 10m, or a time
    #[arg(long, value_name = "WHEN", value_parser = value::moment)]
    since: Option<String>,
    /// Only what ended before this: a duration ago such as 10m, or a time
    #[arg(long, value_name = "WHEN", value_parser = value::moment)]
    until: Option<String>,
    /// Only this remote address or CIDR block
    #[arg(long, value_name = "ADDRESS", value_parser = value::network)]
    remote: Option<String>,
    /// Only this remote port
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Only this process
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
    /// Only processes of this name
    #[arg(long, value_name = "NAME")]
    comm: Option<String>,
    /// At most so many [default: 1000]
    #[arg(long, value_name = "COUNT")]
    limit: Option<u32>,
    /// The API's answer instead of a table
    #[arg(long)]
    json: bool,
}

impl Args {
    /// What to ask for.
    pub fn request(&self) -> Request {
        let path = Query::new("/api/v1/connects")
            .add("outcome", &self.outcome)
            .add("since", &self.since)
            .add("until", &self.until)
            .add("remote", &self.remote)
            .add("remote_port", self.port)
            .add("pid", self.pid)
            .add("comm", &self.comm)
            .add("limit", self.limit)
            .finish();
        Request::new(path, self.json, show)
    }
}

fn show(answer: &Value, colour: bool) -> String {
    let connects = rows(answer, "connects");
    let with_netns = several_netns(connects);
    let mut columns = vec![
        "ENDED", "OUTCOME", "AFTER", "LOCAL", "REMOTE", "PROCESS", "RETRANS", "ERROR", "BY",
    ];
    if with_netns {
        columns.push("NETNS");
    }
    let mut table = Table::new(&columns);
    for connect in connects {
        let mut cells = vec![
            format::time(connect, "/ended"),
            format::text(connect, "/outcome"),
            format::seconds(connect, "/duration_seconds"),
            format::endpoint(connect, "/local"),
            format::endpoint(connect, "/remote"),
            format::process(connect),
            format::text(connect, "/syn_retransmits"),
            format::text(connect, "/error"),
            format::text(connect, "/by"),
        ];
        if with_netns {
            cells.push(format::netns(connect));
        }
        table.row(weight(connect), cells);
    }
    table.render(colour) + &remainder(answer, "connects") + &gap(answer)
}

/// What the history cannot show of the time that was asked for.
fn gap(answer: &Value) -> String {
    if answer["complete"] == false {
        return format!(
            "not every attempt of that time is here: the history begins at {}\n",
            format::time(answer, "/history_begins_at")
        );
    }
    String::new()
}

fn weight(connect: &Value) -> Weight {
    match connect["outcome"].as_str() {
        Some("established") => Weight::Plain,
        Some("cancelled") => Weight::Notable,
        _ => Weight::Urgent,
    }
}
