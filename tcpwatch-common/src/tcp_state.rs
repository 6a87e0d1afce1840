//! The kernel's TCP states (include/net/tcp_states.h), by number and by name.

/// A TCP state. The numbers are the kernel's and have not changed since 2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TcpState {
    /// `TCP_ESTABLISHED`
    Established = 1,
    /// `TCP_SYN_SENT`
    SynSent = 2,
    /// `TCP_SYN_RECV`
    SynRecv = 3,
    /// `TCP_FIN_WAIT1`
    FinWait1 = 4,
    /// `TCP_FIN_WAIT2`
    FinWait2 = 5,
    /// `TCP_TIME_WAIT`
    TimeWait = 6,
    /// `TCP_CLOSE`
    Close = 7,
    /// `TCP_CLOSE_WAIT`
    CloseWait = 8,
    /// `TCP_LAST_ACK`
    LastAck = 9,
    /// `TCP_LISTEN`
    Listen = 10,
    /// `TCP_CLOSING`
    Closing = 11,
    /// `TCP_NEW_SYN_RECV`: a request socket
    NewSynRecv = 12,
}

impl TcpState {
    /// Every state, in the kernel's order.
    pub const ALL: [Self; 12] = [
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
        Self::NewSynRecv,
    ];

    /// The state with the kernel's number `raw`, if there is one.
    #[must_use]
    pub const fn from_raw(raw: u8) -> Option<Self> {
        if raw == 0 || raw as usize > Self::ALL.len() {
            return None;
        }
        Some(Self::ALL[raw as usize - 1])
    }

    /// The kernel's number.
    #[must_use]
    pub const fn raw(self) -> u8 {
        self as u8
    }

    /// The name in upper case, as in the API: `SYN_SENT`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::NewSynRecv => "NEW_SYN_RECV",
        }
    }

    /// The name in lower case, as in metric labels: `syn_sent`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::SynSent => "syn_sent",
            Self::SynRecv => "syn_recv",
            Self::FinWait1 => "fin_wait1",
            Self::FinWait2 => "fin_wait2",
            Self::TimeWait => "time_wait",
            Self::Close => "close",
            Self::CloseWait => "close_wait",
            Self::LastAck => "last_ack",
            Self::Listen => "listen",
            Self::Closing => "closing",
            Self::NewSynRecv => "new_syn_recv",
        }
    }

    /// The state of that name in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|state| state.name().eq_ignore_ascii_case(name))
    }
}

/// The pairs (from, to) that tracepoint inet_sock_set_state can show for a TCP socket: read from
/// the callers of `tcp_set_state` and `inet_sk_state_store` and seen on 5.10-7.2.
///
/// A pair outside this list is still counted; it just is not shown while it is 0.
pub const TRANSITIONS: [(TcpState, TcpState); 23] = {
    use TcpState as S;
    [
        (S::Close, S::SynSent),
        (S::Close, S::Listen),
        (S::Close, S::Close),
        (S::Listen, S::SynRecv),
        (S::Listen, S::Close),
        (S::SynSent, S::SynRecv),
        (S::SynSent, S::Established),
        (S::SynSent, S::Close),
        (S::SynRecv, S::Established),
        (S::SynRecv, S::FinWait1),
        (S::SynRecv, S::CloseWait),
        (S::SynRecv, S::Close),
        (S::Established, S::FinWait1),
        (S::Established, S::CloseWait),
        (S::Established, S::Close),
        (S::FinWait1, S::FinWait2),
        (S::FinWait1, S::Closing),
        (S::FinWait1, S::Close),
        (S::FinWait2, S::Close),
        (S::CloseWait, S::LastAck),
        (S::CloseWait, S::Close),
        (S::Closing, S::Close),
        (S::LastAck, S::Close),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back_to_the_state() {
        for state in TcpState::ALL {
            assert_eq!(TcpState::from_raw(state.raw()), Some(state));
            assert_eq!(TcpState::from_name(state.label()), Some(state));
        }
        assert_eq!(TcpState::from_raw(0), None);
        assert_eq!(TcpState::from_raw(13), None);
        assert_eq!(TcpState::from_name("SYNSENT"), None);
    }

    #[test]
    fn no_transition_is_listed_twice() {
        for (index, pair) in TRANSITIONS.iter().enumerate() {
            assert!(!TRANSITIONS[index + 1..].contains(pair), "{pair:?}");
        }
    }
}
