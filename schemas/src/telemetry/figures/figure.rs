//! One figure: what it is, and where it is found.

use super::super::metric::{MetricKind, MetricOf, MetricUnit, TelemdMetric, TelemetryMetric};
use crate::units::SECOND_NS;

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
pub(super) struct Figure<T: 'static> {
    metric: TelemetryMetric,
    value: fn(&T) -> Option<f64>,
}

impl<T> Figure<T> {
    /// It has telemd's name; the unit there, and what was mended beside it.
    pub(super) const fn telemd(mut self, unit: &'static str, mended: &'static str) -> Self {
        self.metric.telemd = Some(TelemdMetric { unit, mended });
        self
    }

    /// It is one of those that are told together.
    pub(super) const fn family(mut self, family: &'static str) -> Self {
        self.metric.family = family;
        self
    }

    /// It is one mode of a family of times.
    pub(super) const fn mode(mut self, family: &'static str, mode: &'static str) -> Self {
        self.metric.family = family;
        self.metric.member = Some(("mode", mode));
        self
    }
}

/// A figure that telemd does not have.
pub(super) const fn figure<T>(
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
pub(super) fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / SECOND_NS as f64
}

/// A number, or bytes.
pub(super) fn number(count: u64) -> Option<f64> {
    Some(count as f64)
}

/// Whoever sees the figures.
pub(super) type See<'s> = &'s mut dyn FnMut(TelemetryValue<'_>);

/// Shows what there is of these figures in a part of a message.
pub(super) fn see_all<T>(figures: &'static [Figure<T>], part: &T, subsystem: &str, see: See<'_>) {
    for figure in figures {
        if let Some(value) = (figure.value)(part) {
            see(TelemetryValue { metric: &figure.metric, subsystem, value });
        }
    }
}

/// Lists these figures.
pub(super) fn list_of<T>(figures: &'static [Figure<T>], metrics: &mut Vec<&'static TelemetryMetric>) {
    metrics.extend(figures.iter().map(|figure| &figure.metric));
}
