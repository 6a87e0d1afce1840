//! The daemon: binds, loads, gives up privileges, and then runs the one task that owns the store
//! beside one server a listener. It alone knows every part.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tcpwatch_common::counters::Ring;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::MissedTickBehavior,
};

use crate::{
    api,
    feed::{Ask, Detail, Feed},
    kernel::{
        capabilities::{self, CapabilitySet},
        cgroup::Cgroups,
        clock,
        loader::{self, LoadOptions, Loaded, Programs},
        look,
        maps::Maps,
        netns::{self, EntryPermission, NamespaceThread},
        netstat, own_process,
        preflight::{self, Verdict},
        ring::RingReader,
    },
    listen::{self, Bound, Listen, SocketFile},
    model::{Agent, Attempt, Event, Hook, Observation, Probe, QueueCounts, Snapshot, Sockets},
    probes,
    store::Store,
};

/// Records below the rings' wake-up threshold wait for this timer.
const DRAIN_EVERY: Duration = Duration::from_millis(100);
/// Sockets that no program saw start are looked for again this often while there are any.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The kernel's own counters are read this often where no hook attached.
const POLL_EVERY: Duration = Duration::from_secs(5);
/// How long connections may take to finish when the daemon stops.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// Requests for a snapshot that may wait for the store task.
const WAITING_ASKS: usize = 64;

/// What the command line decides.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// Only this network namespace: its name, `host`, or its inode number.
    pub netns: Option<String>,
    /// A connection in SYN_SENT is stalled when it is older than this.
    pub stall_after: Duration,
    /// Entries of the handshake table.
    pub handshake_capacity: u32,
    /// The kinds of hooks that may be used.
    pub hooks: Vec<Hook>,
    /// Read every transition from the programs.
    pub record_transitions: bool,
    /// Let the programs log.
    pub log_programs: bool,
}

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
/// When the host cannot run it, a listener cannot be bound, or nothing can be loaded.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let began = Instant::now();
    let started_ns = clock::monotonic_ns();
    let mut degraded = may_run()?;
    let bound: Vec<Bound> = options
        .listen
        .iter()
        .map(listen::bind)
        .collect::<Result<_, _>>()?;
    preflight::raise_memlock();
    let only_netns = options.netns.as_deref().map(find_netns).transpose()?;
    let mut loaded = loader::load(&LoadOptions {
        only_netns,
        handshake_capacity: options.handshake_capacity,
        hooks: options.hooks.clone(),
        log_programs: options.log_programs,
    })?;
    loaded
        .maps
        .export_transitions(options.record_transitions)
        .context("cannot switch the export of transitions")?;
    let attach_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let (up, down): (Vec<_>, Vec<_>) = loaded
        .programs
        .probes()
        .into_iter()
        .partition(|probe| probe.unavailable.is_none());
    degraded.extend(down.iter().map(|probe| {
        let reason = probe.unavailable.as_deref().unwrap_or("it is not attached");
        format!(
            "probe {} is not up: {reason}; without it: no {}",
            probe.name, probe.feeds
        )
    }));
    degraded.extend(
        up.iter()
            .filter(|probe| probe.hook == Hook::Poll)
            .map(polled),
    );
    let netns_thread = separate_privileges()?;
    let listening: Vec<String> = options.listen.iter().map(ToString::to_string).collect();
    tracing::info!(
        attach_ms = attach_ns / 1_000_000,
        "tcpwatch {} listens on {}; {} of {} probes are up: {}",
        env!("CARGO_PKG_VERSION"),
        listening.join(", "),
        up.len(),
        up.len() + down.len(),
        up.iter()
            .map(|probe| format!("{} by {}", probe.name, probe.hook.label()))
            .collect::<Vec<_>>()
            .join(", "),
    );
    for reason in &degraded {
        tracing::warn!("{reason}");
    }
    let agent = Agent {
        version: env!("CARGO_PKG_VERSION"),
        revision: env!("TCPWATCH_REVISION"),
        kernel: preflight::kernel_release(),
        started_ns,
        attach_ns,
        listening,
        only_netns,
        degraded,
        process: own_process::stats(None),
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(serve(options, agent, loaded, netns_thread, bound))
}

/// What is lost with a probe that polls.
fn polled(probe: &Probe) -> String {
    let reasons: Vec<_> = probe
        .refused
        .iter()
        .map(|refusal| format!("{}: {}", refusal.hook.label(), refusal.reason))
        .collect();
    format!(
        "probe {} reads the kernel's counters every {} s, which tell only sums: not by {}",
        probe.name,
        POLL_EVERY.as_secs(),
        reasons.join("; ")
    )
}

/// What is lost on this host, or the one line why the agent cannot run at all.
fn may_run() -> anyhow::Result<Vec<String>> {
    let mut degraded = Vec::new();
    for check in preflight::essentials() {
        match check.verdict {
            Verdict::Good(_) => {}
            Verdict::Lost(text) => degraded.push(text),
            Verdict::Fatal(text) => bail!("{text}"),
        }
    }
    Ok(degraded)
}

fn find_netns(wanted: &str) -> anyhow::Result<u32> {
    let found = netns::discover().context("cannot find the network namespaces")?;
    found
        .list
        .iter()
        .find(|namespace| {
            namespace.name.as_deref() == Some(wanted) || namespace.inode.to_string() == wanted
        })
        .map(|namespace| namespace.inode)
        .with_context(|| {
            format!("--netns {wanted}: no such network namespace; use host, a name from `ip netns` or an inode number of a namespace that a process is in")
        })
}

/// Leaves each thread with what it needs: entering namespaces stays with one thread, the rest keeps
/// what reading the maps takes.
fn separate_privileges() -> anyhow::Result<NamespaceThread> {
    let entry = netns::entry_permission();
    let thread = NamespaceThread::spawn()?;
    let keep = match entry {
        EntryPermission::OwnOnly { .. } => CapabilitySet::empty(),
        _ => CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_PTRACE,
    };
    thread.blocking_run_in(netns::Target::Own, move || capabilities::keep_only(keep))??;
    // Before 6.0 reading a map takes CAP_BPF, or CAP_SYS_ADMIN where it stands for it.
    let held = capabilities::effective()?;
    let maps = if held.contains(CapabilitySet::BPF) {
        CapabilitySet::BPF
    } else {
        CapabilitySet::SYS_ADMIN
    };
    capabilities::keep_only(maps)?;
    Ok(thread)
}

async fn serve(
    options: &Options,
    agent: Agent,
    loaded: Loaded,
    netns_thread: NamespaceThread,
    bound: Vec<Bound>,
) -> anyhow::Result<()> {
    let (feed, asks) = Feed::new(WAITING_ASKS);
    let (stop, stopping) = watch::channel(false);
    let mut servers = JoinSet::new();
    let mut files: Vec<SocketFile> = Vec::new();
    for (bound, listen) in bound.into_iter().zip(&options.listen) {
        let router = api::router(feed.clone(), listen.routes);
        let stopped = wait_for_stop(stopping.clone());
        match bound {
            Bound::Tcp(listener) => {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let server = axum::serve(listener, router).with_graceful_shutdown(stopped);
                servers.spawn(server.into_future());
            }
            Bound::Unix(listener, file) => {
                files.push(file);
                let listener = tokio::net::UnixListener::from_std(listener)?;
                let server = axum::serve(listener, router).with_graceful_shutdown(stopped);
                servers.spawn(server.into_future());
            }
        }
    }
    drop(feed);
    let mut collector = Collector::new(options, agent, loaded, netns_thread)?;
    let ended = tokio::select! {
        ended = collector.run(asks) => ended,
        signal = stop_signal() => signal,
    };
    tracing::info!("stopping");
    let _ = stop.send(true);
    drop(collector);
    let finish = async { while servers.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_WITHIN, finish).await.is_err() {
        tracing::debug!("connections were still open");
    }
    drop(files);
    ended
}

async fn wait_for_stop(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// A look that is under way, and who waits for it.
type Looking = oneshot::Receiver<Result<Sockets, look::LookError>>;

/// A poll that is under way.
type Polling = oneshot::Receiver<Result<BTreeMap<u32, Option<QueueCounts>>, look::LookError>>;

/// The one task that owns the store, the rings and the maps.
struct Collector {
    agent: Agent,
    programs: Programs,
    maps: Maps,
    events: RingReader,
    transitions: RingReader,
    netns_thread: NamespaceThread,
    cgroups: Cgroups,
    store: Store,
}

impl Collector {
    fn new(
        options: &Options,
        agent: Agent,
        loaded: Loaded,
        netns_thread: NamespaceThread,
    ) -> anyhow::Result<Self> {
        if let Some(log) = loaded.log {
            tokio::spawn(crate::kernel::program_log::forward(log));
        }
        Ok(Self {
            store: Store::new(agent.started_ns, options.stall_after, loaded.ring_bytes),
            agent,
            programs: loaded.programs,
            maps: loaded.maps,
            events: RingReader::new(loaded.events)?,
            transitions: RingReader::new(loaded.transitions)?,
            netns_thread,
            cgroups: Cgroups::new(),
        })
    }

    async fn run(&mut self, mut asks: mpsc::Receiver<Ask>) -> anyhow::Result<()> {
        let mut drain = tokio::time::interval(DRAIN_EVERY);
        drain.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut look_again = tokio::time::interval(LOOK_AGAIN);
        look_again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut poll = tokio::time::interval(POLL_EVERY);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let polls = self
            .programs
            .probes()
            .iter()
            .any(|probe| probe.hook == Hook::Poll && probe.unavailable.is_none());
        let mut polling: Option<Polling> = None;
        if polls {
            // Where the counters stand when the agent becomes ready.
            let mut first = Some(self.poll());
            let counts = finished(&mut first).await;
            self.take_poll(counts);
            poll.reset();
        }
        // What was in SYN_SENT before the agent came is found by the first look.
        let mut looking: Option<Looking> = Some(self.look());
        let mut waiting: Vec<oneshot::Sender<Arc<Snapshot>>> = Vec::new();
        let mut next: Vec<oneshot::Sender<Arc<Snapshot>>> = Vec::new();
        loop {
            tokio::select! {
                woken = self.events.woken() => { woken?; self.drain(); }
                woken = self.transitions.woken() => { woken?; self.drain(); }
                _ = drain.tick() => self.drain(),
                _ = look_again.tick() => {
                    let attempts = self.attempts()?;
                    if looking.is_none() && self.store.wants_another_look(&attempts) {
                        looking = Some(self.look());
                    }
                }
                _ = poll.tick(), if polls && polling.is_none() => polling = Some(self.poll()),
                counts = finished(&mut polling) => {
                    polling = None;
                    self.take_poll(counts);
                }
                Some(ask) = asks.recv() => match ask.detail {
                    Detail::Counts => {
                        let snapshot = self.snapshot(None)?;
                        let _ = ask.reply.send(snapshot);
                    }
                    // A look that began before the question was asked would answer an earlier one.
                    Detail::Connections if looking.is_some() => next.push(ask.reply),
                    Detail::Connections => {
                        waiting.push(ask.reply);
                        looking = Some(self.look());
                    }
                },
                looked = finished(&mut looking) => {
                    looking = None;
                    let snapshot = self.snapshot(sockets(looked))?;
                    for reply in waiting.drain(..) {
                        let _ = reply.send(snapshot.clone());
                    }
                    if !next.is_empty() {
                        waiting.append(&mut next);
                        looking = Some(self.look());
                    }
                }
            }
        }
    }

    fn look(&self) -> Looking {
        let (reply, answer) = oneshot::channel();
        let thread = self.netns_thread.clone();
        let only = self.agent.only_netns;
        tokio::spawn(async move {
            let _ = reply.send(look::syn_sent(&thread, only).await);
        });
        answer
    }

    fn poll(&self) -> Polling {
        let (reply, answer) = oneshot::channel();
        let thread = self.netns_thread.clone();
        let only = self.agent.only_netns;
        tokio::spawn(async move {
            let _ = reply.send(netstat::queues(&thread, only).await);
        });
        answer
    }

    fn take_poll(&mut self, counts: Result<BTreeMap<u32, Option<QueueCounts>>, look::LookError>) {
        match counts {
            Ok(counts) => self.store.polled(counts),
            Err(error) => tracing::warn!(%error, "the kernel's counters are not polled"),
        }
    }

    /// Takes what waits in both rings into the store.
    fn drain(&mut self) {
        let Self {
            store,
            cgroups,
            events,
            transitions,
            ..
        } = self;
        let mut take = |ring: Ring, bytes: &[u8]| match probes::decode(bytes) {
            Some(mut event) => {
                if let Event::ConnectEnded(ended) = &mut event {
                    name_cgroup(cgroups, &mut ended.attempt);
                }
                store.apply(event);
            }
            None => store.undecodable(ring),
        };
        while events.drain(|bytes| take(Ring::Events, bytes)) {}
        // A flood of transitions must not keep requests waiting: the rest stays for the next turn.
        transitions.drain(|bytes| take(Ring::Transitions, bytes));
    }

    fn attempts(&mut self) -> anyhow::Result<Vec<Attempt>> {
        let entries = self
            .maps
            .handshakes()
            .context("cannot read the handshake table")?;
        Ok(entries
            .iter()
            .filter_map(|(_, handshake)| {
                let mut attempt = probes::connect::attempt(handshake)?;
                name_cgroup(&mut self.cgroups, &mut attempt);
                Some(attempt)
            })
            .collect())
    }

    fn snapshot(&mut self, sockets: Option<Sockets>) -> anyhow::Result<Arc<Snapshot>> {
        // The counters first: what they say has ended is gone from the table that is read after them.
        let counters = self.maps.counters().context("cannot read the counters")?;
        self.drain();
        let attempts = self.attempts()?;
        self.agent.process = own_process::stats(self.agent.process.started);
        let observation = Observation {
            taken_ns: clock::monotonic_ns(),
            clock: clock::wall_clock(),
            agent: self.agent.clone(),
            counters,
            attempts,
            attempts_capacity: self.maps.handshake_capacity(),
            probes: self.programs.probes(),
            sockets,
        };
        Ok(Arc::new(self.store.snapshot(observation)))
    }
}

/// Waits for what is under way; for ever where nothing is.
async fn finished<T>(
    under_way: &mut Option<oneshot::Receiver<Result<T, look::LookError>>>,
) -> Result<T, look::LookError> {
    match under_way {
        Some(answer) => match answer.await {
            Ok(looked) => looked,
            Err(_) => Err(netns::NetnsError::Ended.into()),
        },
        None => std::future::pending().await,
    }
}

fn sockets(looked: Result<Sockets, look::LookError>) -> Option<Sockets> {
    looked
        .inspect_err(|error| tracing::warn!(%error, "sockets are not listed, the table is"))
        .ok()
}

fn name_cgroup(cgroups: &mut Cgroups, attempt: &mut Attempt) {
    if let (Some(process), Some(id)) = (&mut attempt.process, attempt.cgroup_id) {
        process.cgroup = cgroups.path(id);
    }
}
