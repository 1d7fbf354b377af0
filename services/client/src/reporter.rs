//! Sends what the collector gathered: deltas in sequence, request records in batches, spans of sampled requests.
//!
//! A delta is published again, unchanged, until the stream has it; what is measured meanwhile is folded by the
//! collector. Nothing that was measured is given up while the process lives.

use std::time::Duration;

use nuncius_bus::{Bus, BusError, TypedError, typed};
use nuncius_engine::sink::Row;
use nuncius_schemas::metric::{RecordsWritten, Shortfall};
use nuncius_schemas::record::{BATCH_ROWS_MAX, RecordBatch};
use nuncius_schemas::spec::{ExperimentSpec, RecordsMode};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::accumulate::{Accumulated, DeltaHead};
use crate::collector::Collected;
use crate::message::room_bytes;
use crate::spans::RunSpans;

/// Pause before a refused or unanswered publish is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What the reporter needs to know of the run.
pub(crate) struct ReporterInput {
    pub(crate) bus: Bus,
    pub(crate) experiment: String,
    pub(crate) node: String,
    pub(crate) epoch: u64,
    pub(crate) attempt: u32,
    pub(crate) spec: ExperimentSpec,
    /// Wall clock of the run's instant zero, nanoseconds since the Unix epoch.
    pub(crate) start_unix_ns: std::sync::Arc<std::sync::OnceLock<u64>>,
    /// Of the load and of the requests that are traced; absent where no span leaves this process.
    pub(crate) spans: Option<RunSpans>,
    /// Set once the node itself ends its part early.
    pub(crate) leaving: std::sync::Arc<std::sync::OnceLock<String>>,
    pub(crate) collected: mpsc::Receiver<Collected>,
}

/// Runs until the collector's end has been sent. Of an attempt that was never started nothing is said: whoever planned
/// anew without it would take its end for the end of the next.
pub(crate) async fn report(mut input: ReporterInput) {
    let mut sequence = 0;
    let mut last_second = 0;
    let mut records = Records::new(&input);
    while let Some(collected) = input.collected.recv().await {
        if input.start_unix_ns.get().is_none() {
            continue;
        }
        match collected {
            Collected::Second(accumulated) => {
                last_second = accumulated.last_second;
                if let Some(spans) = &input.spans {
                    accumulated.slowest().for_each(|slow| spans.slow(slow));
                }
                sequence = send_delta(&input, *accumulated, sequence, None).await;
                records.send_some(&input).await;
            }
            Collected::Rows(rows) => {
                for row in &rows {
                    if let Some(spans) = &input.spans {
                        spans.request(row);
                    }
                    if row.received_from == 0 && keeps(input.spec.records, row) {
                        records.push(&input, row).await;
                    }
                }
            }
            Collected::End(ending) => {
                let written = match input.spec.records {
                    RecordsMode::None => None,
                    RecordsMode::Sample | RecordsMode::All => Some(records.send_last(&input).await),
                };
                let end = Accumulated::empty_at(last_second);
                let stopped = ending.stopped.as_ref().map(|(shortfall, text)| (*shortfall, text.as_str()));
                let stopped = stopped.or(input.leaving.get().map(|text| (Shortfall::Left, text.as_str())));
                if let Some(spans) = &input.spans {
                    spans.end(stopped.map(|(_, text)| text));
                }
                send_delta(&input, end, sequence, Some(Last { stopped, records: written })).await;
                return;
            }
        }
    }
}

/// What only the last delta says.
struct Last<'a> {
    stopped: Option<(Shortfall, &'a str)>,
    records: Option<RecordsWritten>,
}

/// Sends it in the sequences after `sequence`; the last of them.
async fn send_delta(input: &ReporterInput, accumulated: Accumulated, sequence: u64, last: Option<Last<'_>>) -> u64 {
    let head = DeltaHead {
        experiment: &input.experiment,
        node: &input.node,
        epoch: input.epoch,
        attempt: input.attempt,
        sequence: sequence + 1,
        last: last.is_some(),
        stopped: last.as_ref().and_then(|last| last.stopped),
        records: last.as_ref().and_then(|last| last.records),
    };
    let subject = input.bus.namespace().metric(&input.experiment, &input.node);
    let mut sent = sequence;
    for delta in accumulated.into_deltas(&head, room_bytes(input.bus.max_payload_bytes())) {
        let id = format!("{}-{}-{}", message_id(input), delta.sequence, delta.part);
        sent = delta.sequence;
        let _ = store(input, &subject, "metric-delta.v1", &delta, &id).await;
    }
    sent
}

/// What all messages of one attempt of this process are known by: of another attempt the stream must not take them for
/// repeated ones.
fn message_id(input: &ReporterInput) -> String {
    format!("{}-{}-{:x}-a{}", input.experiment, input.node, input.epoch, input.attempt)
}

/// Request records on their way out, and how many went.
struct Records {
    batch: RecordBatch,
    written: RecordsWritten,
}

impl Records {
    fn new(input: &ReporterInput) -> Self {
        let batch = RecordBatch {
            experiment: input.experiment.clone(),
            node: input.node.clone(),
            epoch: input.epoch,
            attempt: input.attempt,
            ..RecordBatch::default()
        };
        Self { batch, written: RecordsWritten::default() }
    }

    async fn push(&mut self, input: &ReporterInput, row: &Row) {
        push_row(&mut self.batch, row);
        if self.batch.index.len() >= rows_max(input.bus.max_payload_bytes()) {
            self.send(input, false).await;
        }
    }

    /// What there is by now.
    async fn send_some(&mut self, input: &ReporterInput) {
        if !self.batch.index.is_empty() {
            self.send(input, false).await;
        }
    }

    /// The rest, and that nothing follows; how much was written in all.
    async fn send_last(&mut self, input: &ReporterInput) -> RecordsWritten {
        self.send(input, true).await;
        self.written
    }

    async fn send(&mut self, input: &ReporterInput, last: bool) {
        self.batch.sequence += 1;
        self.batch.last = last;
        // Counted before it is stored: a batch that cannot be is missing, and shall be missed.
        self.written.batches += 1;
        self.written.rows += self.batch.index.len() as u64;
        let subject = input.bus.namespace().trace(&input.experiment, &input.node);
        let id = format!("{}-r{}", message_id(input), self.batch.sequence);
        let _ = store(input, &subject, "record-batch.v1", &self.batch, &id).await;
        let next = RecordBatch {
            experiment: std::mem::take(&mut self.batch.experiment),
            node: std::mem::take(&mut self.batch.node),
            epoch: self.batch.epoch,
            attempt: self.batch.attempt,
            sequence: self.batch.sequence,
            ..RecordBatch::default()
        };
        self.batch = next;
    }
}

/// Rows that fit into a message of a server that takes `max_payload_bytes`.
const fn rows_max(max_payload_bytes: usize) -> usize {
    /// Most bytes of a row: five numbers of 9, three of 3, a status of 3, an outcome of 10, and the address of a host
    /// that no other row has.
    const ROW_BYTES_MAX: usize = 116;
    /// Names, columns, headers.
    const HEAD_BYTES_MAX: usize = 1_536;
    let fitting = max_payload_bytes.saturating_sub(HEAD_BYTES_MAX) / ROW_BYTES_MAX;
    if fitting == 0 {
        1
    } else if fitting > BATCH_ROWS_MAX {
        BATCH_ROWS_MAX
    } else {
        fitting
    }
}

/// Publishes until the stream has it; `false` for what can never be stored, which the receiver misses by its number.
async fn store<T: serde::Serialize>(input: &ReporterInput, subject: &str, schema: &str, message: &T, id: &str) -> bool {
    let headers = typed::headers_of(schema, input.spans.as_ref().map(RunSpans::traceparent).as_deref());
    loop {
        match input.bus.store_with(subject, &headers, message, Some(id)).await {
            Ok(_) => return true,
            Err(TypedError::Bus(BusError::PayloadTooLarge { .. } | BusError::Closed) | TypedError::Codec { .. }) => {
                warn!(subject, id, "message given up: too large, or the connection is closed");
                return false;
            }
            Err(error) => debug!(subject, %error, "not stored yet, trying again"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

fn keeps(mode: RecordsMode, row: &Row) -> bool {
    match mode {
        RecordsMode::None => false,
        RecordsMode::Sample => row.trace_id != 0,
        RecordsMode::All => true,
    }
}

fn push_row(batch: &mut RecordBatch, row: &Row) {
    batch.group.push(row.group);
    batch.step.push(row.step);
    batch.index.push(row.index);
    batch.planned_ns.push(row.planned_ns);
    batch.sent_ns.push(row.sent_ns);
    batch.done_ns.push(row.done_ns);
    batch.status.push(row.status);
    batch.outcome.push(row.outcome);
    batch.span_id.push(row.span_id);
    batch.push_host(row.host.map(|host| host.to_string()).as_deref());
}
