//! How sure one may be of a sum over seconds that follow each other.
//!
//! Requests of one run are not independent: who comes behind a slow one waits with it, and so do those of the next
//! second. What varies independently, or nearly so, are blocks of seconds. Two estimates of the variance of the sum are
//! made, and the larger one is taken:
//!
//! - by the means of blocks ("batch means"; Law, "Simulation Modeling and Analysis", 5th ed., 9.5.3) of a length that
//!   the autocorrelations give (Politis and White, Econometric Reviews 23, 2004, with the correction by Patton, Politis
//!   and White, 28, 2009). It assumes nothing of the kind of dependence, but in a short run it is too small when
//!   neighbours are alike: blocks of a few seconds still are.
//! - by a first-order autoregression: the variance of as many independent seconds as the run is worth, N (1 − φ) /
//!   (1 + φ) (Bayley and Hammersley, Supplement to the JRSS 8, 1946), with φ corrected for its bias in short series,
//!   (1 + 3 φ) / N (Marriott and Pope, Biometrika 41, 1954).
//!
//! Degrees of freedom are the smaller of those of the two: blocks less one, and independent seconds less one.

/// Fewest values that anything is said of.
pub(crate) const VALUES_MIN: usize = 8;

/// Fewest blocks: fewer say nothing of how they vary.
const BLOCKS_MIN: usize = 4;

/// Highest autocorrelation of neighbours that the estimate is made with.
const CORRELATION_MAX: f64 = 0.95;

/// What is known of a sum of successive values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SumSpread {
    /// Variance of the sum.
    pub(crate) variance: f64,
    /// Degrees of freedom of that variance.
    pub(crate) freedom: f64,
}

/// The variance of the sum of `values`, which follow each other in time; `None` where there are fewer than
/// [`VALUES_MIN`].
pub(crate) fn spread_of_sum(values: &[f64]) -> Option<SumSpread> {
    if values.len() < VALUES_MIN {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let Some(correlations) = Correlations::of(&centred) else {
        return Some(SumSpread { variance: 0.0, freedom: count - 1.0 });
    };
    let (by_blocks, block_freedom) = block_variance(&centred, correlations.block_length());
    let (by_regression, worth) = correlations.regressed();
    Some(SumSpread { variance: by_blocks.max(by_regression) * count, freedom: block_freedom.min(worth - 1.0) })
}

/// The variance of the sum for each value, by non-overlapping blocks of `length` values, and its degrees of freedom.
/// What the first values are too few to fill is left out.
fn block_variance(centred: &[f64], length: usize) -> (f64, f64) {
    let blocks: Vec<f64> = centred.rchunks_exact(length).map(|block| block.iter().sum()).collect();
    let count = blocks.len() as f64;
    let mean = blocks.iter().sum::<f64>() / count;
    let squares: f64 = blocks.iter().map(|sum| (sum - mean) * (sum - mean)).sum();
    (squares / (count - 1.0) / length as f64, count - 1.0)
}

/// Autocorrelations of a series.
struct Correlations {
    count: usize,
    /// Variance of a value, divided by the count.
    variance: f64,
    /// Correlation at lag 1, 2, …
    at: Vec<f64>,
    /// How many lags in a row must be small for what follows to be taken as none.
    quiet: usize,
}

impl Correlations {
    /// Of values whose mean is 0; `None` where all are the same.
    fn of(centred: &[f64]) -> Option<Self> {
        let count = centred.len();
        let covariance = |lag: usize| {
            let pairs = centred.iter().zip(centred.iter().skip(lag));
            pairs.map(|(early, late)| early * late).sum::<f64>() / count as f64
        };
        let variance = covariance(0);
        if variance <= 0.0 {
            return None;
        }
        let quiet = libm::log10(count as f64).sqrt().ceil().max(5.0) as usize;
        let lags = ((count as f64).sqrt().ceil() as usize + quiet).min(count - 1);
        let at = (1..=lags).map(|lag| covariance(lag) / variance).collect();
        Some(Self { count, variance, at, quiet })
    }

    /// The last lag whose correlation is more than noise, 1 at least.
    fn last_lag(&self) -> usize {
        let count = self.count as f64;
        let noise = 2.0 * (libm::log10(count) / count).sqrt();
        let is_loud = |correlation: &f64| correlation.abs() >= noise;
        let windows = self.at.windows(self.quiet.min(self.at.len()).max(1));
        let silent = windows.enumerate().find(|(_, window)| !window.iter().any(is_loud)).map(|(lags, _)| lags);
        silent.or_else(|| self.at.iter().rposition(is_loud).map(|at| at + 1)).unwrap_or(0).max(1)
    }

    /// The length of the blocks of which the circular bootstrap would make its estimate with the least error.
    fn block_length(&self) -> usize {
        let count = self.count as f64;
        let lags = (2 * self.last_lag()).min(self.at.len());
        let (mut moment, mut spectrum) = (0.0, 1.0);
        for (lag, correlation) in (1..=lags).map(|lag| lag as f64).zip(&self.at) {
            // The flat-top window: all of the near half, less and less of the far one.
            let weight = (2.0 * (1.0 - lag / lags as f64)).min(1.0);
            moment += 2.0 * weight * lag * correlation;
            spectrum += 2.0 * weight * correlation;
        }
        let ratio = 2.0 * moment * moment / (4.0 / 3.0 * spectrum * spectrum);
        let best = libm::cbrt(ratio * count);
        let longest = (self.count / BLOCKS_MIN).max(1);
        // Where the spectrum is 0 the ratio is no number.
        if best.is_finite() { (best.ceil() as usize).clamp(1, longest) } else { longest }
    }

    /// The variance of the sum for each value, and how many independent values the series is worth.
    fn regressed(&self) -> (f64, f64) {
        let count = self.count as f64;
        let near = self.at.first().copied().unwrap_or(0.0);
        let correlation = (near + (1.0 + 3.0 * near) / count).clamp(0.0, CORRELATION_MAX);
        let worth = (count * (1.0 - correlation) / (1.0 + correlation)).max(2.0);
        (self.variance * worth / (worth - 1.0) * (1.0 + correlation) / (1.0 - correlation), worth)
    }
}

#[cfg(test)]
mod tests;
