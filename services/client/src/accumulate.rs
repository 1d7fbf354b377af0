//! What the engine threads report, gathered second by second until it is sent.
//!
//! Memory is bounded: while the bus is away, everything after what already waits is folded into one pending second.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use nuncius_engine::sink::{SecondReport, SlowRow, StepRecorder};
use nuncius_schemas::fault::{FaultCount, GeneratorFault};
use nuncius_schemas::metric::{
    BySeries, CheckCount, FailureCount, Health, HostCount, MetricDelta, RecordsWritten, Shortfall, SlowRequest,
    StatusCount, StepDelta, add_checks, add_hosts,
};
use nuncius_schemas::steps::iteration_among;
use nuncius_stats::Totals;

use crate::message::{Packed, pack};
use crate::totals::{add, merge};

mod meter;
mod track;

use meter::MeterSum;
use track::TrackSum;

/// Most parts of a sequence, as the daemon's ledger takes them.
const PARTS_MAX: usize = nuncius_stats::ledger::PARTS_MAX as usize;
/// Longest sample of a failure, in bytes.
const SAMPLE_MAX_BYTES: usize = 256;
/// Most kinds of failure kept apart per step and delta; the rest is added to the last.
const FAILURE_KINDS_MAX: usize = 64;

/// One step of one group, since the last delta.
#[derive(Default)]
struct StepSum {
    planned: u64,
    sent: u64,
    succeeded: u64,
    failed: u64,
    censored: u64,
    skipped: u64,
    in_flight: BTreeMap<usize, u64>,
    retried: u64,
    redirects: u64,
    held_back: u64,
    backed_off: u64,
    bytes_sent: u64,
    bytes_received: u64,
    statuses: BTreeMap<u16, u64>,
    failures: Vec<FailureCount>,
    checks: Vec<CheckCount>,
    hosts: Vec<HostCount>,
    series: BySeries<Totals>,
    /// Numbers of completed cycles, each with how many servos completed so many.
    cycles: BTreeMap<u32, u64>,
    /// Slowest first, at most as many as a thread told.
    slowest: Vec<SlowRow>,
    slowest_most: usize,
}

/// Everything measured in a span of seconds.
#[derive(Default)]
pub(crate) struct Accumulated {
    /// First second covered.
    pub(crate) first_second: u32,
    /// Last second covered.
    pub(crate) last_second: u32,
    steps: BTreeMap<(u16, u16), StepSum>,
    /// By group and name.
    meters: BTreeMap<(u16, String), MeterSum>,
    /// By name and publisher.
    tracks: BTreeMap<(Arc<str>, u64), TrackSum>,
    dropped_rows: u64,
    faults: BTreeMap<GeneratorFault, u64>,
    health: Option<Health>,
    /// Whether the seconds mean anything yet.
    covers: bool,
}

impl Accumulated {
    /// Nothing, at a second: what carries the word that this was the last.
    pub(crate) fn empty_at(second: u32) -> Self {
        Self { first_second: second, last_second: second, ..Self::default() }
    }

    fn cover(&mut self, first: u32, last: u32) {
        if self.covers {
            self.first_second = self.first_second.min(first);
            self.last_second = self.last_second.max(last);
        } else {
            (self.first_second, self.last_second) = (first, last);
        }
        self.covers = true;
    }

    /// Adds one thread's report.
    pub(crate) fn add(&mut self, report: &SecondReport) {
        self.cover(report.first_second, report.last_second);
        self.dropped_rows += report.dropped_rows;
        for fault in &report.faults {
            *self.faults.entry(fault.fault).or_default() += fault.count;
        }
        for (index, recorder) in report.steps.iter().enumerate() {
            let step = u16::try_from(index).unwrap_or(u16::MAX);
            self.steps.entry((report.group, step)).or_default().add(report.thread, recorder, &report.hosts);
        }
        for recorder in &report.meters {
            let key = (report.group, recorder.meter.name.clone());
            self.meters.entry(key).or_insert_with(|| MeterSum::new(&recorder.meter)).add(&recorder.value);
        }
        for recorder in &report.tracks {
            self.tracks.entry((Arc::clone(&recorder.track), recorder.publisher)).or_default().add(recorder);
        }
        // They belong to the whole iteration.
        if let Some(iteration) = iteration_among(report.steps.len()) {
            let cycles = &mut self.steps.entry((report.group, iteration)).or_default().cycles;
            for (completed, servos) in &report.cycles {
                *cycles.entry(*completed).or_default() += servos;
            }
        }
    }

    /// The slowest requests of its steps.
    pub(crate) fn slowest(&self) -> impl Iterator<Item = &SlowRow> {
        self.steps.values().flat_map(|step| &step.slowest)
    }

    /// Adds what the meter saw.
    pub(crate) fn add_health(&mut self, health: &Health) {
        let sum = self.health.get_or_insert_with(Health::default);
        sum.interval_ns += health.interval_ns;
        sum.run_delay_ns += health.run_delay_ns;
        sum.throttled_ns += health.throttled_ns;
        sum.cpu_ns += health.cpu_ns;
        sum.resident_bytes = sum.resident_bytes.max(health.resident_bytes);
        sum.slow_consumer += health.slow_consumer;
        sum.heartbeat_late_ns = sum.heartbeat_late_ns.max(health.heartbeat_late_ns);
        sum.dropped_records += health.dropped_records;
        sum.busy_ns += health.busy_ns;
        for fault in &health.faults {
            *self.faults.entry(fault.fault).or_default() += fault.count;
        }
    }

    /// Adds what the meter saw up to the end of the second before `ended`.
    pub(crate) fn cover_health(&mut self, ended: u32, health: &Health) {
        let second = ended.saturating_sub(1);
        self.cover(second, second);
        self.add_health(health);
    }

    /// Adds all of a later span, so that one message covers both.
    pub(crate) fn fold(&mut self, later: Self) {
        if !later.covers {
            return;
        }
        self.cover(later.first_second, later.last_second);
        self.dropped_rows += later.dropped_rows;
        for (fault, count) in &later.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        if let Some(health) = &later.health {
            self.add_health(health);
        }
        for (key, sum) in later.steps {
            self.steps.entry(key).or_default().fold(sum);
        }
        for (key, sum) in later.meters {
            self.meters.entry(key).or_insert_with(|| MeterSum::new(&sum.meter)).fold(&sum);
        }
        for (key, sum) in later.tracks {
            self.tracks.entry(key).or_default().fold(&sum);
        }
    }

    /// As many messages as it needs, each with at most `room_bytes` of steps. They are the parts of one sequence, or of
    /// several that follow each other where there are more parts than a sequence may have.
    pub(crate) fn into_deltas(self, head: &DeltaHead<'_>, room_bytes: usize) -> Vec<MetricDelta> {
        let mut health = self.health;
        if self.dropped_rows > 0 || !self.faults.is_empty() {
            let health = health.get_or_insert_with(Health::default);
            health.dropped_records += self.dropped_rows;
            health.faults = self.faults.into_iter().map(|(fault, count)| FaultCount { fault, count }).collect();
        }
        let steps = self.steps.into_iter().map(|((group, step), sum)| sum.into_delta(group, step));
        let meters = self.meters.into_iter().filter_map(|((group, _), sum)| sum.into_delta(group));
        let tracks = self.tracks.into_iter().map(|((track, publisher), sum)| sum.into_delta(&track, publisher));
        let messages = pack(steps, meters, tracks, room_bytes);
        let sequences: Vec<&[Packed]> = messages.chunks(PARTS_MAX).collect();
        let last = sequences.len().saturating_sub(1);
        let mut deltas = Vec::with_capacity(messages.len());
        for (at, parts) in sequences.into_iter().enumerate() {
            let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            let is_last = head.last && at == last;
            for (part, packed) in (0u32..).zip(parts) {
                deltas.push(MetricDelta {
                    experiment: head.experiment.to_owned(),
                    node: head.node.to_owned(),
                    epoch: head.epoch,
                    attempt: head.attempt,
                    sequence: head.sequence + at as u64,
                    part,
                    parts: count,
                    first_second: self.first_second,
                    last_second: self.last_second,
                    last: is_last,
                    stopped: head.stopped.map(|(_, text)| text.to_owned()),
                    shortfall: head.stopped.map(|(shortfall, _)| shortfall),
                    records: head.records,
                    steps: packed.steps.clone(),
                    meters: packed.meters.clone(),
                    tracks: packed.tracks.clone(),
                    health: health.take(),
                });
            }
        }
        deltas
    }
}

/// What is the same in every part; the first sequence is its own.
pub(crate) struct DeltaHead<'a> {
    pub(crate) experiment: &'a str,
    pub(crate) node: &'a str,
    pub(crate) epoch: u64,
    pub(crate) attempt: u32,
    pub(crate) sequence: u64,
    pub(crate) last: bool,
    pub(crate) stopped: Option<(Shortfall, &'a str)>,
    pub(crate) records: Option<RecordsWritten>,
}

impl StepSum {
    fn add(&mut self, thread: usize, recorder: &StepRecorder, hosts: &[SocketAddr]) {
        self.planned += recorder.planned;
        self.sent += recorder.sent;
        self.succeeded += recorder.succeeded;
        self.failed += recorder.failed;
        self.censored += recorder.censored;
        self.skipped += recorder.skipped;
        self.in_flight.insert(thread, recorder.in_flight);
        self.retried += recorder.retried;
        self.redirects += recorder.redirects;
        add_checks(&mut self.checks, &recorder.checks);
        let told = recorder.hosts.iter().zip(hosts).filter(|(tally, _)| tally.succeeded + tally.failed > 0);
        let told: Vec<HostCount> = told
            .map(|(tally, host)| HostCount {
                host: host.to_string(),
                succeeded: tally.succeeded,
                failed: tally.failed,
                service_ns: tally.service_ns,
            })
            .collect();
        add_hosts(&mut self.hosts, &told);
        self.held_back += recorder.held_back;
        self.backed_off += recorder.backed_off;
        self.bytes_sent += recorder.bytes_sent;
        self.bytes_received += recorder.bytes_received;
        for answers in &recorder.statuses {
            *self.statuses.entry(answers.status).or_default() += answers.count;
        }
        for failure in &recorder.failures {
            self.add_failure(failure);
        }
        self.slowest_most = self.slowest_most.max(recorder.slowest.most());
        self.slowest.extend_from_slice(recorder.slowest.rows());
        self.keep_slowest();
        for (series, histogram) in recorder.series.iter() {
            add(self.series.of_mut(series), histogram);
        }
    }

    fn fold(&mut self, later: Self) {
        self.planned += later.planned;
        self.sent += later.sent;
        self.succeeded += later.succeeded;
        self.failed += later.failed;
        self.censored += later.censored;
        self.skipped += later.skipped;
        self.in_flight.extend(later.in_flight);
        self.retried += later.retried;
        self.redirects += later.redirects;
        add_checks(&mut self.checks, &later.checks);
        add_hosts(&mut self.hosts, &later.hosts);
        self.held_back += later.held_back;
        self.backed_off += later.backed_off;
        self.bytes_sent += later.bytes_sent;
        self.bytes_received += later.bytes_received;
        for (status, count) in later.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (completed, servos) in later.cycles {
            *self.cycles.entry(completed).or_default() += servos;
        }
        for failure in later.failures {
            match self.failures.iter_mut().find(|f| f.kind == failure.kind && f.status == failure.status) {
                Some(known) => known.count += failure.count,
                None => self.failures.push(failure),
            }
        }
        self.slowest_most = self.slowest_most.max(later.slowest_most);
        self.slowest.extend(later.slowest);
        self.keep_slowest();
        for (series, totals) in later.series.iter() {
            merge(self.series.of_mut(series), totals);
        }
    }

    fn keep_slowest(&mut self) {
        self.slowest.sort_by_key(|slow| (std::cmp::Reverse(slow.response_ns()), slow.row.done_ns, slow.row.span_id));
        self.slowest.truncate(self.slowest_most);
    }

    fn add_failure(&mut self, failure: &FailureCount) {
        let full = self.failures.len() >= FAILURE_KINDS_MAX;
        let known = self.failures.iter_mut().find(|f| f.kind == failure.kind && (f.status == failure.status || full));
        if let Some(known) = known {
            known.count += failure.count;
            return;
        }
        let sample = failure.sample.as_ref().map(|text| {
            let text = nuncius_schemas::redact::redact_text(text);
            text.chars()
                .scan(0, |bytes, c| {
                    *bytes += c.len_utf8();
                    (*bytes <= SAMPLE_MAX_BYTES).then_some(c)
                })
                .collect()
        });
        self.failures.push(FailureCount { kind: failure.kind, status: failure.status, count: failure.count, sample });
    }

    /// As it travels.
    fn into_delta(self, group: u16, step: u16) -> StepDelta {
        let mut delta = StepDelta {
            group,
            step,
            planned: self.planned,
            sent: self.sent,
            succeeded: self.succeeded,
            failed: self.failed,
            censored: self.censored,
            skipped: self.skipped,
            in_flight: self.in_flight.values().sum(),
            retried: self.retried,
            redirects: self.redirects,
            held_back: self.held_back,
            backed_off: self.backed_off,
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            statuses: self.statuses.into_iter().map(|(status, count)| StatusCount { status, count }).collect(),
            failures: self.failures,
            checks: self.checks,
            hosts: self.hosts,
            cycles: self.cycles.into_iter().collect(),
            slowest: self.slowest.iter().map(slow_request).collect(),
            ..StepDelta::default()
        };
        for (series, totals) in self.series.iter() {
            *delta.series_mut(series) = totals.encode();
        }
        delta
    }
}

/// As it travels.
fn slow_request(slow: &SlowRow) -> SlowRequest {
    let row = &slow.row;
    // An id that leads nowhere is none.
    let is_told = slow.is_sampled || nuncius_telemetry::is_recording();
    let id = |id: String| if is_told { id } else { String::new() };
    SlowRequest {
        trace_id: id(format!("{:032x}", row.trace_id)),
        span_id: id(format!("{:016x}", row.span_id)),
        response_ns: slow.response_ns(),
        service_ns: if row.sent_ns == 0 { 0 } else { row.done_ns.saturating_sub(row.sent_ns) },
        done_ns: row.done_ns,
        index: row.index,
        status: u16::try_from(row.status).unwrap_or(0),
        failure: row.failure,
        sampled: slow.is_sampled,
        node: String::new(),
    }
}
