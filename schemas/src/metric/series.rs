//! The distributions that are kept of every step: their one list.

/// One of the distributions of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Series {
    /// Taken − planned: the generator's own delay.
    Lag,
    /// Sent − taken: the wait for a connection.
    Blocked,
    /// Done − sent, of what succeeded or waited its timeout.
    Service,
    /// Done − planned, of what succeeded or waited its timeout.
    Response,
    /// Done − sent, of answers that failed.
    FailedService,
    /// Done − planned, of answers that failed.
    FailedResponse,
    /// End − sent, of what was censored after it was sent: lower bounds of its service.
    CensoredService,
    /// End − planned, of what was censored: lower bounds of its response.
    CensoredResponse,
}

impl Series {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// Every one.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Lag,
        Self::Blocked,
        Self::Service,
        Self::Response,
        Self::FailedService,
        Self::FailedResponse,
        Self::CensoredService,
        Self::CensoredResponse,
    ];
}

/// Something of each series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BySeries<T>([T; Series::COUNT]);

impl<T> BySeries<T> {
    /// What `of` gives for each.
    pub fn new(of: impl FnMut(Series) -> T) -> Self {
        Self(Series::ALL.map(of))
    }

    /// That of one series.
    #[inline]
    pub const fn of(&self, series: Series) -> &T {
        let [lag, blocked, service, response, failed_service, failed_response, censored_service, censored_response] =
            &self.0;
        match series {
            Series::Lag => lag,
            Series::Blocked => blocked,
            Series::Service => service,
            Series::Response => response,
            Series::FailedService => failed_service,
            Series::FailedResponse => failed_response,
            Series::CensoredService => censored_service,
            Series::CensoredResponse => censored_response,
        }
    }

    /// That of one series, to be changed.
    #[inline]
    pub const fn of_mut(&mut self, series: Series) -> &mut T {
        let [lag, blocked, service, response, failed_service, failed_response, censored_service, censored_response] =
            &mut self.0;
        match series {
            Series::Lag => lag,
            Series::Blocked => blocked,
            Series::Service => service,
            Series::Response => response,
            Series::FailedService => failed_service,
            Series::FailedResponse => failed_response,
            Series::CensoredService => censored_service,
            Series::CensoredResponse => censored_response,
        }
    }

    /// All of them, each with its series.
    pub fn iter(&self) -> impl Iterator<Item = (Series, &T)> {
        Series::ALL.into_iter().zip(&self.0)
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Series, &mut T)> {
        Series::ALL.into_iter().zip(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_series_has_its_own_place() {
        let mut by_series = BySeries::new(|series| series);
        for series in Series::ALL {
            assert_eq!((*by_series.of(series), *by_series.of_mut(series)), (series, series));
        }
        assert!(by_series.iter().all(|(series, value)| series == *value));
        assert!(by_series.iter_mut().all(|(series, value)| series == *value));
    }
}
