//! The goals that tcpwatch is held to, and whether what was measured meets them. A goal for the churn load holds for
//! the worst of its loads.

use serde::Serialize;

use super::{Results, Row, churn::Churn, daemon::Mode, programs::Programs, spread::Spread};

const MIB: f64 = 1024.0 * 1024.0;

/// One goal and what came of it.
#[derive(Debug, Serialize)]
pub struct Goal {
    pub subject: &'static str,
    pub goal: String,
    pub measured: String,
    /// What the same figure is without anything to measure.
    pub floor: String,
    /// `None` where it was not measured.
    pub met: Option<bool>,
}

/// In which direction a figure is good.
#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    /// Whether `a` is the worse of the two.
    fn worse(self, a: f64, b: f64) -> bool {
        match self {
            Self::AtLeast(_) => a < b,
            Self::AtMost(_) => a > b,
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Self::AtLeast(bound) => format!("at least {bound}{unit}"),
            Self::AtMost(bound) => format!("at most {bound}{unit}"),
        }
    }
}

impl Goal {
    /// For the terminal.
    pub fn line(&self) -> String {
        format!(
            "{}: {}, measured {}: {}",
            self.subject,
            self.goal,
            self.measured,
            self.verdict()
        )
    }

    /// In words.
    pub const fn verdict(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "not met",
            None => "not measured",
        }
    }
}

/// Every goal.
pub fn judge(results: &Results) -> Vec<Goal> {
    let empty = results.empty_program_ns.map_or_else(
        || "-".to_owned(),
        |ns| format!("an empty program {ns:.0} ns"),
    );
    let rate = |churn: &Churn| churn.rate_ratio;
    let cpu = |churn: &Churn| churn.cpu_ratio;
    let mut goals = vec![
        ns_a_transition(
            results,
            "ns a transition, defaults",
            Mode::Defaults,
            100.0,
            &empty,
        ),
        ratio(
            results,
            "connections/s, defaults",
            Row::Tcpwatch,
            Bound::AtLeast(0.98),
            rate,
        ),
        ratio(
            results,
            "CPU, defaults",
            Row::Tcpwatch,
            Bound::AtMost(1.03),
            cpu,
        ),
        ns_a_transition(
            results,
            "ns a transition, all exported",
            Mode::RecordTransitions,
            200.0,
            &empty,
        ),
        ratio(
            results,
            "connections/s, all exported",
            Row::TcpwatchTransitions,
            Bound::AtLeast(0.95),
            rate,
        ),
        ratio(
            results,
            "CPU, all exported",
            Row::TcpwatchTransitions,
            Bound::AtMost(1.06),
            cpu,
        ),
        no_loss(results),
    ];
    let footprint = results.footprint.as_ref();
    goals.push(figure(
        "start-up until attached and ready",
        Bound::AtMost(100.0),
        " ms",
        footprint.map(|footprint| footprint.startup_seconds.median * 1000.0),
    ));
    goals.push(figure(
        "resident memory, once started",
        Bound::AtMost(16.0),
        " MiB",
        footprint.map(|footprint| footprint.resident_bytes() as f64 / MIB),
    ));
    goals
}

/// A ratio of the churn load.
fn ratio(
    results: &Results,
    subject: &'static str,
    row: Row,
    bound: Bound,
    figure: fn(&Churn) -> Spread,
) -> Goal {
    let worst_of = |row| {
        let tool = results.tools.iter().find(|tool| tool.row == row)?;
        worst(
            bound,
            tool.loads
                .iter()
                .map(|churn| (figure(churn), churn.load_name.as_str())),
        )
    };
    let worst = worst_of(row);
    Goal {
        subject,
        goal: bound.text(""),
        measured: worst.map_or_else(
            || "-".to_owned(),
            |(spread, load)| format!("{spread:.3} with {load}"),
        ),
        floor: worst_of(Row::Noise).map_or_else(
            || "-".to_owned(),
            |(spread, _)| format!("nothing against nothing {spread:.3}"),
        ),
        met: worst.map(|(spread, _)| bound.holds(spread.median)),
    }
}

fn of_mode(results: &Results, mode: Mode) -> impl Iterator<Item = &Programs> {
    results
        .programs
        .iter()
        .filter(move |programs| programs.mode == mode)
}

fn ns_a_transition(
    results: &Results,
    subject: &'static str,
    mode: Mode,
    most: f64,
    floor: &str,
) -> Goal {
    let bound = Bound::AtMost(most);
    let figures = of_mode(results, mode)
        .map(|programs| (programs.ns_a_transition, programs.load_name.as_str()));
    let worst = worst(bound, figures);
    Goal {
        subject,
        goal: bound.text(" ns"),
        measured: worst.map_or_else(
            || "-".to_owned(),
            |(spread, load)| format!("{spread:.0} ns with {load}"),
        ),
        floor: floor.to_owned(),
        met: worst.map(|(spread, _)| bound.holds(spread.median)),
    }
}

/// The ring has to hold every record in all runs, those of the churn load included.
fn no_loss(results: &Results) -> Goal {
    let churns = results
        .tools
        .iter()
        .filter(|tool| tool.row == Row::TcpwatchTransitions)
        .flat_map(|tool| &tool.loads)
        .map(|churn| (churn.records, churn.records_lost));
    let programs = of_mode(results, Mode::RecordTransitions)
        .map(|programs| (programs.records, programs.records_lost));
    let (records, lost) = churns.chain(programs).fold((0, 0), |sum, (records, lost)| {
        (sum.0 + records, sum.1 + lost)
    });
    Goal {
        subject: "records lost by the rings, all exported",
        goal: "none".to_owned(),
        measured: format!("{lost} of {records}"),
        floor: "-".to_owned(),
        met: (records != 0).then_some(lost == 0),
    }
}

fn figure(subject: &'static str, bound: Bound, unit: &str, value: Option<f64>) -> Goal {
    Goal {
        subject,
        goal: bound.text(unit),
        measured: value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}{unit}")),
        floor: "-".to_owned(),
        met: value.map(|value| bound.holds(value)),
    }
}

fn worst<'a>(
    bound: Bound,
    figures: impl Iterator<Item = (Spread, &'a str)>,
) -> Option<(Spread, &'a str)> {
    figures.reduce(|a, b| {
        if bound.worse(b.0.median, a.0.median) {
            b
        } else {
            a
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_load_decides() {
        let spread = |median| Spread {
            p25: median,
            median,
            p75: median,
        };
        let figures = [(spread(0.99), "a"), (spread(0.97), "b")];
        let least = worst(Bound::AtLeast(0.98), figures.into_iter()).unwrap();
        let most = worst(Bound::AtMost(1.03), figures.into_iter()).unwrap();
        assert_eq!((least.1, most.1), ("b", "a"));
        assert!(!Bound::AtLeast(0.98).holds(least.0.median));
    }
}
