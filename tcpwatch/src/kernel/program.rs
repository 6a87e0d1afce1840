//! What the kernel tells of a loaded program, read from /proc/self/fdinfo: no privilege, no unsafe,
//! and fields that aya's program info lacks.

use std::os::fd::RawFd;

/// Figures of one program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramStats {
    /// Events not shown because the program would have interrupted itself; `None` before 5.12.
    pub recursion_misses: Option<u64>,
    /// Runs, counted only while kernel.bpf_stats_enabled is 1; `None` while there are none, since
    /// the kernel's 0 does not say whether it counts.
    pub runs: Option<u64>,
    /// Nanoseconds in those runs; `None` as for `runs`.
    pub run_time_ns: Option<u64>,
}

/// Reads the figures of the program behind `fd`, a descriptor of this process.
///
/// # Errors
/// What reading /proc/self/fdinfo gave.
pub fn stats(fd: RawFd) -> std::io::Result<ProgramStats> {
    std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).map(|text| parse(&text))
}

fn parse(text: &str) -> ProgramStats {
    let number = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .and_then(|value| value.trim().parse().ok())
    };
    let runs = number("run_cnt").filter(|runs| *runs != 0);
    ProgramStats {
        recursion_misses: number("recursion_misses"),
        runs,
        run_time_ns: runs.and_then(|_| number("run_time_ns")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_from_their_lines_and_absent_ones_are_unknown() {
        let text = "pos:\t0\nprog_type:\t26\nrun_time_ns:\t70\nrun_cnt:\t2\nrecursion_misses:\t3\n";
        assert_eq!(
            parse(text),
            ProgramStats {
                recursion_misses: Some(3),
                runs: Some(2),
                run_time_ns: Some(70)
            }
        );
        assert_eq!(parse("pos:\t0\n"), ProgramStats::default());
    }

    #[test]
    fn no_runs_are_unknown_since_the_kernel_may_not_count_them() {
        let text = "run_time_ns:\t0\nrun_cnt:\t0\nrecursion_misses:\t0\n";
        assert_eq!(
            parse(text),
            ProgramStats {
                recursion_misses: Some(0),
                ..ProgramStats::default()
            }
        );
    }
}
