//! What an exchange that is over is told by itself as: a record, and one of the slowest of its second.

use nuncius_schemas::metric::{FailureKind, FailureLatency};
use nuncius_schemas::record::RecordOutcome;
use nuncius_schemas::spec::RecordsMode;

use super::{Exchange, Recorder};
use crate::row::Row;
use crate::slowest::SlowRow;

impl Recorder {
    /// Tells an exchange of a step, where that is wanted; whole iterations have no rows.
    #[inline]
    pub(super) fn row(
        &mut self,
        exchange: &Exchange,
        status: u16,
        outcome: RecordOutcome,
        failure: Option<FailureKind>,
        now_ns: u64,
    ) {
        if Some(exchange.step) == self.whole {
            return;
        }
        if !exchange.is_warm_up() && self.is_slow(exchange, outcome, failure, now_ns) {
            self.keep_slow(exchange, status, outcome, failure, now_ns);
        }
        let is_wanted = match self.options.records {
            // Those that are sampled become spans, whether they are kept or not.
            RecordsMode::None | RecordsMode::Sample => exchange.is_sampled,
            RecordsMode::All => true,
        };
        if is_wanted {
            let identifiers = if exchange.is_sampled { self.identifiers(exchange) } else { (0, 0) };
            let row = self.row_of(exchange, status, outcome, failure, identifiers, now_ns);
            self.seconds.row(row);
        }
    }

    /// Whether an exchange is among the slowest of its second by now. What ended before the target had its time is not
    /// slow.
    #[inline]
    fn is_slow(
        &mut self,
        exchange: &Exchange,
        outcome: RecordOutcome,
        failure: Option<FailureKind>,
        now_ns: u64,
    ) -> bool {
        let response_ns = now_ns.saturating_sub(exchange.planned_ns);
        self.step(exchange.step).is_some_and(|step| step.slowest.admits(response_ns))
            && outcome != RecordOutcome::Censored
            && failure.is_none_or(|kind| kind.latency() != FailureLatency::Short)
    }

    #[cold]
    fn keep_slow(
        &mut self,
        exchange: &Exchange,
        status: u16,
        outcome: RecordOutcome,
        failure: Option<FailureKind>,
        now_ns: u64,
    ) {
        let row = self.row_of(exchange, status, outcome, failure, self.identifiers(exchange), now_ns);
        let slow = SlowRow { row, is_sampled: exchange.is_sampled };
        if let Some(recorder) = self.step(exchange.step) {
            recorder.slowest.keep(slow);
        }
    }

    fn row_of(
        &self,
        exchange: &Exchange,
        status: u16,
        outcome: RecordOutcome,
        failure: Option<FailureKind>,
        (trace_id, span_id): (u128, u64),
        now_ns: u64,
    ) -> Row {
        let sent_ns = if exchange.sent_ns == 0 { 0 } else { self.run_time_ns(exchange.sent_ns).max(1) };
        Row {
            group: self.group,
            step: exchange.step,
            index: exchange.index,
            planned_ns: self.run_time_ns(exchange.planned_ns),
            sent_ns,
            done_ns: if outcome == RecordOutcome::Censored { 0 } else { self.run_time_ns(now_ns).max(1) },
            status: if status == 0 { -1 } else { i16::try_from(status).unwrap_or(i16::MAX) },
            outcome,
            failure,
            trace_id,
            span_id,
            received_from: 0,
            host: self.seconds.host(exchange.host),
        }
    }
}
