//! Carries the attach plan out: of each fact's ways the first whose programs all attach, and why the
//! earlier ones did not. What the plan is, is [`crate::probes`]' business.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
};

use aya::{
    Btf as AyaBtf, Ebpf,
    programs::{Program as AyaProgram, ProgramError},
};

use super::{
    btf::{Btf, BtfError},
    offsets::Group,
};
use crate::{
    model::{Hook, Refusal},
    probes::{Plan, Program, Way},
};

/// Where the kernel shows that it has kprobes, for perf_event_open().
const KPROBES: &str = "/sys/bus/event_source/devices/kprobe/type";

/// One row of the plan as it was left.
#[derive(Debug)]
pub struct Attached {
    pub plan: &'static Plan,
    /// The way in use with the descriptors of its programs.
    pub way: Option<(Hook, Vec<RawFd>)>,
    /// Why not the ways before it, or all of them.
    pub refused: Vec<Refusal>,
}

/// For each way of a row whether the kernel has all that its programs were written for.
pub type Runnable = Vec<Result<(), String>>;

/// What is known of a row before anything is loaded.
pub fn runnable(
    btf: &Btf,
    plan: &Plan,
    missing: &BTreeMap<Group, BtfError>,
    hooks: &[Hook],
) -> Runnable {
    plan.ways
        .iter()
        .map(|way| {
            if hooks.contains(&way.hook) {
                can_run(btf, way, missing)
            } else {
                Err("left out by --hooks".to_owned())
            }
        })
        .collect()
}

fn can_run(btf: &Btf, way: &Way, missing: &BTreeMap<Group, BtfError>) -> Result<(), String> {
    for program in way.programs {
        check_signature(btf, way.hook, program)?;
        if let Some(error) = program.needs.iter().find_map(|group| missing.get(group)) {
            return Err(error.to_string());
        }
    }
    if way.hook == Hook::Kprobe && !std::path::Path::new(KPROBES).exists() {
        return Err(format!("this kernel has no kprobes ({KPROBES} is missing)"));
    }
    Ok(())
}

/// Whether the target exists with the parameters that the program was written for.
fn check_signature(btf: &Btf, hook: Hook, program: &Program) -> Result<(), String> {
    let (kind, prototype) = match hook {
        Hook::Tracepoint => ("tracepoint", btf.tracepoint(program.target)),
        _ => ("function", btf.function(program.target)),
    };
    let found = prototype.map_err(|error| error.to_string())?.parameters;
    let fits = program.parameters.len() <= found.len()
        && program.parameters.iter().zip(&found).all(|(a, b)| a == b);
    if fits {
        return Ok(());
    }
    Err(format!(
        "{kind} {} has the parameters ({}) here, the program was written for ({})",
        program.target,
        found.join(", "),
        program.parameters.join(", "),
    ))
}

/// Tries the ways of a row in their order.
pub fn row(ebpf: &mut Ebpf, btf: &AyaBtf, plan: &'static Plan, runnable: Runnable) -> Attached {
    let mut refused = Vec::new();
    for (way, runnable) in plan.ways.iter().zip(runnable) {
        match runnable.and_then(|()| attach_all(ebpf, btf, way)) {
            Ok(programs) => {
                return Attached {
                    plan,
                    way: Some((way.hook, programs)),
                    refused,
                };
            }
            Err(reason) => refused.push(Refusal {
                hook: way.hook,
                reason,
            }),
        }
    }
    Attached {
        plan,
        way: None,
        refused,
    }
}

/// All programs of a way, or none.
fn attach_all(ebpf: &mut Ebpf, btf: &AyaBtf, way: &Way) -> Result<Vec<RawFd>, String> {
    let mut descriptors = Vec::new();
    for program in way.programs {
        match attach(ebpf, btf, program) {
            Ok(descriptor) => descriptors.push(descriptor),
            Err(reason) => {
                for program in way.programs {
                    unload(ebpf, program.name);
                }
                return Err(format!("{}: {reason}", program.target));
            }
        }
    }
    Ok(descriptors)
}

fn attach(ebpf: &mut Ebpf, btf: &AyaBtf, plan: &Program) -> Result<RawFd, String> {
    let program = ebpf
        .program_mut(plan.name)
        .ok_or_else(|| format!("the eBPF object has no program {}", plan.name))?;
    let target = plan.target;
    let loaded = match program {
        AyaProgram::BtfTracePoint(program) => program.load(target, btf),
        AyaProgram::FEntry(program) => program.load(target, btf),
        AyaProgram::FExit(program) => program.load(target, btf),
        AyaProgram::KProbe(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    loaded.map_err(|error| {
        // What the verifier said is for those who work on the programs; one line is for all.
        tracing::debug!(
            probe = plan.name,
            ?error,
            "the kernel refused to load a program"
        );
        format!("the kernel refused to load it: {}", chain(&error))
    })?;
    let attached = match program {
        AyaProgram::BtfTracePoint(program) => program.attach().map(drop),
        AyaProgram::FEntry(program) => program.attach().map(drop),
        AyaProgram::FExit(program) => program.attach().map(drop),
        AyaProgram::KProbe(program) => program.attach(target, 0).map(drop),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    attached.map_err(|error| format!("the kernel refused to attach it: {}", chain(&error)))?;
    program
        .fd()
        .map(|fd| fd.as_fd().as_raw_fd())
        .map_err(|error| chain(&error))
}

/// Takes a program away again; one that was not loaded is left as it is.
fn unload(ebpf: &mut Ebpf, name: &str) {
    let _ = match ebpf.program_mut(name) {
        Some(AyaProgram::FEntry(program)) => program.unload(),
        Some(AyaProgram::FExit(program)) => program.unload(),
        Some(AyaProgram::KProbe(program)) => program.unload(),
        Some(AyaProgram::BtfTracePoint(program)) => program.unload(),
        _ => Ok(()),
    };
}

/// An error and its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    // The verifier's log can be long; its last line says what it refused.
    match text.split_once('\n') {
        Some((first, rest)) => {
            let last = rest
                .lines()
                .rev()
                .find(|line| !line.trim().is_empty())
                .unwrap_or("");
            format!("{first} ... {last}")
        }
        None => text,
    }
}
