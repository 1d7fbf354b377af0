//! Figures of control groups.

use super::{Figure, See, figure, list_of, number, seconds, see_all};
use crate::telemetry::cgroup::{CgroupNetwork, CgroupTelemetry, Runtime};
use crate::telemetry::metric::{MetricKind::*, MetricOf, MetricUnit::*, TelemetryMetric};

const CGROUP: MetricOf = MetricOf::Cgroup;

type Value = fn(&CgroupTelemetry) -> Option<f64>;

const CPU: Value = |group| Some(seconds(group.cpu_ns?));
const BLKIO: Value = |group| match (group.read_bytes, group.written_bytes) {
    (None, None) => None,
    (read, written) => number(read.unwrap_or(0).saturating_add(written.unwrap_or(0))),
};
const MEMORY: Value = |group| number(group.memory_bytes?);

const SHORT_ID: &str = "the container's id has twelve characters in all figures";

static DOCKER: &[Figure<CgroupTelemetry>] = &[
    figure(CGROUP, "docker_cgrp_cpu", Counter, Seconds, "Processor time of a container of Docker", CPU)
        .family("cgroup_cpu")
        .telemd("ns", SHORT_ID),
    figure(CGROUP, "docker_cgrp_blkio", Counter, Bytes, "Read from and written to disks by it", BLKIO)
        .family("cgroup_blkio")
        .telemd("bytes", SHORT_ID),
    figure(CGROUP, "docker_cgrp_memory", Gauge, Bytes, "Memory it has, pages of files included", MEMORY)
        .family("cgroup_memory")
        .telemd("bytes", SHORT_ID),
];

static KUBERNETES: &[Figure<CgroupTelemetry>] = &[
    figure(CGROUP, "kubernetes_cgrp_cpu", Counter, Seconds, "Processor time of a container of Kubernetes", CPU)
        .family("cgroup_cpu")
        .telemd("ns", SHORT_ID),
    figure(CGROUP, "kubernetes_cgrp_blkio", Counter, Bytes, "Read from and written to disks by it", BLKIO)
        .family("cgroup_blkio")
        .telemd("bytes", SHORT_ID),
    figure(CGROUP, "kubernetes_cgrp_memory", Gauge, Bytes, "Memory it has, pages of files included", MEMORY)
        .family("cgroup_memory")
        .telemd("bytes", SHORT_ID),
];

static PLAIN: &[Figure<CgroupTelemetry>] = &[
    figure(CGROUP, "cgroup_cpu", Counter, Seconds, "Processor time of a control group", CPU),
    figure(CGROUP, "cgroup_blkio", Counter, Bytes, "Read from and written to disks by it", BLKIO),
    figure(CGROUP, "cgroup_memory", Gauge, Bytes, "Memory it has, pages of files included", MEMORY),
];

const WITHOUT_LOOPBACK: &str = "the loopback does not count; the container's id has twelve characters; \
                                with an interface after it, and then rx or tx, that alone";

static DOCKER_NET: &[Figure<u64>] = &[figure(
    CGROUP,
    "docker_cgrp_net",
    Counter,
    Bytes,
    "Received and sent by a container of Docker",
    |bytes: &u64| number(*bytes),
)
.family("cgroup_net")
.telemd("bytes", WITHOUT_LOOPBACK)];

static KUBERNETES_NET: &[Figure<u64>] = &[figure(
    CGROUP,
    "kubernetes_cgrp_net",
    Counter,
    Bytes,
    "Received and sent by a pod of Kubernetes",
    |bytes: &u64| number(*bytes),
)
.family("cgroup_net")
.telemd("bytes", WITHOUT_LOOPBACK)];

static PLAIN_NET: &[Figure<u64>] =
    &[figure(CGROUP, "cgroup_net", Counter, Bytes, "Received and sent by a container", |bytes: &u64| number(*bytes))];

static ALL: &[Figure<CgroupTelemetry>] = &[
    figure(
        CGROUP,
        "cgroup_cpu_user",
        Counter,
        Seconds,
        "Processor time of a group's programs",
        |group: &CgroupTelemetry| Some(seconds(group.cpu_user_ns?)),
    ),
    figure(
        CGROUP,
        "cgroup_cpu_system",
        Counter,
        Seconds,
        "Processor time of the kernel for a group",
        |group: &CgroupTelemetry| Some(seconds(group.cpu_system_ns?)),
    ),
    figure(
        CGROUP,
        "cgroup_cpu_periods",
        Counter,
        Number,
        "Periods of a group's limit of processors",
        |group: &CgroupTelemetry| number(group.periods?),
    ),
    figure(
        CGROUP,
        "cgroup_cpu_throttled_periods",
        Counter,
        Number,
        "Those in which it was throttled",
        |group: &CgroupTelemetry| number(group.throttled_periods?),
    ),
    figure(
        CGROUP,
        "cgroup_cpu_throttled",
        Counter,
        Seconds,
        "How long a group was throttled",
        |group: &CgroupTelemetry| Some(seconds(group.throttled_ns?)),
    ),
    figure(
        CGROUP,
        "cgroup_memory_working_set",
        Gauge,
        Bytes,
        "Memory without files not used lately",
        |group: &CgroupTelemetry| number(group.memory_working_set_bytes?),
    ),
    figure(CGROUP, "cgroup_memory_limit", Gauge, Bytes, "Most memory a group may have", |group: &CgroupTelemetry| {
        number(group.memory_limit_bytes?)
    }),
    figure(CGROUP, "cgroup_swap", Gauge, Bytes, "Swap a group has", |group: &CgroupTelemetry| {
        number(group.swap_bytes?)
    }),
    figure(
        CGROUP,
        "cgroup_oom_kills",
        Counter,
        Number,
        "Processes killed for want of memory",
        |group: &CgroupTelemetry| number(group.oom_kills?),
    ),
    figure(CGROUP, "cgroup_read", Counter, Bytes, "Read from disks by a group", |group: &CgroupTelemetry| {
        number(group.read_bytes?)
    }),
    figure(CGROUP, "cgroup_written", Counter, Bytes, "Written to disks by a group", |group: &CgroupTelemetry| {
        number(group.written_bytes?)
    }),
    figure(CGROUP, "cgroup_threads", Gauge, Number, "Processes and threads of a group", |group: &CgroupTelemetry| {
        number(group.threads?)
    }),
    figure(
        CGROUP,
        "cgroup_psi_cpu",
        Counter,
        Seconds,
        "Time in which some threads waited for a processor",
        |group: &CgroupTelemetry| Some(seconds(group.cpu_pressure_ns?)),
    ),
    figure(
        CGROUP,
        "cgroup_psi_memory",
        Counter,
        Seconds,
        "Time in which some threads waited for memory",
        |group: &CgroupTelemetry| Some(seconds(group.memory_pressure_ns?)),
    ),
    figure(
        CGROUP,
        "cgroup_psi_io",
        Counter,
        Seconds,
        "Time in which some threads waited for a disk",
        |group: &CgroupTelemetry| Some(seconds(group.io_pressure_ns?)),
    ),
];

pub(super) fn visit(group: &CgroupTelemetry, see: See<'_>) {
    let (named, net) = match group.runtime {
        Some(Runtime::Docker) => (DOCKER, DOCKER_NET),
        Some(Runtime::Kubernetes) => (KUBERNETES, KUBERNETES_NET),
        Some(Runtime::Containerd | Runtime::Podman) | None => (PLAIN, PLAIN_NET),
    };
    see_all(named, group, &group.name, see);
    see_all(ALL, group, &group.name, see);
    if group.networks.is_empty() {
        return;
    }
    let both = |network: &CgroupNetwork| network.received_bytes.saturating_add(network.sent_bytes);
    let all = group.networks.iter().map(both).fold(0u64, u64::saturating_add);
    see_all(net, &all, &group.name, see);
    for network in &group.networks {
        let place = format!("{}/{}", group.name, network.interface);
        see_all(net, &both(network), &place, see);
        see_all(net, &network.received_bytes, &format!("{place}/rx"), see);
        see_all(net, &network.sent_bytes, &format!("{place}/tx"), see);
    }
}

pub(super) fn list(metrics: &mut Vec<&'static TelemetryMetric>) {
    for figures in [DOCKER, KUBERNETES, PLAIN] {
        list_of(figures, metrics);
    }
    for figures in [DOCKER_NET, KUBERNETES_NET, PLAIN_NET] {
        list_of(figures, metrics);
    }
    list_of(ALL, metrics);
}
