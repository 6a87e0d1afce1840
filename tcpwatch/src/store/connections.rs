//! Joins the handshake table with sock_diag's sockets into connections in SYN_SENT.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tcpwatch_common::tcp_state::TcpState;

use super::{policy, syn_timer::SynProgress};
use crate::model::{Attempt, Connection, GivesUp, Socket, Sockets, Syn, TimerKind};

/// What a socket and an attempt have in common: no two open sockets share an inode number.
type Key = (u32, u64);

fn key(netns: u32, inode: Option<u64>) -> Option<Key> {
    inode.map(|inode| (netns, inode))
}

/// The sockets that no attempt of the table stands for: those from before the agent, and those
/// that found the table full.
pub(super) fn unseen<'a>(
    attempts: &[Attempt],
    sockets: &'a [Socket],
) -> impl Iterator<Item = &'a Socket> {
    let known: HashSet<Key> = attempts
        .iter()
        .filter_map(|attempt| key(attempt.netns, attempt.inode))
        .collect();
    sockets.iter().filter(move |socket| {
        key(socket.netns, socket.inode).is_none_or(|key| !known.contains(&key))
    })
}

/// Every connection in its handshake. `looked` says that `sockets` is of this very moment; when it
/// is not, it only adds the sockets that the table does not know.
pub(super) fn syn_sent(
    now_ns: u64,
    stall_after: Duration,
    attempts: &[Attempt],
    sockets: &Sockets,
    looked: bool,
) -> Vec<Connection> {
    let fresh: &[Socket] = if looked { &sockets.syn_sent } else { &[] };
    let by_key: HashMap<Key, &Socket> = fresh
        .iter()
        .filter_map(|socket| Some((key(socket.netns, socket.inode)?, socket)))
        .collect();
    let seen = attempts
        .iter()
        // An entry without a start only remembers a RST for a socket from before the agent.
        .filter(|attempt| attempt.started_ns.is_some())
        .map(|attempt| {
            let socket = key(attempt.netns, attempt.inode).and_then(|key| by_key.get(&key));
            Half {
                attempt: Some(attempt),
                socket: socket.copied(),
            }
        });
    let unseen = unseen(attempts, &sockets.syn_sent).map(|socket| Half {
        attempt: None,
        socket: Some(socket),
    });
    seen.chain(unseen)
        .filter_map(|half| half.connection(now_ns, stall_after, sockets))
        .collect()
}

/// What the programs know of a connection and what sock_diag does; at least one of them.
#[derive(Clone, Copy)]
struct Half<'a> {
    attempt: Option<&'a Attempt>,
    socket: Option<&'a Socket>,
}

impl Half<'_> {
    /// Asks sock_diag's side first: it is of this moment, and its tuple is complete where the
    /// table's port may not be known yet.
    fn either<T>(
        self,
        socket: impl FnOnce(&Socket) -> Option<T>,
        attempt: impl FnOnce(&Attempt) -> Option<T>,
    ) -> Option<T> {
        self.socket
            .and_then(socket)
            .or_else(|| self.attempt.and_then(attempt))
    }

    fn connection(
        self,
        now_ns: u64,
        stall_after: Duration,
        sockets: &Sockets,
    ) -> Option<Connection> {
        let Self { attempt, socket } = self;
        let netns = self.either(|socket| Some(socket.netns), |attempt| Some(attempt.netns))?;
        let since_ns = attempt.and_then(|attempt| attempt.started_ns);
        let timer = socket.and_then(|socket| socket.timer);
        let retransmits = attempt
            .map_or(0, |attempt| attempt.syn_retransmits)
            .max(timer.map_or(0, |timer| timer.retransmits.into()));
        let policy = sockets
            .namespaces
            .get(&netns)
            .and_then(|facts| facts.syn)
            .map(|sysctls| policy(&sysctls, attempt));
        // Without a start, the retransmits so far say how long it has taken at least.
        let age_at_least = match since_ns {
            Some(since) => Duration::from_nanos(now_ns.saturating_sub(since)),
            None => policy.map_or(Duration::ZERO, |policy| policy.sent_at(retransmits)),
        };
        let armed = timer.filter(|timer| timer.kind == TimerKind::Retransmit);
        let forecast = policy.map(|policy| {
            policy.forecast(SynProgress {
                elapsed: age_at_least,
                retransmits,
                timer: armed.map(|timer| timer.expires),
            })
        });
        Some(Connection {
            state: attempt.map_or(TcpState::SynSent, |attempt| attempt.state),
            family: self.either(|socket| Some(socket.family), |attempt| Some(attempt.family))?,
            local: self.either(|socket| Some(socket.local), |attempt| Some(attempt.local))?,
            remote: self.either(|socket| Some(socket.remote), |attempt| Some(attempt.remote))?,
            netns,
            inode: self.either(|socket| socket.inode, |attempt| attempt.inode),
            cookie: socket.and_then(|socket| socket.cookie),
            uid: self.either(|socket| Some(socket.uid), |attempt| attempt.uid),
            process: attempt.and_then(|attempt| attempt.process.clone()),
            since_ns,
            age_at_least,
            gives_up: forecast.map(|forecast| GivesUp {
                after: forecast.gives_up_after,
                because: forecast.because,
            }),
            syn: Some(Syn {
                retransmits,
                retransmits_limit: forecast.map(|forecast| forecast.retransmits_limit),
                next_retransmit: forecast.map(|forecast| forecast.next),
                stalled: retransmits > 0 || age_at_least > stall_after,
                dropped_locally: attempt.and_then(|attempt| attempt.dropped_locally),
            }),
            tcp: socket.and_then(|socket| socket.tcp.clone()),
            timer,
        })
    }
}
