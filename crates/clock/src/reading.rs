//! How a wall clock elsewhere stands to a clock here.

/// How another wall clock, the server's for one, stands to a local clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The other wall clock, in nanoseconds since the Unix epoch, minus the local clock.
    pub offset_ns: i64,
    /// The offset is right within ± this: half of the least round trip.
    pub error_ns: u64,
}

impl ClockReading {
    /// What the other clock says when the local one says `local_ns`, in nanoseconds since the Unix epoch.
    pub fn unix_ns(self, local_ns: u64) -> i64 {
        i64::try_from(local_ns).unwrap_or(i64::MAX).saturating_add(self.offset_ns)
    }

    /// How long ago the other clock said `unix_ns`, in nanoseconds; 0 for what is still to come.
    pub fn age_ns(self, local_ns: u64, unix_ns: i64) -> u64 {
        u64::try_from(self.unix_ns(local_ns).saturating_sub(unix_ns)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_by_the_other_clock_and_is_never_negative() {
        let reading = ClockReading { offset_ns: 1_000_000, error_ns: 10 };
        assert_eq!(reading.unix_ns(500), 1_000_500);
        assert_eq!(reading.age_ns(500, 1_000_200), 300);
        assert_eq!(reading.age_ns(500, 1_000_501), 0);
        assert_eq!(ClockReading { offset_ns: i64::MAX, error_ns: 0 }.unix_ns(u64::MAX), i64::MAX);
        assert_eq!(ClockReading { offset_ns: -600, error_ns: 0 }.unix_ns(500), -100);
    }
}
