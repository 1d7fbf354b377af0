//! How the gates of a run stand while it goes on, by everything that was told of it: what is under way counts on both
//! sides. It is no verdict: the daemon judges at the end, windows and looks of its own included.

use std::collections::BTreeMap;

use nuncius_schemas::default_gates::default_gates;
use nuncius_schemas::gate::{Gate, LatencyOf, Quantity};
use nuncius_schemas::metric::Series;
use nuncius_schemas::report::GateReport;
use nuncius_schemas::run::Verdict;
use nuncius_schemas::second::{ExperimentSecond, StepSecond};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::steps::StepTable;
use nuncius_stats::{Confidence, GateData, Histogram, Observed, OfferedTime, Outcome, Totals, evaluate};

/// Group and step, as seconds number them.
type Key = (u16, u16);

/// Seconds that may still be told anew: as long as the daemon keeps them for that.
const RECENT: u32 = 120;

/// The gates of a run, and what was told of what they look at.
#[derive(Debug)]
pub(in crate::api) struct Standing {
    gates: Vec<Watched>,
    /// What is needed of each step.
    wanted: BTreeMap<Key, Vec<Series>>,
    /// What may still be told anew.
    recent: BTreeMap<(u32, Key), Told>,
    newest: u32,
    sums: BTreeMap<Key, Sum>,
    /// How long each group's load was offered: by second while that may change, and of all before.
    offered_ns: BTreeMap<u16, (BTreeMap<u32, u64>, u64)>,
}

#[derive(Debug)]
struct Watched {
    gate: Gate,
    /// As reports name it.
    name: String,
    groups: Vec<u16>,
    /// Where requests are counted, and their response is measured.
    counted: Vec<Key>,
    /// Where everything else is measured.
    steps: Vec<Key>,
}

/// A step in a second, its histograms as they travelled.
#[derive(Debug, Default)]
struct Told {
    revision: u32,
    counts: Counted,
    histograms: Vec<(Series, Vec<u8>)>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    offered: u64,
    succeeded: u64,
    failed: u64,
    censored: u64,
    skipped: u64,
}

impl Counted {
    const fn of(step: &StepSecond) -> Self {
        let StepSecond { offered, succeeded, failed, censored, skipped, .. } = *step;
        Self { offered, succeeded, failed, censored, skipped }
    }

    fn add(&mut self, other: Self) {
        self.offered += other.offered;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.censored += other.censored;
        self.skipped += other.skipped;
    }

    /// Begun, and not heard of since.
    const fn under_way(&self) -> u64 {
        self.offered.saturating_sub(self.skipped + self.succeeded + self.failed + self.censored)
    }
}

#[derive(Debug, Default)]
struct Sum {
    counts: Counted,
    totals: Vec<(Series, Totals)>,
}

impl Sum {
    /// Adds what a second has; a histogram that cannot be read is left out.
    fn add(&mut self, told: &Told) {
        self.counts.add(told.counts);
        for (series, histogram) in &told.histograms {
            match self.totals.iter_mut().find(|(known, _)| known == series) {
                Some((_, totals)) => {
                    let _ = totals.merge_delta(histogram);
                }
                None => self.totals.extend(Totals::decode(histogram).ok().map(|totals| (*series, totals))),
            }
        }
    }
}

/// What a quantity of a gate is made of: what ended, what counts with it, and what is known from below.
fn series_of(quantity: Quantity, of: LatencyOf) -> (Vec<Series>, Option<Series>) {
    let (completed, failed, censored) = match quantity {
        Quantity::Response => (Series::Response, Some(Series::FailedResponse), Some(Series::CensoredResponse)),
        Quantity::Service => (Series::Service, Some(Series::FailedService), Some(Series::CensoredService)),
        Quantity::Blocked => (Series::Blocked, None, None),
        Quantity::Lag => (Series::Lag, None, None),
    };
    let failed = failed.filter(|_| of == LatencyOf::All);
    (std::iter::once(completed).chain(failed).collect(), censored)
}

impl Standing {
    pub(super) fn new(spec: &ExperimentSpec) -> Self {
        let tables: Vec<(&str, StepTable)> =
            spec.groups.iter().map(|group| (group.name.as_str(), group.step_table())).collect();
        let written = spec.gates.iter().map(|gate| (gate.clone(), gate.to_string()));
        let usual = default_gates(spec).into_iter().map(|gate| {
            let name = format!("{gate} (default)");
            (gate, name)
        });
        let gates: Vec<Watched> = written.chain(usual).map(|(gate, name)| Watched::new(gate, name, &tables)).collect();
        let mut wanted: BTreeMap<Key, Vec<Series>> = BTreeMap::new();
        for watched in &gates {
            for key in &watched.counted {
                wanted.entry(*key).or_default();
            }
            let Some(quantity) = watched.gate.expression.metric.quantity() else { continue };
            let (completed, censored) = series_of(quantity, watched.gate.expression.of);
            for key in watched.measured(quantity) {
                let known = wanted.entry(*key).or_default();
                completed.iter().copied().chain(censored).for_each(|series| {
                    if !known.contains(&series) {
                        known.push(series);
                    }
                });
            }
        }
        Self { gates, wanted, recent: BTreeMap::new(), newest: 0, sums: BTreeMap::new(), offered_ns: BTreeMap::new() }
    }

    /// Adds a second, or a part, a revision or a late piece of one.
    pub(super) fn add(&mut self, told: &ExperimentSecond) {
        self.newest = self.newest.max(told.second);
        for group in &told.groups {
            if !told.late {
                self.offered_ns.entry(group.group).or_default().0.insert(told.second, group.offered_ns);
            }
            for (_, step) in group.recorders() {
                let key = (group.group, step.step);
                let Some(wanted) = self.wanted.get(&key) else { continue };
                let histogram = |series: &Series| {
                    let bytes = &step.series(*series).histogram;
                    (!bytes.is_empty()).then(|| (*series, bytes.clone()))
                };
                let new = Told {
                    revision: told.revision,
                    counts: Counted::of(step),
                    histograms: wanted.iter().filter_map(histogram).collect(),
                };
                let is_old = told.second.saturating_add(RECENT) < self.newest;
                match self.recent.get(&(told.second, key)) {
                    _ if told.late => self.sums.entry(key).or_default().add(&new),
                    Some(known) if known.revision > new.revision => {}
                    // What has been added up is not told anew.
                    None if is_old && new.revision > 0 => {}
                    Some(_) | None => {
                        self.recent.insert((told.second, key), new);
                    }
                }
            }
        }
        self.add_up();
    }

    /// Adds up what is not told anew any more.
    fn add_up(&mut self) {
        let before = self.newest.saturating_sub(RECENT);
        while let Some(entry) = self.recent.first_entry() {
            let (second, key) = *entry.key();
            if second >= before {
                break;
            }
            self.sums.entry(key).or_default().add(&entry.remove());
        }
        for (recent, sum) in self.offered_ns.values_mut() {
            while let Some(entry) = recent.first_entry() {
                if *entry.key() >= before {
                    break;
                }
                *sum = sum.saturating_add(entry.remove());
            }
        }
    }

    /// How each gate stands: what was observed, between which bounds, and whether it would pass or fail by that alone.
    pub(in crate::api) fn gates(&self) -> Vec<GateReport> {
        let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
        for ((_, key), told) in &self.recent {
            sums.entry(*key).or_default().add(told);
        }
        self.gates.iter().map(|watched| self.gate(watched, &sums)).collect()
    }

    fn gate(&self, watched: &Watched, recent: &BTreeMap<Key, Sum>) -> GateReport {
        let gate = &watched.gate;
        let mut report = GateReport {
            gate: watched.name.clone(),
            outcome: Verdict::Undetermined,
            observed: None,
            lower: None,
            upper: None,
            samples: 0,
            worst_window_second: None,
            reason: String::new(),
        };
        if let Some(over) = gate.over {
            report.reason = format!("judged in every window of {over}: told at the end");
            return report;
        }
        let mut counts = Counted::default();
        let known = |key: &Key| [self.sums.get(key), recent.get(key)].into_iter().flatten();
        watched.counted.iter().flat_map(known).for_each(|sum| counts.add(sum.counts));
        let mut observed = Observed::new();
        if let Some(quantity) = gate.expression.metric.quantity() {
            let (completed, censored) = series_of(quantity, gate.expression.of);
            let mut measured = Counted::default();
            for sum in watched.measured(quantity).iter().flat_map(known) {
                measured.add(sum.counts);
                for (series, totals) in &sum.totals {
                    let target = match (completed.contains(series), censored == Some(*series)) {
                        (true, _) => &mut observed.completed,
                        (false, true) => &mut observed.censored,
                        (false, false) => continue,
                    };
                    // More observations than can be counted are not told.
                    let _ = target.merge(totals);
                }
            }
            // Known as soon as there is a request.
            if quantity != Quantity::Lag {
                let mut waits = Histogram::new();
                waits.record_ns_many(0, measured.under_way());
                let _ = observed.censored.merge(&Totals::from(&waits));
            }
        }
        let mut data = GateData {
            planned: counts.offered.saturating_sub(counts.skipped),
            succeeded: counts.succeeded,
            failed: counts.failed,
            censored: counts.censored,
            unknown: counts.under_way(),
            offered: self.offered(&watched.groups),
            ..GateData::default()
        };
        if let Some(quantity) = gate.expression.metric.quantity() {
            data = data.with(quantity, &observed);
        }
        let outcome = evaluate(gate, &data, Confidence::ONCE);
        report.outcome = match outcome.outcome {
            Outcome::Pass => Verdict::Pass,
            Outcome::Fail => Verdict::Fail,
            Outcome::Undetermined => Verdict::Undetermined,
        };
        (report.observed, report.lower, report.upper) = (outcome.observed, outcome.lower, outcome.upper);
        (report.samples, report.reason) = (outcome.samples, outcome.reason);
        report
    }

    /// How long the load of these groups was offered: they may have taken turns, or not.
    fn offered(&self, groups: &[u16]) -> OfferedTime {
        let seconds = |group: &u16| {
            let (recent, sum) = self.offered_ns.get(group)?;
            Some(recent.values().fold(*sum, |all, one| all.saturating_add(*one)) as f64 / 1e9)
        };
        let each: Vec<f64> = groups.iter().filter_map(seconds).collect();
        let elapsed = f64::from(self.newest) + 1.0;
        let least_seconds = each.iter().copied().fold(0.0, f64::max);
        OfferedTime { least_seconds, most_seconds: each.iter().sum::<f64>().min(elapsed).max(least_seconds) }
    }
}

impl Watched {
    fn new(gate: Gate, name: String, tables: &[(&str, StepTable)]) -> Self {
        let mut watched = Self { gate, name, groups: Vec::new(), counted: Vec::new(), steps: Vec::new() };
        for (index, (group, table)) in (0u16..).zip(tables) {
            if watched.gate.group.as_ref().is_some_and(|wanted| wanted != group) {
                continue;
            }
            match &watched.gate.step {
                Some(step) => {
                    let Some(place) = table.position(step) else { continue };
                    watched.counted.push((index, place));
                    watched.steps.push((index, place));
                }
                None => {
                    watched.counted.push((index, table.iteration()));
                    watched.steps.extend(table.steps().map(|(step, _)| (index, step)));
                }
            }
            watched.groups.push(index);
        }
        watched
    }

    fn measured(&self, quantity: Quantity) -> &[Key] {
        match quantity {
            Quantity::Response => &self.counted,
            Quantity::Service | Quantity::Blocked | Quantity::Lag => &self.steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::run::RunStatus;
    use nuncius_schemas::second::{Distribution, GroupSecond};

    use super::*;

    fn second(number: u32, revision: u32, late: bool, succeeded: u64, failed: u64, in_flight: u64) -> ExperimentSecond {
        let mut histogram = Histogram::new();
        histogram.record_ns_many(20_000_000, succeeded);
        let response =
            Distribution { count: succeeded, histogram: Totals::from(&histogram).encode(), ..Distribution::default() };
        let step = StepSecond {
            name: "get".to_owned(),
            offered: succeeded + failed + in_flight,
            succeeded,
            failed,
            response,
            ..StepSecond::default()
        };
        let group = GroupSecond {
            name: "main".to_owned(),
            open: true,
            offered_ns: 1_000_000_000,
            steps: vec![step],
            ..GroupSecond::default()
        };
        ExperimentSecond {
            experiment: "e".to_owned(),
            second: number,
            first_second: number,
            revision,
            late,
            part: 0,
            parts: 1,
            length_ns: 1_000_000_000,
            at_unix_ns: 0,
            status: RunStatus::Running,
            seconds_total: None,
            groups: vec![group],
            nodes: Vec::new(),
            nodes_left_out: 0,
        }
    }

    fn standing(gates: &str) -> Standing {
        let text = format!("groups: [{{name: main, target: 'http://shop/', rate: 100, duration: 9s}}]\ngates: {gates}");
        Standing::new(&nuncius_schemas::codec::from_text(&text).unwrap())
    }

    #[test]
    fn gates_stand_by_what_was_told_each_second_once_and_by_nothing_that_is_under_way() {
        let mut standing =
            standing("['p99(response) < 50ms', 'p99(response) < 10ms', {expression: 'rate > 5/s', over: 2s}]");
        for number in 0..300 {
            standing.add(&second(number, 0, false, 99, 0, 1));
            // Told again, and again: the highest counts.
            standing.add(&second(number, 2, false, 100, 0, 0));
            standing.add(&second(number, 1, false, 50, 0, 50));
        }
        standing.add(&second(3, 3, true, 5, 0, 0));
        let gates = standing.gates();
        let told: Vec<(&str, Verdict)> = gates.iter().map(|gate| (gate.gate.as_str(), gate.outcome)).collect();
        assert_eq!(
            told,
            [
                ("p99(response) < 50ms", Verdict::Pass),
                ("p99(response) < 10ms", Verdict::Fail),
                ("rate > 5/s over any 2s", Verdict::Undetermined),
                ("failures < 1% (default)", Verdict::Pass),
            ]
        );
        assert_eq!(gates[0].samples, 300 * 100 + 5);
        assert!(gates[0].lower.unwrap() <= 20e6 && gates[0].upper.unwrap() >= 20e6, "{:?}", gates[0]);
    }

    #[test]
    fn what_is_under_way_lets_nothing_pass() {
        let mut standing = standing("['failures < 1%', 'p50(response) < 50ms']");
        standing.add(&second(0, 0, false, 400, 0, 600));
        let gates = standing.gates();
        assert_eq!(gates.iter().map(|gate| gate.outcome).collect::<Vec<_>>(), [Verdict::Undetermined; 2], "{gates:?}");
        assert!(standing.gates().iter().all(|gate| !gate.reason.is_empty()));
    }

    #[test]
    fn without_a_second_nothing_is_known() {
        let outcomes: Vec<Verdict> = standing("['rate > 5/s']").gates().iter().map(|gate| gate.outcome).collect();
        assert!(!outcomes.contains(&Verdict::Pass), "{outcomes:?}");
    }
}
