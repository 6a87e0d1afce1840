//! `tcpwatch status`: the daemon itself.

use serde_json::Value;

use super::{
    connections::rows,
    format,
    request::Request,
    table::{Table, Weight},
};

/// Its flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The API's answer instead of a page
    #[arg(long)]
    json: bool,
}

impl Args {
    /// What to ask for.
    pub fn request(&self) -> Request {
        Request::new("/api/v1/status".to_owned(), self.json, show)
    }
}

fn show(status: &Value, colour: bool) -> String {
    let text = |pointer| format::text(status, pointer);
    let listening: Vec<_> = rows(status, "listening")
        .iter()
        .filter_map(Value::as_str)
        .map(format::harmless)
        .collect();
    let mut page = format!(
        "tcpwatch {} ({}) on kernel {}\n\
         up {} since {}, {}\n\
         listening on {}\n\
         memory {} resident, CPU time {}, {} of {} file descriptors\n\
         losses: {}\n",
        text("/version"),
        text("/revision"),
        text("/kernel"),
        format::seconds(status, "/uptime_seconds"),
        format::time(status, "/started_at"),
        match format::number(status, "/attach_seconds") {
            Some(seconds) => format!("attached in {}", format::duration(seconds)),
            None => "not attached yet".to_owned(),
        },
        listening.join(", "),
        format::bytes(status, "/memory/resident_bytes"),
        format::seconds(status, "/process/cpu_seconds"),
        text("/process/open_fds"),
        text("/process/max_fds"),
        losses(&status["losses"]),
    );
    for reason in rows(status, "degraded").iter().filter_map(Value::as_str) {
        page += &format!("degraded: {}\n", format::harmless(reason));
    }
    for section in [probes(status), rings(status), tables(status)] {
        page += "\n";
        page += &section.render(colour);
    }
    page
}

/// Every loss that is not 0, by name.
fn losses(losses: &Value) -> String {
    let some: Vec<_> = losses
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, count)| count.as_u64().is_some_and(|count| count != 0))
        .map(|(name, count)| format!("{count} {}", format::harmless(&name.replace('_', " "))))
        .collect();
    if some.is_empty() {
        "none".to_owned()
    } else {
        some.join(", ")
    }
}

fn probes(status: &Value) -> Table {
    let mut table = Table::new(&["PROBE", "HOOK", "UP", "MISSED", "WHY NOT"]);
    for probe in rows(status, "probes") {
        let up = probe["up"] == true;
        let refused: Vec<_> = rows(probe, "refused")
            .iter()
            .map(|refusal| {
                format!(
                    "{}: {}",
                    format::text(refusal, "/hook"),
                    format::text(refusal, "/reason")
                )
            })
            .collect();
        let without = if up && refused.is_empty() {
            format::UNKNOWN.to_owned()
        } else if up {
            format!("up, but not by {}", refused.join("; "))
        } else {
            format!(
                "no {}: {}",
                format::text(probe, "/feeds"),
                format::text(probe, "/unavailable")
            )
        };
        table.row(
            if up { Weight::Plain } else { Weight::Urgent },
            vec![
                format::text(probe, "/name"),
                format::text(probe, "/hook"),
                if up { "yes" } else { "no" }.to_owned(),
                format::text(probe, "/missed"),
                without,
            ],
        );
    }
    table
}

fn rings(status: &Value) -> Table {
    let mut table = Table::new(&["RING", "SIZE", "RECORDS", "LOST", "UNDECODABLE"]);
    for ring in rows(status, "rings") {
        table.row(
            warn_if(ring["lost"] != 0 || ring["undecodable"] != 0),
            vec![
                format::text(ring, "/name"),
                format::bytes(ring, "/size_bytes"),
                format::text(ring, "/records"),
                format::text(ring, "/lost"),
                format::text(ring, "/undecodable"),
            ],
        );
    }
    table
}

fn tables(status: &Value) -> Table {
    let mut table = Table::new(&["TABLE", "ENTRIES", "CAPACITY", "FOUND FULL"]);
    for row in rows(status, "tables") {
        table.row(
            warn_if(row["full"] != 0),
            vec![
                format::text(row, "/name"),
                format::text(row, "/entries"),
                format::text(row, "/capacity"),
                format::text(row, "/full"),
            ],
        );
    }
    table
}

const fn warn_if(wrong: bool) -> Weight {
    if wrong {
        Weight::Notable
    } else {
        Weight::Plain
    }
}
