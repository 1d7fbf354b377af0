//! From an amount to parts of five sizes, each four times the one before: many small ones first, so that little is
//! taken or given back where the amount changes by little.

/// Sizes of parts.
pub(crate) const STEPS: usize = 5;

/// How many parts of each size, smallest first.
pub(crate) type Counts = [u64; STEPS];

/// Sizes, and how many of each come before the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ladder {
    sizes_bytes: [u64; STEPS],
    cap: u64,
}

/// Parts of memory: 256 KiB to 64 MiB, 20 of each.
pub(crate) const MEMORY: Ladder = Ladder::new(256 << 10, 20);
/// Files: 512 KiB to 128 MiB, 25 of each.
pub(crate) const DISK: Ladder = Ladder::new(512 << 10, 25);

/// Parts, and what is smaller than any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Plan {
    /// Parts of each size.
    pub(crate) counts: Counts,
    /// A last part that is smaller than the smallest, in bytes.
    pub(crate) rest_bytes: u64,
}

impl Ladder {
    const fn new(smallest_bytes: u64, cap: u64) -> Self {
        let s = smallest_bytes;
        Self { sizes_bytes: [s, 4 * s, 16 * s, 64 * s, 256 * s], cap }
    }

    /// Smallest first, in bytes.
    pub(crate) const fn sizes_bytes(&self) -> [u64; STEPS] {
        self.sizes_bytes
    }

    /// What a plan takes, in bytes; the largest number where it does not fit.
    pub(crate) fn total_bytes(&self, plan: &Plan) -> u64 {
        let parts = self.sizes_bytes.iter().zip(plan.counts).map(|(size, count)| size.saturating_mul(count));
        parts.fold(plan.rest_bytes, u64::saturating_add)
    }

    /// Climbs: up to the cap of each size, more of the largest; and what is left, less than the largest.
    fn climb(&self, bytes: u64) -> (Counts, u64) {
        let mut counts = Counts::default();
        let mut left = bytes;
        for (count, size) in counts.iter_mut().zip(self.sizes_bytes) {
            *count = (left / size).min(self.cap);
            left -= *count * size;
        }
        if let (Some(count), Some(largest)) = (counts.last_mut(), self.sizes_bytes.last()) {
            *count += left / largest;
            left %= largest;
        }
        (counts, left)
    }

    /// Whole parts as Testero reckons them: never less than was asked, and less than the second largest size more.
    pub(crate) fn whole(&self, bytes: u64) -> Plan {
        let (mut counts, left) = self.climb(bytes);
        if left > 0 {
            let fitting = counts.iter_mut().zip(self.sizes_bytes).find(|(_, size)| left <= 3 * size);
            if let Some((count, size)) = fitting {
                *count += left.div_ceil(size);
            }
        }
        Plan { counts, rest_bytes: 0 }
    }

    /// Exactly what was asked.
    pub(crate) fn exact(&self, bytes: u64) -> Plan {
        let (mut counts, mut left) = self.climb(bytes);
        for (count, size) in counts.iter_mut().zip(self.sizes_bytes).rev() {
            *count += left / size;
            left %= size;
        }
        Plan { counts, rest_bytes: left }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL_MEMORY: u64 = 1_787_822_080;
    const FULL_DISK: u64 = 4_469_555_200;

    #[test]
    fn amounts_give_the_parts_that_testero_gives() {
        for (ladder, bytes, counts) in [
            (MEMORY, 0, [0; 5]),
            (MEMORY, 1, [1, 0, 0, 0, 0]),
            (MEMORY, 256_000, [1, 0, 0, 0, 0]),
            (MEMORY, 6_000_000, [23, 0, 0, 0, 0]),
            (MEMORY, 1 << 30, [20, 20, 20, 22, 9]),
            (MEMORY, 2 << 30, [20, 20, 20, 22, 25]),
            (MEMORY, FULL_MEMORY, [20, 20, 20, 20, 20]),
            // The amounts at which Testero loses a whole part of the largest size.
            (MEMORY, FULL_MEMORY + (64 << 20), [20, 20, 20, 20, 21]),
            (DISK, FULL_DISK + (128 << 20), [25, 25, 25, 25, 26]),
            (DISK, 2_333_111_445, [25, 25, 27, 25, 9]),
        ] {
            assert_eq!(ladder.whole(bytes), Plan { counts, rest_bytes: 0 }, "{bytes}");
        }
        assert_eq!(MEMORY.total_bytes(&MEMORY.whole(1 << 30)), 1_083_179_008);
    }

    fn amount() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..8u64 << 20,
            0..8u64 << 30,
            any::<u64>().prop_map(|n| n >> 1),
            FULL_MEMORY - 3..FULL_MEMORY + (80 << 20)
        ]
    }

    proptest! {
        #[test]
        fn whole_parts_hold_all_and_little_more(bytes in amount()) {
            for (ladder, most_over) in [(MEMORY, 16u64 << 20), (DISK, 32 << 20)] {
                let total = ladder.total_bytes(&ladder.whole(bytes));
                prop_assert!(total >= bytes && total - bytes < most_over, "{} for {}", total, bytes);
            }
        }

        #[test]
        fn more_asked_is_never_less_given(bytes in amount(), more in amount()) {
            let more = bytes.saturating_add(more % (130 << 20)).min(u64::MAX >> 1);
            for ladder in [MEMORY, DISK] {
                let totals = [bytes, more].map(|bytes| ladder.total_bytes(&ladder.whole(bytes)));
                prop_assert!(totals[0] <= totals[1]);
            }
        }

        #[test]
        fn an_exact_plan_is_exact_and_its_rest_small(bytes in any::<u64>()) {
            for ladder in [MEMORY, DISK] {
                let plan = ladder.exact(bytes);
                prop_assert_eq!(ladder.total_bytes(&plan), bytes);
                prop_assert!(plan.rest_bytes < ladder.sizes_bytes()[0]);
                let _ = ladder.total_bytes(&ladder.whole(bytes));
            }
        }
    }
}
