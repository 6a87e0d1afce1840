//! The per-CPU counters: one map entry that a scrape reads with one system call.
//!
//! Every program adds to its own part only. Counts are exact and never pass through a ring.

use crate::{flow::Family, histogram::CONNECT_BUCKETS, outcome::OUTCOMES, tcp_state::TcpState};

/// Slots for a state in a table: the kernel's numbers are 1 to 12.
pub const STATE_SLOTS: usize = 16;
/// Slots of [`Counters::transitions`].
pub const TRANSITION_SLOTS: usize = STATE_SLOTS * STATE_SLOTS * 2;

/// The connect latencies of one outcome.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Attempts per bucket, not cumulated.
    pub buckets: [u64; CONNECT_BUCKETS],
    /// The sum of the latencies in nanoseconds.
    pub sum_ns: u64,
}

/// Everything that is counted, one copy a CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// By [`transition_slot`].
    pub transitions: [u64; TRANSITION_SLOTS],
    /// Connect attempts by [`outcome_slot`].
    pub connects: [u64; OUTCOMES * 2],
    /// Connect latencies by outcome.
    pub connect_latency: [Latency; OUTCOMES],
    /// First SYN retransmits, by family.
    pub syn_stalls: [u64; 2],
    /// SYN retransmits that were sent, by family.
    pub syn_retransmits: [u64; 2],
    /// SYN-ACK retransmits, by family.
    pub synack_retransmits: [u64; 2],
    /// Retransmits that the IP layer refused, by family (kernels whose tracepoint shows them).
    pub retransmit_failures: [u64; 2],
    /// Accepted RSTs by the state they hit and family: `state * 2 + family`.
    pub resets_received: [u64; STATE_SLOTS * 2],
    /// SYNs and final ACKs that found the accept queue full, by [`overflow_slot`].
    pub accept_queue_overflows: [u64; STAGES * 2],
    /// SYNs dropped for want of room in the SYN queue, by [`syn_drop_slot`].
    pub syn_queue_drops: [u64; SYN_DROPS * 2],
    /// SYN-ACKs that carry a SYN cookie, by family of the listener.
    pub syn_cookies_sent: [u64; 2],
    /// Ring records by ring.
    pub events: [u64; RINGS],
    /// Ring records that found their ring full, by ring.
    pub events_lost: [u64; RINGS],
    /// Handshakes that found their table full.
    pub handshakes_full: u64,
    /// Handshakes whose end was not seen (a recursion miss) and that went with their socket.
    pub handshakes_unended: u64,
    /// Sockets that left SYN_SENT without an entry: from before the agent, or after a full table.
    pub handshakes_unknown: u64,
    /// Entries of the handshake table that are kept free; wraps below zero on a single CPU.
    pub handshakes_kept_free: u64,
}

/// How many stages there are.
pub const STAGES: usize = 2;

/// Which segment found the accept queue full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stage {
    /// The SYN.
    Syn = 0,
    /// The ACK that would have ended the handshake, that of a SYN cookie included.
    Ack = 1,
}

impl Stage {
    /// Both stages.
    pub const ALL: [Self; STAGES] = [Self::Syn, Self::Ack];

    /// The name in labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::Ack => "ack",
        }
    }
}

/// How many causes to drop a SYN there are.
pub const SYN_DROPS: usize = 2;

/// Why the SYN queue took a SYN no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SynDrop {
    /// As many request sockets as the listener's backlog, and no SYN cookies.
    QueueFull = 0,
    /// Without SYN cookies the last quarter of tcp_max_syn_backlog is kept for proven peers.
    LastQuarter = 1,
}

impl SynDrop {
    /// Both causes.
    pub const ALL: [Self; SYN_DROPS] = [Self::QueueFull, Self::LastQuarter];

    /// The name in labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::LastQuarter => "last_quarter",
        }
    }
}

/// How many rings there are.
pub const RINGS: usize = 2;

/// The rings: two, so that a flood of transitions cannot starve the rare records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ring {
    /// Failures, stalls and other rare records.
    Events = 0,
    /// Every state transition, while somebody wants them.
    Transitions = 1,
}

impl Ring {
    /// Both rings.
    pub const ALL: [Self; RINGS] = [Self::Events, Self::Transitions];

    /// The name in labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Transitions => "transitions",
        }
    }
}

/// The slot of a transition; `from` and `to` are the kernel's numbers.
#[must_use]
#[inline(always)]
pub const fn transition_slot(from: u8, to: u8, family: Family) -> usize {
    // The mask is what bounds the index for the verifier; it changes no valid number.
    ((from as usize & 15) * STATE_SLOTS + (to as usize & 15)) * 2 + (family as usize & 1)
}

/// The slot of an outcome.
#[must_use]
#[inline(always)]
pub const fn outcome_slot(outcome: u8, family: Family) -> usize {
    outcome as usize * 2 + (family as usize & 1)
}

/// The slot of a state and family.
#[must_use]
#[inline(always)]
pub const fn state_slot(state: u8, family: Family) -> usize {
    (state as usize & 15) * 2 + (family as usize & 1)
}

/// The slot of a stage and family.
#[must_use]
#[inline(always)]
pub const fn overflow_slot(stage: Stage, family: Family) -> usize {
    stage as usize * 2 + (family as usize & 1)
}

/// The slot of a cause and family.
#[must_use]
#[inline(always)]
pub const fn syn_drop_slot(cause: SynDrop, family: Family) -> usize {
    cause as usize * 2 + (family as usize & 1)
}

impl Counters {
    /// All zero.
    pub const ZERO: Self = Self {
        transitions: [0; TRANSITION_SLOTS],
        connects: [0; OUTCOMES * 2],
        connect_latency: [Latency {
            buckets: [0; CONNECT_BUCKETS],
            sum_ns: 0,
        }; OUTCOMES],
        syn_stalls: [0; 2],
        syn_retransmits: [0; 2],
        synack_retransmits: [0; 2],
        retransmit_failures: [0; 2],
        resets_received: [0; STATE_SLOTS * 2],
        accept_queue_overflows: [0; STAGES * 2],
        syn_queue_drops: [0; SYN_DROPS * 2],
        syn_cookies_sent: [0; 2],
        events: [0; RINGS],
        events_lost: [0; RINGS],
        handshakes_full: 0,
        handshakes_unended: 0,
        handshakes_unknown: 0,
        handshakes_kept_free: 0,
    };

    /// How often sockets of `family` went from one state to another.
    #[must_use]
    pub fn transition(&self, from: TcpState, to: TcpState, family: Family) -> u64 {
        self.transitions[transition_slot(from.raw(), to.raw(), family)]
    }

    /// Adds another CPU's counters, cell by cell.
    pub fn add(&mut self, other: &Self) {
        fn sum(into: &mut [u64], from: &[u64]) {
            for (a, b) in into.iter_mut().zip(from) {
                *a = a.wrapping_add(*b);
            }
        }
        let Self {
            transitions,
            connects,
            connect_latency,
            syn_stalls,
            syn_retransmits,
            synack_retransmits,
            retransmit_failures,
            resets_received,
            accept_queue_overflows,
            syn_queue_drops,
            syn_cookies_sent,
            events,
            events_lost,
            handshakes_full,
            handshakes_unended,
            handshakes_unknown,
            handshakes_kept_free,
        } = self;
        sum(transitions, &other.transitions);
        sum(connects, &other.connects);
        for (a, b) in connect_latency.iter_mut().zip(&other.connect_latency) {
            sum(&mut a.buckets, &b.buckets);
            a.sum_ns = a.sum_ns.wrapping_add(b.sum_ns);
        }
        sum(syn_stalls, &other.syn_stalls);
        sum(syn_retransmits, &other.syn_retransmits);
        sum(synack_retransmits, &other.synack_retransmits);
        sum(retransmit_failures, &other.retransmit_failures);
        sum(resets_received, &other.resets_received);
        sum(accept_queue_overflows, &other.accept_queue_overflows);
        sum(syn_queue_drops, &other.syn_queue_drops);
        sum(syn_cookies_sent, &other.syn_cookies_sent);
        sum(events, &other.events);
        sum(events_lost, &other.events_lost);
        *handshakes_full = handshakes_full.wrapping_add(other.handshakes_full);
        *handshakes_unended = handshakes_unended.wrapping_add(other.handshakes_unended);
        *handshakes_unknown = handshakes_unknown.wrapping_add(other.handshakes_unknown);
        *handshakes_kept_free = handshakes_kept_free.wrapping_add(other.handshakes_kept_free);
    }
}
