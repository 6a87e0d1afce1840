//! docs/performance.md: the figures as tables for people, without the day on which they were measured.

use std::fmt::Write as _;

use super::{Results, ToolRow, churn::Churn, programs::Programs};

/// What a reader has to know before the tables.
const METHOD: &str = "\
A load connects, accepts and closes over loopback as fast as it can, in a network namespace of its own for every run,
and nothing else: no data is sent, so what a tool adds to each state transition shows as large as it can. Real hosts
move data between connect and close, and see less of it. With a FIN a connection makes 10 state transitions, with a RST
(SO_LINGER 0) 6. Runs without and with the tool alternate (A B B A); each pair gives one ratio of connections a second
and one of CPU time (load and tool together over the load alone, until the tool has worked everything off). The tables
show the median of the pairs and, in brackets, the quartiles. The row *nothing* is the same with no tool on either side:
what differs by less than its quartiles is noise.
";

const PROGRAMS: &str = "\
As the kernel measures it (`kernel.bpf_stats_enabled=1`), in runs of their own. Reading the clock around every run is
part of the figures; the empty program shows how much of them that is. *A transition* sums all programs that ran and
divides by the state transitions.
";

/// Other work that takes more CPUs than this blurs what is measured. The kernel's own, such as freeing the namespaces,
/// takes less.
const BUSY_CPUS: f64 = 0.3;

/// The whole page.
pub fn markdown(results: &Results) -> String {
    let mut page = String::from("# What tcpwatch costs\n\n");
    page += "Written by `cargo xtask bench`; do not edit.\n\n";
    if results.quick {
        page += "**A quick run, with too few pairs to tell anything.**\n\n";
    }
    for section in [
        measured_on(results),
        goals(results),
        tools(results),
        programs(results),
        footprint(results),
    ] {
        page += &section;
    }
    format!("{}\n", page.trim_end())
}

/// One row of a table.
fn row(page: &mut String, cells: &[&str]) {
    *page += "|";
    for cell in cells {
        *page += " ";
        // A cell must not end the row.
        *page += &cell.replace(['|', '\n'], " ");
        *page += " |";
    }
    *page += "\n";
}

fn header(page: &mut String, cells: &[&str]) {
    row(page, cells);
    row(page, &vec!["---"; cells.len()]);
}

fn measured_on(results: &Results) -> String {
    let host = &results.host;
    let mut page = String::from("## Measured on\n\n");
    header(&mut page, &["", ""]);
    let machine = if host.virtual_machine {
        ", virtual machine"
    } else {
        ""
    };
    row(&mut page, &["kernel", &host.kernel]);
    row(
        &mut page,
        &[
            "CPU",
            &format!("{}, {} cores{machine}", host.cpu, host.cores),
        ],
    );
    row(
        &mut page,
        &[
            "tcpwatch",
            &format!("{}, revision {}", host.tcpwatch, host.revision),
        ],
    );
    row(&mut page, &["other tools", &host.peers.join(", ")]);
    row(
        &mut page,
        &[
            "runs",
            &format!(
                "{} pairs a row and load, {} connections a run",
                results.pairs, results.connections
            ),
        ],
    );
    if let Some(cpus) = results.other_work_cpus {
        let text = format!("{cpus:.2} of {} CPUs on average", host.cores);
        row(&mut page, &["other work meanwhile", &text]);
        if cpus > BUSY_CPUS {
            page += "\n**The host was busy with other work: read the ratios with the noise in mind.**\n";
        }
    }
    page + "\n"
}

fn goals(results: &Results) -> String {
    let mut page = String::from("## Goals\n\n");
    page += "For the churn load the worst of its variants counts, by its median.\n\n";
    header(&mut page, &["", "goal", "measured", "floor", ""]);
    for goal in &results.goals {
        let Some(_) = goal.met else { continue };
        row(
            &mut page,
            &[
                goal.subject,
                &goal.goal,
                &goal.measured,
                &goal.floor,
                goal.verdict(),
            ],
        );
    }
    page + "\n"
}

fn tools(results: &Results) -> String {
    if results.tools.is_empty() {
        return String::new();
    }
    let mut page = format!("## Connections over loopback, with and without a tool\n\n{METHOD}\n");
    let mut loads: Vec<&str> = Vec::new();
    for churn in results.tools.iter().flat_map(|tool| &tool.loads) {
        if !loads.contains(&churn.load_name.as_str()) {
            loads.push(&churn.load_name);
        }
    }
    for load in loads {
        let _ = write!(page, "### {load}\n\n");
        header(
            &mut page,
            &[
                "tool",
                "connections/s",
                "CPU",
                "CPU added, ns a transition",
                "of that in the tool itself",
                "lost",
            ],
        );
        for tool in &results.tools {
            if let Some(churn) = tool.loads.iter().find(|churn| churn.load_name == load) {
                tool_row(&mut page, tool, churn);
            }
        }
        if let Some(alone) = results
            .tools
            .first()
            .and_then(|tool| tool.loads.iter().find(|churn| churn.load_name == load))
        {
            let _ = write!(
                page,
                "\n1.000 is {:.0} connections a second.\n",
                alone.rate_alone
            );
        }
        page += "\n";
    }
    let failed: Vec<_> = results
        .tools
        .iter()
        .filter_map(|tool| Some((tool.title, tool.failure.as_deref()?)))
        .collect();
    if !failed.is_empty() {
        page += "Not measured here:\n\n";
        for (title, failure) in failed {
            let _ = writeln!(page, "- {title}: {failure}");
        }
        page += "\n";
    }
    page
}

fn tool_row(page: &mut String, tool: &ToolRow, churn: &Churn) {
    let nothing = tool.row == super::Row::Noise;
    let own = format!("{:.0}", churn.tool_ns_a_transition.median);
    let lost = format!("{} %", share(churn.lost_share));
    row(
        page,
        &[
            tool.title,
            &format!("{:.3}", churn.rate_ratio),
            &format!("{:.3}", churn.cpu_ratio),
            &format!("{:.0}", churn.added_ns_a_transition),
            if nothing { "-" } else { &own },
            if nothing { "-" } else { &lost },
        ],
    );
}

/// A share in percent; a little is not shown as nothing.
fn share(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 {
        "0".to_owned()
    } else if percent < 0.001 {
        "< 0.001".to_owned()
    } else {
        format!("{percent:.3}")
    }
}

fn programs(results: &Results) -> String {
    if results.programs.is_empty() {
        return String::new();
    }
    let mut page = format!("## The eBPF programs\n\n{PROGRAMS}\n");
    header(
        &mut page,
        &[
            "mode",
            "load",
            "ns a transition",
            "events missed",
            "ring records lost",
        ],
    );
    for programs in &results.programs {
        let missed: u64 = programs.programs.iter().map(|program| program.missed).sum();
        row(
            &mut page,
            &[
                programs.mode.title(),
                &programs.load_name,
                &format!("{:.0}", programs.ns_a_transition),
                &missed.to_string(),
                &format!("{} of {}", programs.records_lost, programs.records),
            ],
        );
    }
    if let Some(empty) = results.empty_program_ns {
        let _ = write!(page, "\nAn empty program costs {empty:.0} ns a run.\n");
    }
    page += "\n";
    for programs in &results.programs {
        each_program(&mut page, programs);
    }
    page
}

fn each_program(page: &mut String, programs: &Programs) {
    let _ = write!(
        page,
        "### {}, {}\n\n",
        programs.mode.title(),
        programs.load_name
    );
    header(
        page,
        &[
            "program",
            "ns a run",
            "runs a connection",
            "of the ns a transition",
        ],
    );
    for program in &programs.programs {
        row(
            page,
            &[
                &program.name,
                &format!("{:.0}", program.ns_a_run),
                &format!("{:.2}", program.runs_a_connection),
                &format!("{:.1}", program.ns_a_transition),
            ],
        );
    }
    *page += "\n";
}

fn footprint(results: &Results) -> String {
    let Some(footprint) = &results.footprint else {
        return String::new();
    };
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0));
    let mut page = String::from("## The daemon\n\n");
    header(&mut page, &["", ""]);
    for (name, value) in [
        (
            "from exec until attached and ready",
            format!("{:.1} ms", footprint.startup_seconds.times(1000.0)),
        ),
        (
            "of that, until attached",
            format!("{:.1} ms", footprint.attach_seconds.times(1000.0)),
        ),
        ("resident memory, idle", mib(footprint.idle_resident_bytes)),
        ("after the load", mib(footprint.churn_resident_bytes)),
        (
            "of it neither binary nor rings, which are mapped twice",
            mib(footprint.churn_anonymous_bytes),
        ),
        (
            "after the load, every transition exported",
            mib(footprint.export_resident_bytes),
        ),
        (
            "at most, while it starts and reads the kernel's types",
            mib(footprint.peak_resident_bytes),
        ),
        (
            "CPU, idle",
            format!(
                "{:.3} % of one CPU over {:.0} s",
                footprint.idle_cpu_share * 100.0,
                footprint.idle_seconds
            ),
        ),
        (
            "wake-ups a second, idle",
            format!("{:.1}", footprint.idle_wakeups_a_second),
        ),
    ] {
        row(&mut page, &[name, &value]);
    }
    page + "\n"
}
