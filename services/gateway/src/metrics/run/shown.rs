//! The families of a run.

use nuncius_metrics::Families;
use nuncius_metrics::names::experiment as names;
use nuncius_schemas::meter::{Meter, MeterKind, MeterUnit};
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::second::{Counts, MeterSecond};
use nuncius_schemas::units::SECOND_NS;

use super::step::Sums;
use super::{EARLIER, GroupSeries, Run, StepSeries};

const VERDICTS: [Verdict; 4] = [Verdict::Pass, Verdict::Undetermined, Verdict::Fail, Verdict::Invalid];

impl Run {
    /// All of its series.
    pub(crate) fn families(&self) -> Families {
        let mut families = Families::new();
        families.counted_since(self.since_unix_ns);
        self.head(&mut families);
        for group in self.groups.values() {
            self.group_families(&mut families, group);
        }
        let only: Vec<(&str, Sums)> = self.missing_of_only_steps();
        for series in &self.steps {
            let missing = only.iter().find(|(group, _)| *group == series.group).map(|(_, missing)| missing);
            self.step_families(&mut families, series, missing);
        }
        self.missing_families(&mut families);
        for (node, series) in &self.nodes {
            let own: &[&str] = &[&self.id, node];
            families.count(&names::NODE_OFFERED_ITERATIONS, own, series.offered);
            // What a node that has gone said last is not so any more.
            if Some(series.second) != self.last_second || self.is_over() {
                continue;
            }
            families.count(&names::NODE_IN_FLIGHT_ITERATIONS, own, series.in_flight);
            if let Some(lag_ns) = series.lag_p99_ns {
                families.number(&names::NODE_LAG_P99_SECONDS, own, seconds(lag_ns));
            }
            families.number(&names::NODE_RUN_DELAY_RATIO, own, series.run_delay_share);
            families.number(&names::NODE_UTILISATION_RATIO, own, series.utilisation);
        }
        families
    }

    fn head(&self, families: &mut Families) {
        let id = self.id.as_str();
        families.info(&names::INFO, &[id, &self.head.name, &self.head.creator]);
        if let Some(status) = self.head.status {
            families.info(&names::PHASE_INFO, &[id, status.name()]);
        }
        for (status, at_unix_ms) in &self.phases {
            families.number(&names::PHASE_START_TIME_SECONDS, &[id, status.name()], *at_unix_ms as f64 / 1e3);
        }
        if let Some(started_unix_ms) = self.head.started_unix_ms {
            families.number(&names::START_TIME_SECONDS, &[id], started_unix_ms as f64 / 1e3);
        }
        families.number(&names::RUN_TIME_SECONDS, &[id], seconds(self.run_ns));
        if let Some(seconds_total) = self.seconds_total {
            families.count(&names::PLANNED_TIME_SECONDS, &[id], u64::from(seconds_total));
        }
        if let Some(verdict) = self.head.verdict {
            for one in VERDICTS {
                families.count(&names::VERDICT, &[id, one.name()], u64::from(one == verdict));
            }
        }
        for (kind, count) in &self.events {
            families.count(&names::EVENTS, &[id, kind], *count);
        }
        let is_running = self.last_second.is_some() && !self.is_over();
        families.count(&names::NODES, &[id], if is_running { self.nodes_told as u64 } else { 0 });
        families.count(&names::NODES_LEFT_OUT, &[id], u64::from(self.nodes_left_out));
    }

    fn group_families(&self, families: &mut Families, group: &GroupSeries) {
        let own: &[&str] = &[&self.id, &group.name];
        let told = &group.iterations_so_far.counts;
        let read = &group.iterations.counts;
        if group.is_open {
            families.count(&names::SCHEDULED_ITERATIONS, own, group.scheduled);
            let deficit = group.scheduled.saturating_sub(group.offered_read);
            families.count(&names::DEFICIT_ITERATIONS, own, deficit);
        }
        if let Some(users) = group.users {
            let is_there = group.is_offered && self.head.status == Some(RunStatus::Running);
            families.count(&names::USERS, own, if is_there { u64::from(users) } else { 0 });
        }
        // What was before the first second that could be read is in the sums so far.
        families.count(&names::OFFERED_ITERATIONS, own, read.offered.max(told.offered));
        for ((outcome, read), (_, told)) in outcomes(read).into_iter().zip(outcomes(told)) {
            families.count(&names::ITERATIONS, &[&self.id, &group.name, outcome], read.max(told));
        }
        families.count(&names::IN_FLIGHT_ITERATIONS, own, if self.is_over() { 0 } else { group.in_flight });
        families.distribution(&names::ITERATION_RESPONSE_SECONDS, own, group.response.shown());
        for (name, meter) in &group.meters {
            self.meter_families(families, &group.name, name, meter);
        }
    }

    fn meter_families(&self, families: &mut Families, group: &str, name: &str, meter: &MeterSecond) {
        let unit = match meter.unit {
            MeterUnit::Number => "number",
            MeterUnit::Bytes => "bytes",
            MeterUnit::Nanoseconds => "seconds",
        };
        let own: &[&str] = &[&self.id, group, name, unit];
        match meter.kind {
            MeterKind::Counter if meter.unit == MeterUnit::Nanoseconds => {
                families.number(&names::METER_SUM, own, seconds(meter.sum_so_far));
            }
            MeterKind::Counter => families.count(&names::METER_SUM, own, meter.sum_so_far),
            MeterKind::Histogram => {
                families.count(&names::METER_VALUES, own, meter.values_so_far);
                if self.is_over() {
                    return;
                }
                let of = Meter { name: name.to_owned(), kind: meter.kind, unit: meter.unit };
                let shown = |kept: u64| match meter.unit {
                    MeterUnit::Number | MeterUnit::Bytes => of.unscaled(kept as f64),
                    MeterUnit::Nanoseconds => seconds(kept),
                };
                let values = &meter.values;
                for (statistic, value) in
                    [("p50", values.p50_ns), ("p95", values.p95_ns), ("p99", values.p99_ns), ("max", values.max_ns)]
                {
                    if let Some(value) = value {
                        let labels: &[&str] = &[&self.id, group, name, unit, statistic];
                        families.number(&names::METER_VALUE, labels, shown(value));
                    }
                }
            }
        }
    }

    fn step_families(&self, families: &mut Families, series: &StepSeries, missing: Option<&Sums>) {
        let (group, step) = (series.group.as_str(), series.step.as_str());
        let own: &[&str] = &[&self.id, group, step];
        let mut sums = series.sums.clone();
        if let Some(missing) = missing {
            sums.add(missing);
        }
        self.count_families(families, group, step, &sums);
        families.count(&names::RETRIED_REQUESTS, own, sums.retried);
        families.count(&names::REDIRECTS, own, sums.redirects);
        for ((check, has_passed), count) in &sums.checks {
            let outcome = if *has_passed { "passed" } else { "failed" };
            families.count(&names::CHECKS, &[&self.id, group, step, check, outcome], *count);
        }
        for ((host, has_succeeded), count) in &sums.hosts {
            let outcome = if *has_succeeded { "succeeded" } else { "failed" };
            families.count(&names::HOST_REQUESTS, &[&self.id, group, step, host, outcome], *count);
        }
        families.count(&names::SENT_BYTES, own, sums.bytes_sent);
        families.count(&names::RECEIVED_BYTES, own, sums.bytes_received);
        for (status, count) in &sums.statuses {
            families.count(&names::ANSWERS, &[&self.id, group, step, &status.to_string()], *count);
        }
        families.count(&names::IN_FLIGHT_REQUESTS, own, if self.is_over() { 0 } else { series.in_flight });
        families.distribution(&names::RESPONSE_SECONDS, own, series.response.shown());
        families.distribution(&names::SERVICE_SECONDS, own, series.service.shown());
        families.distribution(&names::BLOCKED_SECONDS, own, series.blocked.shown());
        families.distribution(&names::LAG_SECONDS, own, series.lag.shown());
    }

    /// What groups' sums have, too.
    fn count_families(&self, families: &mut Families, group: &str, step: &str, sums: &Sums) {
        let own: &[&str] = &[&self.id, group, step];
        families.count(&names::OFFERED_REQUESTS, own, sums.counts.offered);
        families.count(&names::SENT_REQUESTS, own, sums.counts.sent);
        for (outcome, count) in outcomes(&sums.counts) {
            families.count(&names::REQUESTS, &[&self.id, group, step, outcome], count);
        }
        for ((kind, status), count) in &sums.failures {
            families.count(&names::FAILURES, &[&self.id, group, step, kind.name(), &status.to_string()], *count);
        }
    }

    /// Requests that nobody could read, of groups whose only step must have made them.
    fn missing_of_only_steps(&self) -> Vec<(&str, Sums)> {
        let of_one = self.groups.values().filter(|group| group.only_step.is_some());
        of_one.map(|group| (group.name.as_str(), group.missing.clone())).collect()
    }

    /// Those of the other groups, under a step of their own: so the sums over steps are right.
    fn missing_families(&self, families: &mut Families) {
        for group in self.groups.values().filter(|group| group.only_step.is_none()) {
            if group.missing != Sums::default() {
                self.count_families(families, &group.name, EARLIER, &group.missing);
            }
        }
    }
}

fn outcomes(counts: &Counts) -> [(&'static str, u64); 4] {
    [
        ("succeeded", counts.succeeded),
        ("failed", counts.failed),
        ("censored", counts.censored),
        ("skipped", counts.skipped),
    ]
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / SECOND_NS as f64
}
