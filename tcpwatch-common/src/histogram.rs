//! The buckets of the connect latency histogram, counted in the kernel.

/// Upper bounds in nanoseconds; the promised seconds are these divided by 1e9. One more bucket
/// holds what is above the last.
pub const CONNECT_BOUNDS_NS: [u64; 22] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    900_000_000,
    1_500_000_000,
    2_500_000_000,
    3_500_000_000,
    5_000_000_000,
    8_000_000_000,
    16_000_000_000,
    32_000_000_000,
    64_000_000_000,
    132_000_000_000,
];

/// Buckets, the one above the last bound included.
pub const CONNECT_BUCKETS: usize = CONNECT_BOUNDS_NS.len() + 1;

/// The index of the bucket that `ns` belongs to (bounds are inclusive, as Prometheus has them).
#[must_use]
#[inline(always)]
pub fn connect_bucket(ns: u64) -> usize {
    // From the shortest on: most connects are short, and each way out is a path that the verifier
    // follows once, where a sum of comparisons made it follow them in all combinations.
    for (index, bound) in CONNECT_BOUNDS_NS.into_iter().enumerate() {
        if ns <= bound {
            return index;
        }
    }
    CONNECT_BUCKETS - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        assert_eq!(connect_bucket(0), 0);
        for (index, bound) in CONNECT_BOUNDS_NS.iter().enumerate() {
            assert_eq!(connect_bucket(*bound), index);
            assert_eq!(connect_bucket(bound + 1), index + 1);
        }
        assert_eq!(connect_bucket(u64::MAX), CONNECT_BUCKETS - 1);
    }
}
