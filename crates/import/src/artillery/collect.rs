//! What Nuncius measured, in the names of Artillery: from the merged seconds of a run, and from its report what only
//! that has.
//!
//! What differs: a response time is that of the whole answer, from its sending; bytes are those of whole messages; the
//! times of classes of statuses (`http.response_time.2xx`) are told where each step had answers of one class only. What
//! was cut off at the end of the run is neither completed nor failed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nuncius_schemas::meter::MeterKind;
use nuncius_schemas::metric::{FailureCount, FailureKind};
use nuncius_schemas::report::{MeterReport, Report};
use nuncius_schemas::second::{Distribution, ExperimentSecond, GroupSecond, GroupSums, StepSecond};
use nuncius_stats::second::add_piece;

use super::endpoint;
use super::expect;
use super::flow::{Act, StepOrigin};
use super::meters::EventKind;
use super::metrics::{Apdex, ArtilleryMetrics, Metrics, PERIOD_S};
use super::origin::Origin;
use super::times::{self, Times};

const PERIOD_MS: u64 = PERIOD_S * 1_000;
const MILLISECOND_NS: u64 = 1_000_000;

/// Counters of the Apdex score.
const SATISFIED: &str = "apdex.satisfied";
const TOLERATED: &str = "apdex.tolerated";
const FRUSTRATED: &str = "apdex.frustrated";

/// Takes the seconds of a run as they are published.
#[derive(Debug)]
pub struct Collector<'o> {
    origin: &'o Origin,
    /// The last revision of each second, and which parts of it have come.
    seconds: BTreeMap<u32, (ExperimentSecond, BTreeSet<u32>)>,
    /// What came when a second had been let go.
    late: Vec<ExperimentSecond>,
}

impl<'o> Collector<'o> {
    /// Nothing yet, of a run of this file.
    pub fn new(origin: &'o Origin) -> Self {
        Self { origin, seconds: BTreeMap::new(), late: Vec::new() }
    }

    /// Takes a second, or a part of one: of the revisions of a second the highest counts, in whatever order they come.
    pub fn add(&mut self, second: &ExperimentSecond) {
        let second = needed(second);
        if second.late {
            self.late.push(second);
            return;
        }
        let parts = BTreeSet::from([second.part]);
        match self.seconds.get_mut(&second.second) {
            Some((known, _)) if known.revision > second.revision => {}
            Some((known, parts)) if known.revision == second.revision => {
                if parts.insert(second.part) {
                    // A part whose histograms cannot be read adds what can.
                    drop(add_piece(known, &second));
                }
            }
            Some(known) => *known = (second, parts),
            None => drop(self.seconds.insert(second.second, (second, parts))),
        }
    }

    /// All that has come up to now. The report has what the processor counted and measured, over the whole run alone.
    pub fn finish(&self, report: Option<&Report>) -> ArtilleryMetrics {
        let mut sums = Sums::new(self.origin);
        self.seconds.values().map(|(second, _)| second).chain(&self.late).for_each(|second| sums.add(second));
        sums.finish(report)
    }
}

/// Of a second what is looked at: its first group, and not all of its distributions.
fn needed(second: &ExperimentSecond) -> ExperimentSecond {
    let only = |step: &StepSecond| StepSecond {
        lag: Distribution::default(),
        blocked: Distribution::default(),
        failed_response: Distribution::default(),
        censored_response: Distribution::default(),
        censored_service: Distribution::default(),
        slowest: Vec::new(),
        ..step.clone()
    };
    let groups = second.groups.iter().filter(|group| group.group == 0).map(|group| GroupSecond {
        iterations: group.iterations.as_ref().map(only),
        steps: group.steps.iter().map(only).collect(),
        name: group.name.clone(),
        so_far: GroupSums::default(),
        meters: Vec::new(),
        ..*group
    });
    let groups = groups.collect();
    ExperimentSecond { experiment: second.experiment.clone(), groups, nodes: Vec::new(), ..*second }
}

/// Adds seconds up.
#[derive(Debug)]
struct Sums<'o> {
    origin: &'o Origin,
    /// By the name of the step: what it is, and its endpoint.
    steps: HashMap<&'o str, Known<'o>>,
    periods: BTreeMap<u64, Gathered>,
    times_left_out: u64,
}

#[derive(Debug)]
struct Known<'o> {
    origin: &'o StepOrigin,
    has_expectations: bool,
    endpoint: Option<String>,
}

/// What came in a period, or in all of them.
#[derive(Debug, Clone, Default)]
struct Gathered {
    metrics: Metrics,
    times: BTreeMap<String, Times>,
    /// How often, and in which time: first and last, milliseconds since the Unix epoch.
    events: BTreeMap<&'static str, (u64, u64, u64)>,
    /// HTTP and Socket.IO together.
    latency: Times,
    /// Answers of several classes came in one step and second: their times cannot be told apart.
    is_mixed: bool,
}

impl Gathered {
    fn time(&mut self, name: &str, times: &Times) {
        if times.count() > 0 {
            self.times.entry(name.to_owned()).or_default().add(times);
        }
    }

    fn event(&mut self, name: &'static str, number: u64, (from_ms, to_ms): (u64, u64)) {
        if number > 0 {
            let event = self.events.entry(name).or_insert((0, from_ms, to_ms));
            *event = (event.0 + number, event.1.min(from_ms), event.2.max(to_ms));
        }
    }

    /// The figures; rates are those of this period alone.
    fn finish(mut self) -> (Metrics, Times) {
        if self.is_mixed {
            self.times.retain(|name, _| !is_class(name));
        }
        for (name, times) in &self.times {
            self.metrics.summaries.extend(times.summary().map(|summary| (name.clone(), summary)));
        }
        for (name, (number, from_ms, to_ms)) in &self.events {
            let seconds = to_ms.saturating_sub(*from_ms).max(1_000) as f64 / 1e3;
            self.metrics.rates.insert((*name).to_owned(), (*number as f64 / seconds).round() as u64);
        }
        (self.metrics, self.latency)
    }
}

fn is_class(name: &str) -> bool {
    name.strip_prefix("http.response_time.").is_some_and(|class| class.ends_with("xx"))
}

impl<'o> Sums<'o> {
    fn new(origin: &'o Origin) -> Self {
        let known = |step: &'o StepOrigin| {
            let endpoint = match &step.act {
                Act::Request { url, name, .. } => {
                    endpoint::name_of(&origin.by_endpoint, &origin.target, url, name.as_deref())
                }
                Act::Emit | Act::Send { .. } | Act::Wait | Act::Connect | Act::Call => None,
            };
            (step.step.as_str(), Known { origin: step, has_expectations: origin.expectations_decide, endpoint })
        };
        let steps = origin.steps.iter().map(known).collect();
        Self { origin, steps, periods: BTreeMap::new(), times_left_out: 0 }
    }

    fn add(&mut self, second: &ExperimentSecond) {
        let Some(group) = second.groups.first() else { return };
        let from_ms = second.at_unix_ns / MILLISECOND_NS;
        let to_ms = from_ms + (second.length_ns / MILLISECOND_NS).max(1);
        let period = from_ms - from_ms % PERIOD_MS;
        let mut gathered = self.periods.remove(&period).unwrap_or_default();
        gathered.metrics.period_unix_ms = period;
        let before = (gathered.metrics.counters.len(), gathered.metrics.counters.values().sum::<u64>());
        self.iterations(group, &mut gathered);
        for step in &group.steps {
            self.step(step, (from_ms, to_ms), &mut gathered);
        }
        let after = (gathered.metrics.counters.len(), gathered.metrics.counters.values().sum::<u64>());
        if before != after {
            let metrics = &mut gathered.metrics;
            metrics.first_unix_ms = Some(metrics.first_unix_ms.map_or(from_ms, |known| known.min(from_ms)));
            metrics.last_unix_ms = Some(metrics.last_unix_ms.map_or(to_ms, |known| known.max(to_ms)));
        }
        self.periods.insert(period, gathered);
    }

    /// Users.
    fn iterations(&mut self, group: &GroupSecond, gathered: &mut Gathered) {
        if let Some(whole) = &group.iterations {
            let metrics = &mut gathered.metrics;
            // Who came beyond `maxVusers` was offered, and turned away.
            metrics.count("vusers.created", whole.offered.saturating_sub(whole.skipped));
            metrics.count("vusers.skipped", whole.skipped);
            let ended = whole.succeeded;
            metrics.count("vusers.completed", ended);
            metrics.count("vusers.failed", whole.failed);
            if ended > 0 {
                // It is there, if only with 0, once a user has completed.
                metrics.counters.entry("vusers.failed".to_owned()).or_default();
            }
            let timeouts = timeouts(&whole.failures);
            let (times, left_out) = Times::of(&whole.response, timeouts);
            self.times_left_out += left_out;
            gathered.time("vusers.session_length", &times);
        }
        // How many there are of a scenario is known by its first step. Of one at most where it is not, it is the rest.
        let created = group.iterations.as_ref().map_or(0, |whole| whole.offered.saturating_sub(whole.skipped));
        let mut left = created;
        let mut open = None;
        for scenario in &self.origin.scenarios {
            let is_only = self.origin.scenarios.len() == 1;
            let of_step =
                |name: &String| group.steps.iter().filter(|step| step.name == *name).map(|step| step.offered).sum();
            let counted = if is_only { Some(created) } else { scenario.counted_by.as_ref().map(of_step) };
            let name = format!("vusers.created_by_name.{}", scenario.name);
            match counted {
                Some(number) => {
                    left = left.saturating_sub(number);
                    gathered.metrics.count(&name, number);
                }
                None if open.is_none() => open = Some(name),
                None => return,
            }
        }
        if let Some(name) = open {
            gathered.metrics.count(&name, left);
        }
    }

    fn step(&mut self, step: &StepSecond, span: (u64, u64), gathered: &mut Gathered) {
        let Some(known) = self.steps.get(step.name.as_str()) else { return };
        for failure in &step.failures {
            gathered.metrics.count(&format!("errors.{}", error_of(failure, known)), failure.count);
        }
        let waited = timeouts(&step.failures);
        let (mut times, mut left_out) = Times::of(&step.service, waited);
        let (failed, more) = Times::of(&step.failed_service, 0);
        times.add(&failed);
        left_out += more;
        match &known.origin.act {
            Act::Request { .. } => self.request(step, known, span, &times, gathered),
            Act::Emit => {
                gathered.metrics.count("socketio.emit", step.sent);
                gathered.event("socketio.emit_rate", step.sent, span);
                gathered.time("socketio.response_time", &times);
                gathered.latency.add(&times);
            }
            Act::Send { waits } => {
                gathered.metrics.count("websocket.messages_sent", step.sent);
                gathered.event("websocket.send_rate", step.sent, span);
                if *waits {
                    received(step, span, gathered);
                }
                left_out = 0;
            }
            Act::Wait => {
                received(step, span, gathered);
                left_out = 0;
            }
            Act::Connect | Act::Call => left_out = 0,
        }
        self.times_left_out += left_out;
    }

    fn request(&self, step: &StepSecond, known: &Known<'_>, span: (u64, u64), times: &Times, gathered: &mut Gathered) {
        let metrics = &mut gathered.metrics;
        let sent = step.sent + step.redirects;
        metrics.count("http.requests", sent);
        metrics.count("http.downloaded_bytes", step.bytes_received);
        let mut classes: Vec<u16> = Vec::new();
        for answers in &step.statuses {
            metrics.count(&format!("http.codes.{}", answers.status), answers.count);
            metrics.count("http.responses", answers.count);
            classes.push(answers.status / 100);
        }
        classes.dedup();
        let prefix = &self.origin.by_endpoint.prefix;
        if let Some(endpoint) = &known.endpoint {
            for answers in &step.statuses {
                metrics.count(&format!("{prefix}.{endpoint}.codes.{}", answers.status), answers.count);
            }
            for failure in step.failures.iter().filter(|failure| !is_of_answer(failure.kind)) {
                metrics.count(&format!("{prefix}.{endpoint}.errors.{}", error_of(failure, known)), failure.count);
            }
        }
        for check in &step.checks {
            // Those of the plugin are named by their kind.
            let Some(kind) = expect::kind_of(&check.name) else { continue };
            for (outcome, number) in [("ok", check.passed), ("failed", check.failed)] {
                metrics.count(&format!("plugins.expect.{outcome}"), number);
                metrics.count(&format!("plugins.expect.{outcome}.{kind}"), number);
            }
        }
        if let Some(threshold_ms) = self.origin.apdex_threshold_ms
            && times.count() > 0
        {
            let threshold_ns = (threshold_ms * 1e6) as u64;
            let satisfied = times.at_most(threshold_ns);
            let tolerated = times.at_most(threshold_ns.saturating_mul(4)) - satisfied;
            let frustrated = times.count() - satisfied - tolerated;
            for (name, number) in [(SATISFIED, satisfied), (TOLERATED, tolerated), (FRUSTRATED, frustrated)] {
                *metrics.counters.entry(name.to_owned()).or_default() += number;
            }
        }
        gathered.event("http.request_rate", sent, span);
        gathered.time("http.response_time", times);
        match classes.as_slice() {
            [] => {}
            [class] => gathered.time(&format!("http.response_time.{class}xx"), times),
            _ => gathered.is_mixed = true,
        }
        if self.origin.extended_metrics {
            gathered.time("http.total", times);
        }
        if let Some(endpoint) = &known.endpoint {
            gathered.time(&format!("{prefix}.response_time.{endpoint}"), times);
        }
        gathered.latency.add(times);
    }

    fn finish(self, report: Option<&Report>) -> ArtilleryMetrics {
        let mut whole = Gathered::default();
        let mut rates: BTreeMap<String, u64> = BTreeMap::new();
        let mut periods = Vec::with_capacity(self.periods.len());
        for gathered in self.periods.into_values() {
            let metrics = &gathered.metrics;
            if metrics.first_unix_ms.is_none() {
                continue;
            }
            for (name, number) in &metrics.counters {
                *whole.metrics.counters.entry(name.clone()).or_default() += number;
            }
            for (name, times) in &gathered.times {
                whole.times.entry(name.clone()).or_default().add(times);
            }
            whole.latency.add(&gathered.latency);
            whole.is_mixed |= gathered.is_mixed;
            whole.metrics.period_unix_ms = metrics.period_unix_ms;
            let first = [whole.metrics.first_unix_ms, metrics.first_unix_ms];
            whole.metrics.first_unix_ms = first.into_iter().flatten().min();
            whole.metrics.last_unix_ms = whole.metrics.last_unix_ms.max(metrics.last_unix_ms);
            let (metrics, _) = gathered.finish();
            for (name, rate) in &metrics.rates {
                *rates.entry(name.clone()).or_default() += rate;
            }
            periods.push(metrics);
        }
        let (mut aggregate, latency) = whole.finish();
        // A rate of the whole is the mean of all its periods.
        let count = periods.len().max(1) as f64;
        aggregate.rates = rates.into_iter().map(|(name, sum)| (name, (sum as f64 / count).round() as u64)).collect();
        for meter in report.and_then(|report| report.groups.first()).map_or(&[][..], |group| &group.meters) {
            self.origin.add_meter(meter, &mut aggregate);
        }
        ArtilleryMetrics { aggregate, periods, latency: latency.summary(), times_left_out: self.times_left_out }
    }
}

impl Origin {
    /// What the processor counted or measured, under its own name.
    fn add_meter(&self, report: &MeterReport, metrics: &mut Metrics) {
        let Some(meter) = self.meters.iter().find(|meter| meter.meter == report.name) else { return };
        match (meter.kind, report.kind) {
            (EventKind::Rate, MeterKind::Counter) => {
                metrics.rates.insert(meter.name.clone(), report.sum_per_second.round() as u64);
            }
            (EventKind::Error, MeterKind::Counter) => metrics.count(&format!("errors.{}", meter.name), report.sum),
            (EventKind::Counter, MeterKind::Counter) => metrics.count(&meter.name, report.sum),
            (EventKind::Histogram, MeterKind::Histogram) => {
                let summary = report.values.as_ref().map(times::of_meter);
                metrics.summaries.extend(summary.map(|summary| (meter.name.clone(), summary)));
            }
            // It is not the one that was declared.
            (EventKind::Histogram, MeterKind::Counter)
            | (EventKind::Rate | EventKind::Error | EventKind::Counter, MeterKind::Histogram) => {}
        }
    }

    /// How satisfied users were, where the file asks for it.
    pub fn apdex(&self, metrics: &Metrics) -> Option<Apdex> {
        self.apdex_threshold_ms?;
        Apdex::of(metrics.counted(SATISFIED), metrics.counted(TOLERATED), metrics.counted(FRUSTRATED))
    }
}

/// Messages of a WebSocket that came, be they what was wanted or not.
fn received(step: &StepSecond, span: (u64, u64), gathered: &mut Gathered) {
    let of_message = step.failures.iter().filter(|failure| is_of_answer(failure.kind));
    let number = step.succeeded + of_message.map(|failure| failure.count).sum::<u64>();
    gathered.metrics.count("websocket.messages_received", number);
    gathered.event("websocket.receive_rate", number, span);
}

fn timeouts(failures: &[FailureCount]) -> u64 {
    failures.iter().filter(|failure| failure.kind == FailureKind::Timeout).map(|failure| failure.count).sum()
}

/// Whether there was an answer, or a message, which was not what was wanted.
const fn is_of_answer(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Status | FailureKind::Capture | FailureKind::Check | FailureKind::BodyLimit => true,
        FailureKind::Timeout
        | FailureKind::Connect
        | FailureKind::Tls
        | FailureKind::Closed
        | FailureKind::Protocol
        | FailureKind::Refused
        | FailureKind::Resolve
        | FailureKind::Job
        | FailureKind::Template
        | FailureKind::Script
        | FailureKind::Data => false,
    }
}

/// What Artillery calls a failure.
fn error_of(failure: &FailureCount, known: &Known<'_>) -> String {
    let of_sample = |otherwise: &str| {
        let sample = failure.sample.as_deref().map_or("", str::trim);
        if sample.is_empty() { otherwise.to_owned() } else { sample.chars().take(200).collect() }
    };
    match failure.kind {
        FailureKind::Timeout => match known.origin.act {
            Act::Emit | Act::Send { .. } | Act::Wait => "response timeout".to_owned(),
            Act::Request { .. } | Act::Connect | Act::Call => "ETIMEDOUT".to_owned(),
        },
        FailureKind::Connect => "ECONNREFUSED".to_owned(),
        FailureKind::Closed => "ECONNRESET".to_owned(),
        FailureKind::Resolve => "ENOTFOUND".to_owned(),
        FailureKind::Tls => "EPROTO".to_owned(),
        FailureKind::Protocol => "HPE_INVALID_CONSTANT".to_owned(),
        FailureKind::Capture => "Failed capture or match".to_owned(),
        FailureKind::Check => match &known.origin.act {
            Act::Request { url, .. } if known.has_expectations => {
                format!("Failed expectations for request {url}")
            }
            Act::Request { .. } | Act::Emit | Act::Send { .. } | Act::Wait | Act::Connect | Act::Call => {
                "Failed capture or match".to_owned()
            }
        },
        FailureKind::BodyLimit => "ERR_FR_MAX_BODY_LENGTH_EXCEEDED".to_owned(),
        FailureKind::Status => format!("Unexpected status {}", failure.status),
        FailureKind::Refused | FailureKind::Job | FailureKind::Template | FailureKind::Script | FailureKind::Data => {
            of_sample(failure.kind.name())
        }
    }
}

#[cfg(test)]
mod tests;
