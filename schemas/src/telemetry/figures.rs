//! The figures that a message has: one table for each part of it, with the name, the unit and where it is found.
//! docs/telemetry.md is made from here.

use super::NodeTelemetry;
use super::metric::{MetricKind, MetricOf, MetricUnit, TelemdMetric, TelemetryMetric};
use crate::units::SECOND_NS;

mod device;
mod group;
mod processor;
mod traffic;

/// One figure of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryValue<'a> {
    /// What it is.
    pub metric: &'static TelemetryMetric,
    /// Which of several it is of: a core, an interface, a disk, a control group; empty for the machine.
    pub subsystem: &'a str,
    /// How much, in the metric's unit.
    pub value: f64,
}

/// A figure, and where it is found.
struct Figure<T: 'static> {
    metric: TelemetryMetric,
    value: fn(&T) -> Option<f64>,
}

impl<T> Figure<T> {
    /// It has telemd's name; the unit there, and what was mended beside it.
    const fn telemd(mut self, unit: &'static str, mended: &'static str) -> Self {
        self.metric.telemd = Some(TelemdMetric { unit, mended });
        self
    }

    /// It is one of those that are told together.
    const fn family(mut self, family: &'static str) -> Self {
        self.metric.family = family;
        self
    }

    /// It is one mode of a family of times.
    const fn mode(mut self, family: &'static str, mode: &'static str) -> Self {
        self.metric.family = family;
        self.metric.member = Some(("mode", mode));
        self
    }
}

const fn figure<T>(
    of: MetricOf,
    name: &'static str,
    kind: MetricKind,
    unit: MetricUnit,
    help: &'static str,
    value: fn(&T) -> Option<f64>,
) -> Figure<T> {
    Figure { metric: TelemetryMetric { name, family: name, member: None, unit, kind, of, help, telemd: None }, value }
}

/// Nanoseconds as seconds.
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / SECOND_NS as f64
}

/// A number, or bytes.
fn number(count: u64) -> Option<f64> {
    Some(count as f64)
}

type See<'s> = &'s mut dyn FnMut(TelemetryValue<'_>);

fn see_all<T>(figures: &'static [Figure<T>], part: &T, subsystem: &str, see: See<'_>) {
    for figure in figures {
        if let Some(value) = (figure.value)(part) {
            see(TelemetryValue { metric: &figure.metric, subsystem, value });
        }
    }
}

/// Every figure of a message, in a fixed order.
pub fn for_each_value(message: &NodeTelemetry, mut see: impl FnMut(TelemetryValue<'_>)) {
    let see: See<'_> = &mut see;
    processor::visit(message, see);
    traffic::visit(message, see);
    for cgroup in &message.cgroups {
        group::visit(cgroup, see);
    }
    device::visit(message, see);
}

/// All figures there are.
pub fn metrics() -> Vec<&'static TelemetryMetric> {
    let mut all = Vec::new();
    processor::list(&mut all);
    traffic::list(&mut all);
    group::list(&mut all);
    device::list(&mut all);
    all
}

fn list_of<T>(figures: &'static [Figure<T>], metrics: &mut Vec<&'static TelemetryMetric>) {
    metrics.extend(figures.iter().map(|figure| &figure.metric));
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn every_metric_of_telemd_has_its_name_here() {
        let ours: BTreeSet<&str> =
            metrics().into_iter().filter(|metric| metric.telemd.is_some()).map(|metric| metric.name).collect();
        // What the agent and its branches publish; the ping and the Arduino's sensor look at no part of the machine.
        let telemd = [
            "cpu",
            "freq",
            "load1",
            "load5",
            "procs",
            "ram",
            "rx",
            "tx",
            "rd",
            "wr",
            "psi_cpu",
            "psi_io",
            "psi_memory",
            "tx_bitrate",
            "rx_bitrate",
            "signal",
            "docker_cgrp_cpu",
            "docker_cgrp_blkio",
            "docker_cgrp_memory",
            "docker_cgrp_net",
            "kubernetes_cgrp_cpu",
            "kubernetes_cgrp_blkio",
            "kubernetes_cgrp_memory",
            "kubernetes_cgrp_net",
            "gpu_freq",
            "gpu_util",
            "gpu_util_memory",
            "gpu_power",
            "power",
        ];
        assert_eq!(ours, telemd.into_iter().collect());
    }

    #[test]
    fn no_two_figures_have_the_same_name_and_families_agree() {
        let mut names = BTreeSet::new();
        let mut families = BTreeMap::new();
        let mut series = BTreeSet::new();
        for metric in metrics() {
            assert!(names.insert(metric.name), "{} is there twice", metric.name);
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(metric.name.chars().all(is_plain), "{}", metric.name);
            assert!(!metric.help.ends_with('.') && !metric.help.is_empty(), "{}", metric.name);
            let form = (metric.unit, metric.kind, metric.of, metric.member.map(|(label, _)| label));
            assert_eq!(*families.entry(metric.family_name()).or_insert(form), form, "{}", metric.family);
            // Whose control group it is tells those apart that telemd has other names for.
            let is_told_apart = series.insert((metric.family_name(), metric.member));
            assert!(is_told_apart || metric.of == MetricOf::Cgroup, "{}", metric.name);
        }
    }
}
