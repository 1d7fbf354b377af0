//! A machine's telemetry as families. Pure.

use std::collections::HashMap;
use std::sync::LazyLock;

use nuncius_metrics::names::{find, machine as names};
use nuncius_metrics::{Families, Metric};
use nuncius_schemas::telemetry::{MetricUnit, NodeTelemetry, for_each_value};

/// Families by the figures they are of, which are known by the places where they are described.
static BY_FIGURE: LazyLock<HashMap<&'static str, &'static Metric>> = LazyLock::new(|| {
    let figures = nuncius_schemas::telemetry::metrics();
    figures.iter().filter_map(|figure| Some((figure.name, find(&figure.family_name())?))).collect()
});

/// Adds what a machine told last; `samples` is how often it was heard.
pub(super) fn machine_families(families: &mut Families, told: &NodeTelemetry, samples: u64) {
    let node = told.node.as_str();
    families.info(&names::INFO, &[node, &told.host, &told.machine]);
    families.count(&names::SAMPLES, &[node], samples);
    families.number(&names::SAMPLED_SECONDS, &[node], told.at_unix_ns as f64 / 1e9);
    for_each_value(told, |value| {
        let Some(metric) = BY_FIGURE.get(value.metric.name) else { return };
        // The interfaces of a container are told within its sum.
        let is_part = value.metric.family == "cgroup_net" && !told.cgroups.iter().any(|of| of.name == value.subsystem);
        if is_part {
            return;
        }
        let mut labels = vec![node];
        labels.extend(value.metric.of.label().map(|_| value.subsystem));
        labels.extend(value.metric.member.map(|(_, member)| member));
        let is_whole = matches!(value.metric.unit, MetricUnit::Number | MetricUnit::Bytes)
            && value.value.fract() == 0.0
            && (0.0..9e15).contains(&value.value);
        if is_whole {
            families.count(metric, &labels, value.value as u64);
        } else {
            families.number(metric, &labels, value.value);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use nuncius_metrics::{Kind, Source, Unit, Value};
    use nuncius_schemas::telemetry::{
        CgroupNetwork, CgroupTelemetry, CoreTelemetry, CpuTelemetry, CpuTimes, MetricKind, MetricOf, NetworkTelemetry,
        Runtime, metrics,
    };

    use super::*;

    /// Whether a figure is shown: rates are made from counters by whoever asks.
    const fn is_shown(unit: MetricUnit, of: MetricOf, kind: MetricKind) -> bool {
        let is_rate = matches!((unit, kind), (MetricUnit::BytesPerSecond, MetricKind::Gauge));
        !(is_rate && matches!(of, MetricOf::Interface | MetricOf::Disk))
    }

    fn unit_of(unit: MetricUnit) -> Unit {
        match unit {
            MetricUnit::Seconds => Unit::Seconds,
            MetricUnit::Bytes => Unit::Bytes,
            MetricUnit::Ratio => Unit::Ratio,
            MetricUnit::Hertz => Unit::Hertz,
            MetricUnit::Watts => Unit::Watts,
            MetricUnit::Joules => Unit::Joules,
            MetricUnit::Celsius => Unit::Celsius,
            MetricUnit::DecibelMilliwatts => Unit::DecibelMilliwatts,
            // Of those the name has the unit.
            MetricUnit::Number | MetricUnit::BytesPerSecond | MetricUnit::BitsPerSecond => Unit::None,
        }
    }

    #[test]
    fn every_figure_has_its_family_and_every_family_its_figures() {
        let mut used = BTreeSet::from([names::INFO.name, names::SAMPLES.name, names::SAMPLED_SECONDS.name]);
        for figure in metrics() {
            let found = find(&figure.family_name());
            if !is_shown(figure.unit, figure.of, figure.kind) {
                assert!(found.is_none(), "{}", figure.name);
                continue;
            }
            let metric = found.unwrap_or_else(|| panic!("{} of `{}` is no family", figure.family_name(), figure.name));
            let kind = if figure.kind == MetricKind::Counter { Kind::Counter } else { Kind::Gauge };
            assert_eq!((metric.kind, metric.unit, metric.source), (kind, unit_of(figure.unit), Source::Gateway));
            let mut labels = vec!["node"];
            labels.extend(figure.of.label());
            labels.extend(figure.member.map(|(label, _)| label));
            assert_eq!(metric.labels, labels, "{}", metric.name);
            used.insert(metric.name);
        }
        let all: BTreeSet<&str> = names::ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(all, used);
    }

    #[test]
    fn a_machine_is_told_by_mode_interface_and_container_and_nothing_is_counted_twice() {
        let times = CpuTimes { user_ns: 1_500_000_000, steal_ns: 250_000_000, ..CpuTimes::default() };
        let net =
            |interface: &str| CgroupNetwork { interface: interface.to_owned(), received_bytes: 10, sent_bytes: 5 };
        let told = NodeTelemetry {
            node: "edge".to_owned(),
            host: "edge.example".to_owned(),
            machine: "m".to_owned(),
            at_unix_ns: 1_700_000_000_500_000_000,
            cpu: Some(CpuTelemetry {
                times,
                busy_ratio: Some(0.5),
                cores: vec![CoreTelemetry { core: 3, times, frequency_hertz: None }],
                ..CpuTelemetry::default()
            }),
            networks: vec![NetworkTelemetry {
                interface: "eth0".to_owned(),
                received_bytes: 7,
                received_bytes_per_second: Some(1.0),
                ..NetworkTelemetry::default()
            }],
            cgroups: vec![CgroupTelemetry {
                name: "0123456789ab".to_owned(),
                runtime: Some(Runtime::Docker),
                cpu_ns: Some(2_000_000_000),
                networks: vec![net("eth0"), net("eth1")],
                ..CgroupTelemetry::default()
            }],
            ..NodeTelemetry::default()
        };
        let mut families = Families::new();
        machine_families(&mut families, &told, 3);
        let find = |name: &str, labels: &[&str]| {
            let family = families.get(name).unwrap_or_else(|| panic!("no {name}"));
            let found = family.series.iter().find(|series| series.labels == labels);
            found.unwrap_or_else(|| panic!("{name} has no {labels:?}: {family:?}")).value.clone()
        };
        assert_eq!(find("nuncius_machine_cpu_ratio", &["edge"]), Value::Number(0.5));
        assert_eq!(find("nuncius_machine_cpu_seconds_total", &["edge", "user"]), Value::Number(1.5));
        assert_eq!(find("nuncius_machine_core_seconds_total", &["edge", "3", "steal"]), Value::Number(0.25));
        assert_eq!(find("nuncius_machine_network_received_bytes_total", &["edge", "eth0"]), Value::Count(7));
        assert_eq!(find("nuncius_machine_cgroup_cpu_seconds_total", &["edge", "0123456789ab"]), Value::Number(2.0));
        assert_eq!(find("nuncius_machine_cgroup_net_bytes_total", &["edge", "0123456789ab"]), Value::Count(30));
        assert_eq!(families.get("nuncius_machine_cgroup_net_bytes_total").unwrap().series.len(), 1);
        assert_eq!(find("nuncius_machine_samples_total", &["edge"]), Value::Count(3));
        assert_eq!(find("nuncius_machine_info", &["edge", "edge.example", "m"]), Value::Count(1));
        let seconds = Value::Number(1_700_000_000.5);
        assert_eq!(find("nuncius_machine_sampled_timestamp_seconds", &["edge"]), seconds);
        let before = families.len();
        families.without_repeats();
        assert_eq!(families.len(), before);
    }
}
