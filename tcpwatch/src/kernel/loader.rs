//! Loads the eBPF object and attaches the probes of the plan. A probe that cannot attach is a
//! state with a reason; only an object that makes no maps at all is an error.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
    time::Duration,
};

use aya::{
    Btf as AyaBtf, Ebpf, EbpfLoader, Endianness,
    maps::{Array, Map, MapData, RingBuf},
    programs::BtfTracePoint,
};
use tcpwatch_common::{Meta, handshake::DEFAULT_CAPACITY};

use super::{
    btf::{Btf, BtfError},
    maps::Maps,
    offsets::{self, Group},
    program,
};
use crate::{
    model::{Hook, Probe},
    probes::{PROBES, Plan},
};

/// The eBPF object; aligned, since it is parsed in place.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tcpwatch-ebpf"));

/// How to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Only this network namespace, by inode number; `None` for all.
    pub only_netns: Option<u32>,
    /// Entries of the handshake table.
    pub handshake_capacity: u32,
    /// Let the programs log through aya-log, at debug level.
    pub log_programs: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            only_netns: None,
            handshake_capacity: DEFAULT_CAPACITY,
            log_programs: false,
        }
    }
}

/// Why nothing could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The running kernel's types could not be read.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The kernel refused the maps.
    #[error("cannot create the eBPF maps: {0}; run `tcpwatch preflight` to see what is missing")]
    Object(String),
    /// The object lacks what the daemon was built for.
    #[error("the eBPF object has no usable map {0}: build the daemon and the object together")]
    Map(&'static str),
}

/// One probe as it was left by the attach plan.
#[derive(Debug)]
struct Attached {
    plan: &'static Plan,
    outcome: Result<RawFd, String>,
}

/// The loaded object: the programs detach when it is dropped.
pub struct Programs {
    _ebpf: Ebpf,
    attached: Vec<Attached>,
}

/// What loading gives.
pub struct Loaded {
    /// The programs, and how they fare.
    pub programs: Programs,
    /// The maps.
    pub maps: Maps,
    /// The ring of rare records.
    pub events: RingBuf<MapData>,
    /// The ring of transitions.
    pub transitions: RingBuf<MapData>,
    /// The sizes of both rings in bytes, in the order of the counters.
    pub ring_bytes: [u64; 2],
    /// The programs' own log, where it was asked for.
    pub log: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
}

impl Programs {
    /// Every probe of the plan and its state now.
    #[must_use]
    pub fn probes(&self) -> Vec<Probe> {
        self.attached
            .iter()
            .map(|Attached { plan, outcome }| {
                let stats = outcome
                    .as_ref()
                    .ok()
                    .and_then(|fd| program::stats(*fd).ok());
                let stats = stats.unwrap_or_default();
                Probe {
                    name: plan.name,
                    hook: Hook::Tracepoint,
                    unavailable: outcome.as_ref().err().cloned(),
                    feeds: plan.feeds,
                    missed: stats.recursion_misses,
                    runs: stats.runs,
                    run_time: stats.run_time_ns.map(Duration::from_nanos),
                }
            })
            .collect()
    }
}

/// Loads and attaches all that this kernel and this process's privileges allow.
///
/// # Errors
/// When the kernel has no BTF or refuses the maps.
pub fn load(options: &LoadOptions) -> Result<Loaded, LoadError> {
    let (btf, aya_btf) = kernel_types()?;
    let (mut offsets, missing) = offsets::resolve(&btf);
    offsets.only_netns = options.only_netns.unwrap_or(0);
    offsets.kept_free = kept_free(options.handshake_capacity)?;
    let runnable: Vec<Result<(), String>> = PROBES
        .iter()
        .map(|plan| can_run(&btf, plan, &missing))
        .collect();
    drop(btf);

    let log_level = if options.log_programs {
        aya_log::Level::Debug as u8
    } else {
        0
    };
    let mut ebpf = EbpfLoader::new()
        .btf(Some(&aya_btf))
        .override_global("OFFSETS", &offsets, true)
        .override_global(aya_log::LEVEL, &log_level, true)
        .map_max_entries("HANDSHAKES", options.handshake_capacity)
        .load(OBJECT)
        .map_err(|error| LoadError::Object(chain(&error)))?;

    let mut meta: Array<MapData, Meta> = take(&mut ebpf, "META")?;
    meta.set(0, Meta::current(), 0)
        .map_err(|error| LoadError::Object(chain(&error)))?;
    let maps = Maps {
        counters: take(&mut ebpf, "COUNTERS")?,
        handshakes: take(&mut ebpf, "HANDSHAKES")?,
        switches: take(&mut ebpf, "SWITCHES")?,
        handshake_capacity: options.handshake_capacity,
    };
    let (events, events_bytes) = take_ring(&mut ebpf, "EVENTS")?;
    let (transitions, transitions_bytes) = take_ring(&mut ebpf, "TRANSITIONS")?;

    let attached = PROBES
        .iter()
        .zip(runnable)
        .map(|(plan, runnable)| Attached {
            plan,
            outcome: runnable.and_then(|()| attach(&mut ebpf, plan.name, &aya_btf)),
        })
        .collect();
    let log = if options.log_programs {
        aya_log::EbpfLogger::init(&mut ebpf).ok()
    } else {
        None
    };
    Ok(Loaded {
        programs: Programs {
            _ebpf: ebpf,
            attached,
        },
        maps,
        events,
        transitions,
        ring_bytes: [events_bytes, transitions_bytes],
        log,
    })
}

/// How many free entries each CPU may keep: enough to spare a busy one its deletes, and all together
/// never more than a quarter of the table.
fn kept_free(capacity: u32) -> Result<u32, LoadError> {
    const AT_MOST: usize = 128;
    let cpus = aya::util::nr_cpus()
        .map_err(|(what, error)| LoadError::Object(format!("{what}: {error}")))?;
    let share = capacity as usize / 4 / cpus.max(1);
    Ok(share.min(AT_MOST) as u32)
}

/// The kernel's types for our own look-ups, and as little of them as aya needs.
fn kernel_types() -> Result<(Btf, AyaBtf), LoadError> {
    let btf = Btf::running_kernel()?;
    let names: Vec<&str> = PROBES.iter().map(|plan| plan.name).collect();
    let aya_btf = AyaBtf::parse(&btf.stub(&names)?, Endianness::default())
        .map_err(|error| LoadError::Object(chain(&error)))?;
    Ok((btf, aya_btf))
}

fn take<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, LoadError>
where
    M: TryFrom<Map>,
{
    ebpf.take_map(name)
        .and_then(|map| M::try_from(map).ok())
        .ok_or(LoadError::Map(name))
}

fn take_ring(ebpf: &mut Ebpf, name: &'static str) -> Result<(RingBuf<MapData>, u64), LoadError> {
    let map = ebpf.take_map(name).ok_or(LoadError::Map(name))?;
    let bytes = match &map {
        Map::RingBuf(data) => data.info().map_or(0, |info| info.max_entries().into()),
        _ => 0,
    };
    let ring = RingBuf::try_from(map).map_err(|_| LoadError::Map(name))?;
    Ok((ring, bytes))
}

/// Whether the tracepoint exists with the parameters that the program was written for.
fn check_signature(btf: &Btf, plan: &Plan) -> Result<(), String> {
    let prototype = btf
        .tracepoint(plan.name)
        .map_err(|error| error.to_string())?;
    let fits = plan.parameters.len() <= prototype.parameters.len()
        && plan
            .parameters
            .iter()
            .zip(&prototype.parameters)
            .all(|(expected, found)| expected == found);
    if fits {
        return Ok(());
    }
    Err(format!(
        "tracepoint {} has the parameters ({}) here, the program was written for ({})",
        plan.name,
        prototype.parameters.join(", "),
        plan.parameters.join(", "),
    ))
}

/// Whether the kernel has all that the program was written for, or the reason why not.
pub(super) fn can_run(
    btf: &Btf,
    plan: &Plan,
    missing: &BTreeMap<Group, BtfError>,
) -> Result<(), String> {
    check_signature(btf, plan)?;
    match plan.needs.iter().find_map(|group| missing.get(group)) {
        Some(error) => Err(error.to_string()),
        None => Ok(()),
    }
}

fn attach(ebpf: &mut Ebpf, name: &'static str, btf: &AyaBtf) -> Result<RawFd, String> {
    let program: &mut BtfTracePoint = ebpf
        .program_mut(name)
        .ok_or_else(|| format!("the eBPF object has no program {name}"))?
        .try_into()
        .map_err(|error| chain(&error))?;
    program.load(name, btf).map_err(|error| {
        // What the verifier said is for those who work on the programs; one line is for all.
        tracing::debug!(probe = name, ?error, "the kernel refused to load a program");
        format!("the kernel refused to load it: {}", chain(&error))
    })?;
    program
        .attach()
        .map_err(|error| format!("the kernel refused to attach it: {}", chain(&error)))?;
    program
        .fd()
        .map(|fd| fd.as_fd().as_raw_fd())
        .map_err(|error| chain(&error))
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
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
