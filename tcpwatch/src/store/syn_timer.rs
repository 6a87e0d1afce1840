//! When the kernel gives up on a handshake: the SYN timer played through, as `tcp_write_timeout`
//! and `tcp_retransmit_timer` (net/ipv4/tcp_timer.c) run it.

use std::time::Duration;

use crate::model::GivesUpBecause;

/// The first RTO of a handshake (TCP_TIMEOUT_INIT).
const INITIAL_RTO: Duration = Duration::from_secs(1);
/// The longest RTO where nothing sets another (TCP_RTO_MAX).
const DEFAULT_RTO_MAX: Duration = Duration::from_secs(120);

/// The kernel's timers never fire early, and what it is held against here was read a moment before
/// or after: a timer that fires this much short of a limit has reached it. RTOs are ten times longer.
const TOLERANCE: Duration = Duration::from_millis(100);

/// What the end of a handshake depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynPolicy {
    /// net.ipv4.tcp_syn_retries of the socket's namespace.
    pub syn_retries: u8,
    /// TCP_SYNCNT, where the socket has it.
    pub syn_count: Option<u8>,
    /// net.ipv4.tcp_syn_linear_timeouts; `None` where the kernel has none (before 6.5).
    pub linear_timeouts: Option<u8>,
    /// TCP_USER_TIMEOUT, where the socket has it.
    pub user_timeout: Option<Duration>,
    /// net.ipv4.tcp_rto_max_ms; `None` where the kernel has none (before 6.15).
    pub rto_max: Option<Duration>,
}

/// Where a handshake stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynProgress {
    /// Since its first SYN.
    pub elapsed: Duration,
    /// SYN retransmits so far.
    pub retransmits: u32,
    /// Until the timer fires, where the kernel told; else it is reckoned from the policy.
    pub timer: Option<Duration>,
}

/// What is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynForecast {
    /// How many retransmits there will have been at the end.
    pub retransmits_limit: u32,
    /// Until the next retransmit; where none is left, until the end.
    pub next: Duration,
    /// Until the kernel gives up.
    pub gives_up_after: Duration,
    /// What sets that moment.
    pub because: GivesUpBecause,
}

impl SynPolicy {
    fn retries(&self) -> u32 {
        u32::from(self.syn_count.unwrap_or(self.syn_retries))
    }

    fn linear(&self) -> u32 {
        u32::from(self.linear_timeouts.unwrap_or(0))
    }

    fn rto_doubled(&self, doublings: u32) -> Duration {
        let longest = self.rto_max.unwrap_or(DEFAULT_RTO_MAX).max(INITIAL_RTO);
        INITIAL_RTO
            .saturating_mul(1 << doublings.min(31))
            .min(longest)
    }

    /// The RTO that is armed after retransmit number `retransmits`: 1 s for the first SYN and the
    /// linear retransmits, then twice the one before.
    fn rto_after(&self, retransmits: u32) -> Duration {
        self.rto_doubled(retransmits.saturating_sub(self.linear()))
    }

    /// The elapsed time at which the timer gives up whatever the number of retransmits: what R
    /// doubling timeouts add up to (`tcp_model_timeout`).
    fn model_timeout(&self) -> Duration {
        (0..=self.retries())
            .map(|doublings| self.rto_doubled(doublings))
            .fold(Duration::ZERO, Duration::saturating_add)
    }

    fn ends_at(&self, elapsed: Duration, retransmits: u32) -> Option<GivesUpBecause> {
        let elapsed = elapsed.saturating_add(TOLERANCE);
        if self.user_timeout.is_some_and(|timeout| elapsed >= timeout) {
            return Some(GivesUpBecause::TcpUserTimeout);
        }
        let spent = retransmits >= self.retries() + self.linear();
        (spent || elapsed >= self.model_timeout()).then_some(match self.syn_count {
            Some(_) => GivesUpBecause::TcpSyncnt,
            None => GivesUpBecause::TcpSynRetries,
        })
    }

    /// The delay of a timer that is armed at `elapsed` (`tcp_clamp_rto_to_user_timeout`).
    fn clamped(&self, rto: Duration, elapsed: Duration) -> Duration {
        match self.user_timeout {
            Some(timeout) => rto.min(timeout.saturating_sub(elapsed)),
            None => rto,
        }
    }

    /// When SYN retransmit number `retransmits` goes out, reckoned from the first SYN.
    #[must_use]
    pub fn sent_at(&self, retransmits: u32) -> Duration {
        (0..retransmits)
            .map(|index| self.rto_after(index))
            .fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Plays the timer through from where the handshake stands.
    #[must_use]
    pub fn forecast(&self, progress: SynProgress) -> SynForecast {
        let SynProgress {
            elapsed,
            mut retransmits,
            timer,
        } = progress;
        let next = timer.unwrap_or_else(|| {
            let armed_at = self.sent_at(retransmits);
            let delay = self.clamped(self.rto_after(retransmits), armed_at);
            armed_at.saturating_add(delay).saturating_sub(elapsed)
        });
        let mut from_now = next;
        // R and L are bytes, so this ends after 510 rounds at the latest.
        loop {
            let at = elapsed.saturating_add(from_now);
            if let Some(because) = self.ends_at(at, retransmits) {
                return SynForecast {
                    retransmits_limit: retransmits,
                    next,
                    gives_up_after: from_now,
                    because,
                };
            }
            retransmits += 1;
            from_now = from_now.saturating_add(self.clamped(self.rto_after(retransmits), at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: SynProgress = SynProgress {
        elapsed: Duration::ZERO,
        retransmits: 0,
        timer: None,
    };

    fn policy(syn_retries: u8, linear_timeouts: Option<u8>) -> SynPolicy {
        SynPolicy {
            syn_retries,
            syn_count: None,
            linear_timeouts,
            user_timeout: None,
            rto_max: None,
        }
    }

    #[track_caller]
    fn check(policy: SynPolicy, retransmits: u32, seconds: u64) {
        let forecast = policy.forecast(START);
        assert_eq!(
            (forecast.retransmits_limit, forecast.gives_up_after),
            (retransmits, Duration::from_secs(seconds)),
            "{policy:?}"
        );
    }

    #[test]
    fn the_formula_gives_what_kernels_were_seen_to_do() {
        check(policy(1, None), 1, 3);
        check(policy(1, Some(1)), 2, 4);
        check(policy(2, None), 2, 7);
        check(policy(2, Some(0)), 2, 7);
        check(policy(2, Some(1)), 3, 8);
        check(policy(2, Some(4)), 5, 7);
        check(policy(3, None), 3, 15);
        check(policy(3, Some(4)), 7, 19);
        check(policy(6, Some(4)), 10, 131);
        check(policy(6, None), 6, 127);
    }

    #[test]
    fn the_default_sends_at_the_seconds_the_contract_names() {
        let policy = policy(6, Some(4));
        let sent: Vec<u64> = (0..=10).map(|n| policy.sent_at(n).as_secs()).collect();
        assert_eq!(sent, [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67]);
    }

    #[test]
    fn a_socket_option_takes_the_place_of_the_sysctl() {
        let syncnt = SynPolicy {
            syn_count: Some(1),
            ..policy(6, None)
        };
        check(syncnt, 1, 3);
        assert_eq!(syncnt.forecast(START).because, GivesUpBecause::TcpSyncnt);
        let user = SynPolicy {
            user_timeout: Some(Duration::from_secs(5)),
            ..policy(6, None)
        };
        check(user, 2, 5);
        assert_eq!(user.forecast(START).because, GivesUpBecause::TcpUserTimeout);
    }

    #[test]
    fn the_kernels_own_timer_is_believed() {
        let forecast = policy(2, None).forecast(SynProgress {
            elapsed: Duration::from_millis(1100),
            retransmits: 1,
            timer: Some(Duration::from_millis(1990)),
        });
        assert_eq!(forecast.next, Duration::from_millis(1990));
        assert_eq!(forecast.gives_up_after, Duration::from_millis(5990));
    }

    #[test]
    fn a_timer_that_was_read_a_moment_early_reaches_its_limit_all_the_same() {
        let forecast = policy(1, Some(4)).forecast(SynProgress {
            elapsed: Duration::from_millis(20),
            retransmits: 0,
            timer: Some(Duration::from_millis(976)),
        });
        assert_eq!(forecast.retransmits_limit, 2);
        assert_eq!(forecast.gives_up_after, Duration::from_millis(2976));
    }

    #[test]
    fn a_shorter_longest_rto_shortens_the_wait() {
        let short = SynPolicy {
            rto_max: Some(Duration::from_secs(4)),
            ..policy(4, None)
        };
        check(short, 4, 1 + 2 + 4 + 4 + 4);
    }

    #[test]
    fn the_largest_values_come_to_an_end() {
        let forecast = policy(255, Some(255)).forecast(START);
        assert!(forecast.gives_up_after > Duration::from_secs(3600));
    }

    #[test]
    fn a_late_handshake_is_due_now() {
        let forecast = policy(1, None).forecast(SynProgress {
            elapsed: Duration::from_secs(60),
            retransmits: 1,
            timer: None,
        });
        assert_eq!(forecast.gives_up_after, Duration::ZERO);
    }
}
