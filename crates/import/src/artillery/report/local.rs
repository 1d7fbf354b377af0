//! A time of day as reports have it.

/// An instant, and how far its clock is ahead of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Minutes ahead of UTC; less than 0 where it is behind.
    pub ahead_minutes: i16,
}

impl LocalTime {
    /// Another instant on the same clock.
    #[must_use]
    pub const fn at(self, unix_ms: u64) -> Self {
        Self { unix_ms, ..self }
    }

    /// `14:03:22(+0200)`
    pub fn time(self) -> String {
        let seconds = self.seconds() % 86_400;
        let sign = if self.ahead_minutes < 0 { '-' } else { '+' };
        let ahead = self.ahead_minutes.unsigned_abs();
        let (hours, minutes) = (ahead / 60, ahead % 60);
        format!("{:02}:{:02}:{:02}({sign}{hours:02}{minutes:02})", seconds / 3_600, seconds / 60 % 60, seconds % 60)
    }

    /// `2026-01-31`, by Howard Hinnant's `civil_from_days`.
    pub fn date(self) -> String {
        let shifted = self.seconds() / 86_400 + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        format!("{:04}-{month:02}-{day:02}", year_of_era + era * 400 + u64::from(month <= 2))
    }

    /// Of the clock, since the epoch.
    fn seconds(self) -> u64 {
        (self.unix_ms / 1_000).saturating_add_signed(i64::from(self.ahead_minutes) * 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_their_clock() {
        let at = |unix_ms, ahead_minutes| LocalTime { unix_ms, ahead_minutes };
        // 2020-11-09 20:02:42 UTC.
        let west = at(1_604_952_162_000, -480);
        assert_eq!((west.time().as_str(), west.date().as_str()), ("12:02:42(-0800)", "2020-11-09"));
        let east = at(1_604_952_162_999, 330);
        assert_eq!((east.time().as_str(), east.date().as_str()), ("01:32:42(+0530)", "2020-11-10"));
        assert_eq!(at(951_782_400_000, 0).date(), "2000-02-29");
        assert_eq!(at(0, -60).time(), "00:00:00(-0100)");
    }
}
