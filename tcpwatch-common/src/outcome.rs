//! The one vocabulary of connect outcomes, and how one is told from the socket at its end.

/// What became of a connect attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    /// The handshake finished, simultaneous open and self-connect included.
    Established = 0,
    /// The peer answered with a RST on this socket.
    RefusedRst = 1,
    /// ECONNREFUSED without a RST: an ICMP port unreachable.
    RefusedIcmp = 2,
    /// The kernel gave up after its last SYN retransmit.
    TimedOut = 3,
    /// An ICMP host unreachable (or a code that maps to it) ended the attempt.
    HostUnreachable = 4,
    /// An ICMP network unreachable ended the attempt.
    NetUnreachable = 5,
    /// The application closed the socket first.
    Cancelled = 6,
    /// EADDRNOTAVAIL: no local port was left; no SYN was sent.
    NoLocalPort = 7,
    /// Anything else, such as a duplicate four-tuple or `ss -K`.
    Other = 8,
}

/// How many outcomes there are.
pub const OUTCOMES: usize = 9;

impl Outcome {
    /// Every outcome, in the order of the counters.
    pub const ALL: [Self; OUTCOMES] = [
        Self::Established,
        Self::RefusedRst,
        Self::RefusedIcmp,
        Self::TimedOut,
        Self::HostUnreachable,
        Self::NetUnreachable,
        Self::Cancelled,
        Self::NoLocalPort,
        Self::Other,
    ];

    /// The outcome with that index.
    #[must_use]
    pub const fn from_raw(raw: u8) -> Option<Self> {
        if raw as usize >= OUTCOMES {
            return None;
        }
        Some(Self::ALL[raw as usize])
    }

    /// The name in metrics, API and events.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::RefusedRst => "refused_rst",
            Self::RefusedIcmp => "refused_icmp",
            Self::TimedOut => "timed_out",
            Self::HostUnreachable => "host_unreachable",
            Self::NetUnreachable => "net_unreachable",
            Self::Cancelled => "cancelled",
            Self::NoLocalPort => "no_local_port",
            Self::Other => "other",
        }
    }

    /// The outcome of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.label().eq_ignore_ascii_case(name))
    }
}

/// What a socket in SYN_SENT or SYN_RECV looks like at the moment it goes to CLOSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// `sk_err`: set before the tracepoint on every failing path (5.10-7.2).
    pub sk_err: u32,
    /// `sk_err_soft`: the last ICMP error that did not end the attempt.
    pub sk_err_soft: u32,
    /// Whether tracepoint tcp_receive_reset fired for this socket.
    pub reset_received: bool,
    /// `segs_out`: 0 while no SYN was ever handed to the IP layer.
    pub segs_out: u32,
    /// `inet_sport` in any byte order: 0 means that no local port was found.
    pub sport: u16,
    /// Nanoseconds since the last SYN, first or resent.
    pub since_last_syn_ns: u64,
}

/// Linux errno values; the same on every architecture that tcpwatch builds for.
pub mod errno {
    /// Network is unreachable
    pub const ENETUNREACH: u32 = 101;
    /// Connection timed out
    pub const ETIMEDOUT: u32 = 110;
    /// Connection refused
    pub const ECONNREFUSED: u32 = 111;
    /// No route to host
    pub const EHOSTUNREACH: u32 = 113;
}

/// The SYN timer never fires earlier than this after a SYN (TCP_TIMEOUT_INIT is 1 s on every
/// kernel here), while an ICMP error that answers a SYN comes within a round trip of it.
pub const SYN_TIMER_AT_LEAST_NS: u64 = 900_000_000;

impl Ending {
    /// Names the outcome of an attempt that ended in CLOSE.
    ///
    /// A timeout after a soft ICMP error reports that error (`tcp_write_err` prefers sk_err_soft),
    /// so an unreachable error counts as a timeout where it equals the soft error and the last SYN
    /// is at least one timer ago: an error that an ICMP message sets answers a SYN just sent.
    #[must_use]
    #[inline(always)]
    pub const fn outcome(&self) -> Outcome {
        if self.sk_err == 0 {
            return if self.segs_out != 0 {
                Outcome::Cancelled
            } else if self.sport == 0 {
                Outcome::NoLocalPort
            } else {
                Outcome::Other
            };
        }
        if self.sk_err == errno::ETIMEDOUT {
            return Outcome::TimedOut;
        }
        if self.sk_err == errno::ECONNREFUSED && self.reset_received {
            return Outcome::RefusedRst;
        }
        let by_timer = self.sk_err == self.sk_err_soft
            && self.since_last_syn_ns >= SYN_TIMER_AT_LEAST_NS
            && !self.reset_received;
        if by_timer {
            return Outcome::TimedOut;
        }
        match self.sk_err {
            errno::ECONNREFUSED => Outcome::RefusedIcmp,
            errno::EHOSTUNREACH => Outcome::HostUnreachable,
            errno::ENETUNREACH => Outcome::NetUnreachable,
            _ => Outcome::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Ending = Ending {
        sk_err: 0,
        sk_err_soft: 0,
        reset_received: false,
        segs_out: 1,
        sport: 40000,
        since_last_syn_ns: 1_000_000,
    };

    fn check(ending: Ending, expected: Outcome) {
        assert_eq!(ending.outcome(), expected, "{ending:?}");
    }

    #[test]
    fn each_way_to_end_has_its_name() {
        check(SENT, Outcome::Cancelled);
        check(
            Ending {
                segs_out: 0,
                sport: 0,
                ..SENT
            },
            Outcome::NoLocalPort,
        );
        check(
            Ending {
                segs_out: 0,
                ..SENT
            },
            Outcome::Other,
        );
        check(
            Ending {
                sk_err: 110,
                ..SENT
            },
            Outcome::TimedOut,
        );
        check(
            Ending {
                sk_err: 111,
                reset_received: true,
                ..SENT
            },
            Outcome::RefusedRst,
        );
        check(
            Ending {
                sk_err: 111,
                ..SENT
            },
            Outcome::RefusedIcmp,
        );
        check(
            Ending {
                sk_err: 113,
                ..SENT
            },
            Outcome::HostUnreachable,
        );
        check(
            Ending {
                sk_err: 101,
                ..SENT
            },
            Outcome::NetUnreachable,
        );
        check(
            Ending {
                sk_err: 103,
                ..SENT
            },
            Outcome::Other,
        );
    }

    #[test]
    fn a_timeout_that_reports_its_soft_error_is_a_timeout() {
        let soft = Ending {
            sk_err: 113,
            sk_err_soft: 113,
            ..SENT
        };
        check(
            Ending {
                since_last_syn_ns: 1_004_000_000,
                ..soft
            },
            Outcome::TimedOut,
        );
        check(soft, Outcome::HostUnreachable);
        check(
            Ending {
                sk_err_soft: 101,
                since_last_syn_ns: 1_004_000_000,
                ..soft
            },
            Outcome::HostUnreachable,
        );
    }
}
