//! Loads the eBPF object and attaches the probes of the plan. A probe that cannot attach is a
//! state with a reason; only an object that makes no maps at all is an error.

use std::time::Duration;

use aya::{
    Btf as AyaBtf, Ebpf, EbpfLoader, Endianness,
    maps::{Array, Map, MapData, RingBuf},
};
use tcpwatch_common::{Meta, handshake::DEFAULT_CAPACITY};

use super::{
    attach::{self, Attached, Runnable, chain},
    btf::{Btf, BtfError},
    maps::Maps,
    offsets, program,
};
use crate::{
    model::{Hook, Probe, Refusal},
    probes::PROBES,
};

/// The eBPF object; aligned, since it is parsed in place.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tcpwatch-ebpf"));

/// How to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Only this network namespace, by inode number; `None` for all.
    pub only_netns: Option<u32>,
    /// Entries of the handshake table.
    pub handshake_capacity: u32,
    /// The kinds of hooks that may be used.
    pub hooks: Vec<Hook>,
    /// Let the programs log through aya-log, at debug level.
    pub log_programs: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            only_netns: None,
            handshake_capacity: DEFAULT_CAPACITY,
            hooks: Hook::ALL.to_vec(),
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
        self.attached.iter().map(probe).collect()
    }
}

fn probe(attached: &Attached) -> Probe {
    let Attached { plan, way, refused } = attached;
    let programs: Vec<_> = way
        .iter()
        .flat_map(|(_, descriptors)| descriptors)
        .filter_map(|descriptor| program::stats(*descriptor).ok())
        .collect();
    // A figure that no program has is unknown.
    let sum = |figure: fn(&program::ProgramStats) -> Option<u64>| {
        programs.iter().filter_map(figure).reduce(|a, b| a + b)
    };
    let first = plan.ways.first().map_or(Hook::Poll, |way| way.hook);
    Probe {
        name: plan.name,
        hook: way.as_ref().map_or(first, |(hook, _)| *hook),
        unavailable: way.is_none().then(|| reasons(refused)),
        refused: refused.clone(),
        feeds: plan.feeds,
        missed: sum(|stats| stats.recursion_misses),
        runs: sum(|stats| stats.runs),
        run_time: sum(|stats| stats.run_time_ns).map(Duration::from_nanos),
    }
}

/// Why none of the ways is in use.
fn reasons(refused: &[Refusal]) -> String {
    match refused {
        [only] => only.reason.clone(),
        several => several
            .iter()
            .map(|Refusal { hook, reason }| format!("{}: {reason}", hook.label()))
            .collect::<Vec<_>>()
            .join("; "),
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
    let runnable: Vec<Runnable> = PROBES
        .iter()
        .map(|plan| attach::runnable(&btf, plan, &missing, &options.hooks))
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
        .map(|(plan, runnable)| attach::row(&mut ebpf, &aya_btf, plan, runnable))
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
    let targets = |hook| -> Vec<&str> {
        PROBES
            .iter()
            .flat_map(|plan| plan.ways)
            .filter(|way| way.hook == hook)
            .flat_map(|way| way.programs)
            .map(|program| program.target)
            .collect()
    };
    let stub = btf.stub(&targets(Hook::Tracepoint), &targets(Hook::Fentry))?;
    let aya_btf = AyaBtf::parse(&stub, Endianness::default())
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
