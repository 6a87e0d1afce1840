//! Whether this host can run the agent: what is there, what is missing, and what is lost with it.
//! It only looks; nothing is loaded or changed.

use std::fmt;

use super::{
    attach::{self, Runnable},
    btf::Btf,
    capabilities::{self, CapabilitySet},
    netns::{self, EntryPermission},
};
use crate::{
    model::Hook,
    probes::{PROBES, Plan},
};

/// The first kernel with ring buffers and bpf_skc_to_tcp_sock.
const OLDEST: (u32, u32) = (5, 8);
/// The first kernel that accounts eBPF memory to cgroups instead of RLIMIT_MEMLOCK.
const NO_MEMLOCK: (u32, u32) = (5, 11);

/// How one check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Good(String),
    /// The agent runs, but not with all facts: what is lost, and what to do.
    Lost(String),
    /// The agent cannot run: why, and what to do.
    Fatal(String),
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub subject: &'static str,
    /// How it ended.
    pub verdict: Verdict,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, text) = match &self.verdict {
            Verdict::Good(text) => ("ok  ", text),
            Verdict::Lost(text) => ("lost", text),
            Verdict::Fatal(text) => ("FAIL", text),
        };
        write!(f, "{mark}  {:<12}  {text}", self.subject)
    }
}

/// Every check.
#[must_use]
pub fn report() -> Vec<Check> {
    let mut checks = essentials();
    checks.extend(types());
    checks
}

/// The checks that cost nothing; the loader makes the others itself.
#[must_use]
pub fn essentials() -> Vec<Check> {
    let release = kernel_release();
    let version = parse_release(&release);
    let mut checks = vec![
        Check {
            subject: "kernel",
            verdict: kernel(&release, version),
        },
        Check {
            subject: "privilege",
            verdict: privilege(),
        },
        Check {
            subject: "namespaces",
            verdict: namespaces(),
        },
    ];
    if version.is_some_and(|version| version < NO_MEMLOCK) {
        checks.push(Check {
            subject: "memlock",
            verdict: memlock(),
        });
    }
    checks
}

/// BTF, and what each probe finds in it.
fn types() -> Vec<Check> {
    let btf = match Btf::running_kernel() {
        Ok(btf) => btf,
        Err(error) => {
            return vec![Check {
                subject: "BTF",
                verdict: Verdict::Fatal(error.to_string()),
            }];
        }
    };
    let readable = Check {
        subject: "BTF",
        verdict: Verdict::Good("/sys/kernel/btf/vmlinux is readable".into()),
    };
    let (_, missing) = super::offsets::resolve(&btf);
    let probes = PROBES.iter().map(|plan| Check {
        subject: "probe",
        verdict: probe(plan, attach::runnable(&btf, plan, &missing, &Hook::ALL)),
    });
    std::iter::once(readable).chain(probes).collect()
}

/// What a row of the plan has left. That a function is there does not say that it can be hooked
/// (lockdown, a function that is inlined): the daemon tries, and its status tells.
fn probe(plan: &Plan, runnable: Runnable) -> Verdict {
    let mut ways = Vec::new();
    let mut refused = Vec::new();
    for (way, runnable) in plan.ways.iter().zip(runnable) {
        match runnable {
            Ok(()) => ways.push(way.hook.label()),
            Err(reason) if plan.ways.len() == 1 => refused.push(reason),
            Err(reason) => refused.push(format!("{}: {reason}", way.hook.label())),
        }
    }
    let name = plan.name;
    let (ways, reasons) = (ways.join(", else by "), refused.join("; "));
    match (ways.is_empty(), refused.is_empty()) {
        (true, _) => Verdict::Lost(format!("{name}: {reasons}; without it: no {}", plan.feeds)),
        (false, false) if ways == Hook::Poll.label() => Verdict::Lost(format!(
            "{name} by {ways}, which tells only sums; not by {reasons}"
        )),
        (false, true) => Verdict::Good(format!("{name} by {ways}")),
        (false, false) => Verdict::Good(format!("{name} by {ways}; not by {reasons}")),
    }
}

/// The running kernel's release, as `uname -r` prints it.
#[must_use]
pub fn kernel_release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn kernel(release: &str, version: Option<(u32, u32)>) -> Verdict {
    match version {
        Some(version) if version < OLDEST => Verdict::Fatal(format!(
            "{release} is too old: tcpwatch needs Linux {}.{} or later (eBPF ring buffers)",
            OLDEST.0, OLDEST.1
        )),
        _ => Verdict::Good(release.to_owned()),
    }
}

fn privilege() -> Verdict {
    let held = match capabilities::effective() {
        Ok(held) => held,
        Err(error) => return Verdict::Fatal(error.to_string()),
    };
    let needed = CapabilitySet::BPF | CapabilitySet::PERFMON;
    if held.contains(CapabilitySet::SYS_ADMIN) || held.contains(needed) {
        return Verdict::Good("may load eBPF programs".into());
    }
    Verdict::Fatal(format!(
        "no permission to load eBPF programs: missing {}; run as root (sudo) or grant them",
        capabilities::names(needed - held).join(" and ")
    ))
}

fn memlock() -> Verdict {
    use rustix::process::{Resource, Rlimit, getrlimit};
    let privileged =
        capabilities::effective().is_ok_and(|held| held.contains(CapabilitySet::SYS_RESOURCE));
    if privileged
        || getrlimit(Resource::Memlock)
            == (Rlimit {
                current: None,
                maximum: None,
            })
    {
        return Verdict::Good("locked memory is not limited".into());
    }
    Verdict::Fatal(
        "before 5.11 eBPF maps count as locked memory: set LimitMEMLOCK=infinity (ulimit -l unlimited) or grant CAP_SYS_RESOURCE".into(),
    )
}

fn namespaces() -> Verdict {
    match netns::entry_permission() {
        EntryPermission::All => Verdict::Good("every network namespace can be entered".into()),
        EntryPermission::NamedOnly { reason } | EntryPermission::OwnOnly { reason } => {
            Verdict::Lost(reason)
        }
    }
}

/// Lifts RLIMIT_MEMLOCK where it is allowed; from 5.11 on nothing depends on it.
pub fn raise_memlock() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let _ = setrlimit(
        Resource::Memlock,
        Rlimit {
            current: None,
            maximum: None,
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_and_old_ones_refused() {
        let check = |release: &str, expected| assert_eq!(parse_release(release), expected);
        check("6.1.0-44-cloud-amd64", Some((6, 1)));
        check("5.4.0", Some((5, 4)));
        check("7.2-rc1", Some((7, 2)));
        check("unknown", None);
        assert!(matches!(kernel("5.4.0", Some((5, 4))), Verdict::Fatal(_)));
        assert!(matches!(kernel("5.8.0", Some((5, 8))), Verdict::Good(_)));
    }
}
