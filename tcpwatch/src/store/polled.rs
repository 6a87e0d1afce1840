//! Adds up what the kernel's own counters grew by in every namespace since the agent began.

use std::collections::BTreeMap;

use crate::model::QueueCounts;

/// What one poll found, by namespace; `None` where the counters could not be read.
type Poll = BTreeMap<u32, Option<QueueCounts>>;

/// The sums. What a namespace counted between the last poll and its end is lost.
#[derive(Debug, Default)]
pub struct Polled {
    last: Option<Poll>,
    total: QueueCounts,
}

impl Polled {
    /// Takes in one poll. The first one only says where the counters stand.
    pub fn apply(&mut self, now: Poll) {
        if let Some(last) = &self.last {
            for (inode, counts) in &now {
                let before = match last.get(inode) {
                    // It came after the poll before, so all it has counted is new.
                    None => Some(QueueCounts::default()),
                    Some(before) => *before,
                };
                if let (Some(before), Some(counts)) = (before, counts) {
                    grow(&mut self.total, &before, counts);
                }
            }
        }
        let last = self.last.take().unwrap_or_default();
        let kept = now.into_iter().map(|(inode, counts)| {
            // One that cannot be read for once goes on from where it stood.
            (
                inode,
                counts.or_else(|| last.get(&inode).copied().flatten()),
            )
        });
        self.last = Some(kept.collect());
    }

    /// The sums over all namespaces; `None` before the first poll.
    pub fn total(&self) -> Option<QueueCounts> {
        self.last.as_ref().map(|_| self.total)
    }
}

fn grow(total: &mut QueueCounts, before: &QueueCounts, now: &QueueCounts) {
    let fell = now.accept_queue_overflows < before.accept_queue_overflows
        || now.syn_queue_drops < before.syn_queue_drops
        || now.syn_cookies_sent < before.syn_cookies_sent;
    // The kernel gives a dead namespace's number to a new one, which begins at 0.
    let before = if fell {
        QueueCounts::default()
    } else {
        *before
    };
    total.accept_queue_overflows += now.accept_queue_overflows - before.accept_queue_overflows;
    total.syn_queue_drops += now.syn_queue_drops - before.syn_queue_drops;
    total.syn_cookies_sent += now.syn_cookies_sent - before.syn_cookies_sent;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes in these polls (inode and overflows) and expects this sum.
    #[track_caller]
    fn check(polls: &[&[(u32, Option<u64>)]], expected: Option<u64>) {
        let mut polled = Polled::default();
        for poll in polls {
            let counts = |overflows: u64| QueueCounts {
                accept_queue_overflows: overflows,
                ..QueueCounts::default()
            };
            polled.apply(
                poll.iter()
                    .map(|(inode, overflows)| (*inode, overflows.map(counts)))
                    .collect(),
            );
        }
        let total = polled.total().map(|total| total.accept_queue_overflows);
        assert_eq!(total, expected, "{polls:?}");
    }

    #[test]
    fn only_what_came_after_the_first_poll_counts() {
        check(&[], None);
        check(&[&[(1, Some(100))]], Some(0));
        check(&[&[(1, Some(100))], &[(1, Some(103))]], Some(3));
        check(&[&[(1, Some(1))], &[(1, Some(2)), (2, Some(5))]], Some(6));
    }

    #[test]
    fn the_sum_keeps_what_a_dead_namespace_counted() {
        check(&[&[(1, Some(0))], &[(1, Some(4))], &[]], Some(4));
        check(
            &[&[(1, Some(0))], &[(1, Some(4))], &[], &[(1, Some(2))]],
            Some(6),
        );
        // Its number went to a new one between two polls.
        check(&[&[(1, Some(10))], &[(1, Some(2))]], Some(2));
    }

    #[test]
    fn one_that_cannot_be_read_for_once_loses_nothing() {
        check(&[&[(1, Some(10))], &[(1, None)], &[(1, Some(12))]], Some(2));
        // What it counted before it was first read is not known to be new.
        check(&[&[(1, None)], &[(1, Some(12))]], Some(0));
    }
}
