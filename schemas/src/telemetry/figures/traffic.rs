//! Figures of networks, disks and TCP.

use super::{Figure, See, figure, list_of, number, seconds, see_all};
use crate::telemetry::NodeTelemetry;
use crate::telemetry::metric::{MetricKind::*, MetricOf, MetricUnit::*, TelemetryMetric};
use crate::telemetry::traffic::{DiskTelemetry, NetworkTelemetry, TcpStates, TcpTelemetry};

const INTERFACE: MetricOf = MetricOf::Interface;
const DISK: MetricOf = MetricOf::Disk;
const MACHINE: MetricOf = MetricOf::Machine;

static NETWORK: &[Figure<NetworkTelemetry>] = &[
    figure(INTERFACE, "rx", Gauge, BytesPerSecond, "Received since the sample before", |net: &NetworkTelemetry| {
        net.received_bytes_per_second
    })
    .telemd("kB/s, whole", "over the time between two samples, which do not overlap"),
    figure(INTERFACE, "tx", Gauge, BytesPerSecond, "Sent since the sample before", |net: &NetworkTelemetry| {
        net.sent_bytes_per_second
    })
    .telemd("kB/s, whole", "over the time between two samples, which do not overlap"),
    figure(INTERFACE, "rx_bytes", Counter, Bytes, "Received by an interface", |net: &NetworkTelemetry| {
        number(net.received_bytes)
    })
    .family("network_received"),
    figure(INTERFACE, "tx_bytes", Counter, Bytes, "Sent by an interface", |net: &NetworkTelemetry| {
        number(net.sent_bytes)
    })
    .family("network_sent"),
    figure(INTERFACE, "rx_packets", Counter, Number, "Packets received", |net: &NetworkTelemetry| {
        number(net.received_packets)
    }),
    figure(INTERFACE, "tx_packets", Counter, Number, "Packets sent", |net: &NetworkTelemetry| number(net.sent_packets)),
    figure(INTERFACE, "rx_errors", Counter, Number, "Packets received with an error", |net: &NetworkTelemetry| {
        number(net.received_errors)
    }),
    figure(
        INTERFACE,
        "tx_errors",
        Counter,
        Number,
        "Packets not sent because of an error",
        |net: &NetworkTelemetry| number(net.sent_errors),
    ),
    figure(INTERFACE, "rx_dropped", Counter, Number, "Packets received and dropped", |net: &NetworkTelemetry| {
        number(net.received_dropped)
    }),
    figure(
        INTERFACE,
        "tx_dropped",
        Counter,
        Number,
        "Packets dropped before they were sent",
        |net: &NetworkTelemetry| number(net.sent_dropped),
    ),
    figure(INTERFACE, "link_speed", Gauge, BitsPerSecond, "Speed of the link", |net: &NetworkTelemetry| {
        number(net.speed_bits_per_second?)
    }),
    figure(INTERFACE, "signal", Gauge, DecibelMilliwatts, "Strength of the Wi-Fi signal", |net: &NetworkTelemetry| {
        net.wireless?.signal_dbm
    })
    .telemd("dBm", "asked of the kernel, not of the program iw"),
    figure(INTERFACE, "tx_bitrate", Gauge, BitsPerSecond, "Rate at which Wi-Fi sends", |net: &NetworkTelemetry| {
        number(net.wireless?.sent_bits_per_second?)
    })
    .telemd("Mbit/s", "asked of the kernel, not of the program iw"),
    figure(INTERFACE, "rx_bitrate", Gauge, BitsPerSecond, "Rate at which Wi-Fi receives", |net: &NetworkTelemetry| {
        number(net.wireless?.received_bits_per_second?)
    })
    .telemd("Mbit/s", "asked of the kernel, not of the program iw"),
];

static DISKS: &[Figure<DiskTelemetry>] = &[
    figure(DISK, "rd", Gauge, BytesPerSecond, "Read since the sample before", |disk: &DiskTelemetry| {
        disk.read_bytes_per_second
    })
    .telemd("kB/s, whole", "over the time between two samples, which do not overlap"),
    figure(DISK, "wr", Gauge, BytesPerSecond, "Written since the sample before", |disk: &DiskTelemetry| {
        disk.written_bytes_per_second
    })
    .telemd("kB/s, whole", "over the time between two samples, which do not overlap"),
    figure(DISK, "rd_bytes", Counter, Bytes, "Read from a disk", |disk: &DiskTelemetry| number(disk.read_bytes))
        .family("disk_read"),
    figure(DISK, "wr_bytes", Counter, Bytes, "Written to a disk", |disk: &DiskTelemetry| number(disk.written_bytes))
        .family("disk_written"),
    figure(DISK, "rd_requests", Counter, Number, "Reads that ended", |disk: &DiskTelemetry| number(disk.reads)),
    figure(DISK, "wr_requests", Counter, Number, "Writes that ended", |disk: &DiskTelemetry| number(disk.writes)),
    figure(DISK, "rd_time", Counter, Seconds, "How long reads took, together", |disk: &DiskTelemetry| {
        Some(seconds(disk.read_time_ns))
    }),
    figure(DISK, "wr_time", Counter, Seconds, "How long writes took, together", |disk: &DiskTelemetry| {
        Some(seconds(disk.write_time_ns))
    }),
    figure(DISK, "disk_busy", Counter, Seconds, "Time in which something was under way", |disk: &DiskTelemetry| {
        Some(seconds(disk.busy_time_ns))
    }),
    figure(DISK, "disk_in_flight", Gauge, Number, "Reads and writes under way", |disk: &DiskTelemetry| {
        number(disk.in_flight)
    }),
];

static TCP: &[Figure<TcpTelemetry>] = &[
    figure(MACHINE, "tcp_active_opens", Counter, Number, "Connections begun", |tcp: &TcpTelemetry| {
        number(tcp.active_opens)
    }),
    figure(MACHINE, "tcp_passive_opens", Counter, Number, "Connections taken", |tcp: &TcpTelemetry| {
        number(tcp.passive_opens)
    }),
    figure(
        MACHINE,
        "tcp_failed_attempts",
        Counter,
        Number,
        "Connections that could not be made",
        |tcp: &TcpTelemetry| number(tcp.failed_attempts),
    ),
    figure(MACHINE, "tcp_resets", Counter, Number, "Connections reset", |tcp: &TcpTelemetry| number(tcp.resets)),
    figure(MACHINE, "tcp_established", Gauge, Number, "Connections there are", |tcp: &TcpTelemetry| {
        number(tcp.established)
    }),
    figure(MACHINE, "tcp_received_segments", Counter, Number, "Segments received", |tcp: &TcpTelemetry| {
        number(tcp.received_segments)
    }),
    figure(MACHINE, "tcp_sent_segments", Counter, Number, "Segments sent", |tcp: &TcpTelemetry| {
        number(tcp.sent_segments)
    }),
    figure(MACHINE, "tcp_retransmitted_segments", Counter, Number, "Segments sent again", |tcp: &TcpTelemetry| {
        number(tcp.retransmitted_segments)
    }),
    figure(MACHINE, "tcp_received_errors", Counter, Number, "Segments received with an error", |tcp: &TcpTelemetry| {
        number(tcp.received_errors)
    }),
    figure(MACHINE, "tcp_sent_resets", Counter, Number, "Resets sent", |tcp: &TcpTelemetry| number(tcp.sent_resets)),
    figure(
        MACHINE,
        "tcp_listen_overflows",
        Counter,
        Number,
        "Times that the queue of a listener was full",
        |tcp: &TcpTelemetry| number(tcp.listen_overflows?),
    ),
    figure(MACHINE, "tcp_listen_drops", Counter, Number, "Connections that listeners dropped", |tcp: &TcpTelemetry| {
        number(tcp.listen_drops?)
    }),
    figure(MACHINE, "tcp_orphans", Gauge, Number, "Sockets without a process", |tcp: &TcpTelemetry| {
        number(tcp.orphans?)
    }),
    figure(MACHINE, "tcp_memory", Gauge, Bytes, "Memory of all sockets", |tcp: &TcpTelemetry| {
        number(tcp.memory_bytes?)
    }),
];

/// One figure for all states: the state is the subsystem.
static SOCKETS: &[Figure<u64>] =
    &[figure(MetricOf::State, "tcp_sockets", Gauge, Number, "Sockets, by state", |count: &u64| number(*count))];

fn by_state(states: &TcpStates) -> [(&'static str, u64); 11] {
    [
        ("established", states.established),
        ("syn_sent", states.syn_sent),
        ("syn_received", states.syn_received),
        ("fin_wait_1", states.fin_wait_1),
        ("fin_wait_2", states.fin_wait_2),
        ("time_wait", states.time_wait),
        ("close", states.close),
        ("close_wait", states.close_wait),
        ("last_ack", states.last_ack),
        ("listen", states.listen),
        ("closing", states.closing),
    ]
}

pub(super) fn visit(message: &NodeTelemetry, see: See<'_>) {
    for network in &message.networks {
        see_all(NETWORK, network, &network.interface, see);
    }
    for disk in &message.disks {
        see_all(DISKS, disk, &disk.device, see);
    }
    if let Some(tcp) = &message.tcp {
        see_all(TCP, tcp, "", see);
        for (state, count) in tcp.states.iter().flat_map(by_state) {
            see_all(SOCKETS, &count, state, see);
        }
    }
}

pub(super) fn list(metrics: &mut Vec<&'static TelemetryMetric>) {
    list_of(NETWORK, metrics);
    list_of(DISKS, metrics);
    list_of(TCP, metrics);
    list_of(SOCKETS, metrics);
}
