//! Histograms, exact merge, intervals and gates.
//!
//! Pure: no I/O, no clock, no tokio. It must never average a percentile, never count an observation twice, and never
//! call a claim proven that its data cannot carry.
//!
//! Layout: [`buckets`] is the layout of the counters; [`histogram`] records on the hot path; [`totals`] merges what
//! was recorded, in the counters of `sparse`; [`encoding`] is how it travels and is stored, `split` in several
//! messages; [`interval`] says how sure one may be; [`censored`] adds observations known only from below; [`offered`]
//! says when load was offered; [`gate`] and [`window`] judge; [`ledger`] keeps merging idempotent; [`second`] makes and
//! adds up merged seconds, [`heat`] has the rows in which they are drawn; [`scaling`] judges how throughput grows with
//! workers, and [`usl`] fits a law to it; [`compare`](mod@compare) says whether two runs differ, with `blocks` for how
//! sure one may be of seconds that are alike.

mod blocks;
pub mod buckets;
pub mod censored;
pub mod compare;
pub mod encoding;
pub mod gate;
pub mod heat;
pub mod histogram;
pub mod interval;
pub mod ledger;
pub mod offered;
mod quantile;
pub mod ranges;
pub mod scaling;
pub mod second;
mod sparse;
mod split;
mod student;
pub mod totals;
pub mod usl;
pub mod window;

pub use buckets::Summary;
pub use censored::{Observed, QuantileEstimate, exceeding_ns};
pub use compare::{CompareError, ComparedSecond, ComparisonOptions, PartSeries, compare as compare_runs};
pub use encoding::DecodeError;
pub use gate::{CONFIDENCE, Confidence, GateData, GateOutcome, OfferedTime, Outcome, evaluate};
pub use histogram::Histogram;
pub use interval::{QuantileBounds, poisson_bounds, proportion_bounds, quantile_bounds, samples_needed};
pub use ledger::{Accept, Incarnation, Ledger, LedgerEntry, LedgerError};
pub use offered::OfferedSpans;
pub use ranges::Ranges;
pub use scaling::{MeasuredStep, ScalingJudgement, ScalingRules, judge as judge_scaling};
pub use student::{pooled as pooled_variance, two_sided_quantile as student_quantile};
pub use totals::Totals;
pub use usl::{UslError, fit as fit_usl};
pub use window::{UnderWay, WindowError, Windows, WindowsOutcome};
