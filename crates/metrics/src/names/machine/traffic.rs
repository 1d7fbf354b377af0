//! Networks, disks and TCP of machines.

use crate::{Metric, Unit};

/// Received by an interface.
pub const NETWORK_RECEIVED_BYTES: Metric = Metric::counter(
    "nuncius_machine_network_received_bytes_total",
    Unit::Bytes,
    &["node", "interface"],
    "Received by an interface.",
)
.of_gateway();

/// Sent by an interface.
pub const NETWORK_SENT_BYTES: Metric = Metric::counter(
    "nuncius_machine_network_sent_bytes_total",
    Unit::Bytes,
    &["node", "interface"],
    "Sent by an interface.",
)
.of_gateway();

/// Packets received.
pub const RX_PACKETS: Metric =
    Metric::counter("nuncius_machine_rx_packets_total", Unit::None, &["node", "interface"], "Packets received.")
        .of_gateway();

/// Packets sent.
pub const TX_PACKETS: Metric =
    Metric::counter("nuncius_machine_tx_packets_total", Unit::None, &["node", "interface"], "Packets sent.")
        .of_gateway();

/// Packets received with an error.
pub const RX_ERRORS: Metric = Metric::counter(
    "nuncius_machine_rx_errors_total",
    Unit::None,
    &["node", "interface"],
    "Packets received with an error.",
)
.of_gateway();

/// Packets not sent because of an error.
pub const TX_ERRORS: Metric = Metric::counter(
    "nuncius_machine_tx_errors_total",
    Unit::None,
    &["node", "interface"],
    "Packets not sent because of an error.",
)
.of_gateway();

/// Packets received and dropped.
pub const RX_DROPPED: Metric = Metric::counter(
    "nuncius_machine_rx_dropped_total",
    Unit::None,
    &["node", "interface"],
    "Packets received and dropped.",
)
.of_gateway();

/// Packets dropped before they were sent.
pub const TX_DROPPED: Metric = Metric::counter(
    "nuncius_machine_tx_dropped_total",
    Unit::None,
    &["node", "interface"],
    "Packets dropped before they were sent.",
)
.of_gateway();

/// Speed of the link.
pub const LINK_SPEED_BITS_PER_SECOND: Metric = Metric::gauge(
    "nuncius_machine_link_speed_bits_per_second",
    Unit::None,
    &["node", "interface"],
    "Speed of the link.",
)
.of_gateway();

/// Strength of the Wi-Fi signal.
pub const SIGNAL_DBM: Metric = Metric::gauge(
    "nuncius_machine_signal_dbm",
    Unit::DecibelMilliwatts,
    &["node", "interface"],
    "Strength of the Wi-Fi signal.",
)
.of_gateway();

/// Rate at which Wi-Fi sends.
pub const TX_BITRATE_BITS_PER_SECOND: Metric = Metric::gauge(
    "nuncius_machine_tx_bitrate_bits_per_second",
    Unit::None,
    &["node", "interface"],
    "Rate at which Wi-Fi sends.",
)
.of_gateway();

/// Rate at which Wi-Fi receives.
pub const RX_BITRATE_BITS_PER_SECOND: Metric = Metric::gauge(
    "nuncius_machine_rx_bitrate_bits_per_second",
    Unit::None,
    &["node", "interface"],
    "Rate at which Wi-Fi receives.",
)
.of_gateway();

/// Read from a disk.
pub const DISK_READ_BYTES: Metric =
    Metric::counter("nuncius_machine_disk_read_bytes_total", Unit::Bytes, &["node", "disk"], "Read from a disk.")
        .of_gateway();

/// Written to a disk.
pub const DISK_WRITTEN_BYTES: Metric =
    Metric::counter("nuncius_machine_disk_written_bytes_total", Unit::Bytes, &["node", "disk"], "Written to a disk.")
        .of_gateway();

/// Reads that ended.
pub const RD_REQUESTS: Metric =
    Metric::counter("nuncius_machine_rd_requests_total", Unit::None, &["node", "disk"], "Reads that ended.")
        .of_gateway();

/// Writes that ended.
pub const WR_REQUESTS: Metric =
    Metric::counter("nuncius_machine_wr_requests_total", Unit::None, &["node", "disk"], "Writes that ended.")
        .of_gateway();

/// How long reads took, together.
pub const RD_TIME_SECONDS: Metric = Metric::counter(
    "nuncius_machine_rd_time_seconds_total",
    Unit::Seconds,
    &["node", "disk"],
    "How long reads took, together.",
)
.of_gateway();

/// How long writes took, together.
pub const WR_TIME_SECONDS: Metric = Metric::counter(
    "nuncius_machine_wr_time_seconds_total",
    Unit::Seconds,
    &["node", "disk"],
    "How long writes took, together.",
)
.of_gateway();

/// Time in which something was under way.
pub const DISK_BUSY_SECONDS: Metric = Metric::counter(
    "nuncius_machine_disk_busy_seconds_total",
    Unit::Seconds,
    &["node", "disk"],
    "Time in which something was under way.",
)
.of_gateway();

/// Reads and writes under way.
pub const DISK_IN_FLIGHT: Metric =
    Metric::gauge("nuncius_machine_disk_in_flight", Unit::None, &["node", "disk"], "Reads and writes under way.")
        .of_gateway();

/// Connections begun.
pub const TCP_ACTIVE_OPENS: Metric =
    Metric::counter("nuncius_machine_tcp_active_opens_total", Unit::None, &["node"], "Connections begun.").of_gateway();

/// Connections taken.
pub const TCP_PASSIVE_OPENS: Metric =
    Metric::counter("nuncius_machine_tcp_passive_opens_total", Unit::None, &["node"], "Connections taken.")
        .of_gateway();

/// Connections that could not be made.
pub const TCP_FAILED_ATTEMPTS: Metric = Metric::counter(
    "nuncius_machine_tcp_failed_attempts_total",
    Unit::None,
    &["node"],
    "Connections that could not be made.",
)
.of_gateway();

/// Connections reset.
pub const TCP_RESETS: Metric =
    Metric::counter("nuncius_machine_tcp_resets_total", Unit::None, &["node"], "Connections reset.").of_gateway();

/// Connections there are.
pub const TCP_ESTABLISHED: Metric =
    Metric::gauge("nuncius_machine_tcp_established", Unit::None, &["node"], "Connections there are.").of_gateway();

/// Segments received.
pub const TCP_RECEIVED_SEGMENTS: Metric =
    Metric::counter("nuncius_machine_tcp_received_segments_total", Unit::None, &["node"], "Segments received.")
        .of_gateway();

/// Segments sent.
pub const TCP_SENT_SEGMENTS: Metric =
    Metric::counter("nuncius_machine_tcp_sent_segments_total", Unit::None, &["node"], "Segments sent.").of_gateway();

/// Segments sent again.
pub const TCP_RETRANSMITTED_SEGMENTS: Metric =
    Metric::counter("nuncius_machine_tcp_retransmitted_segments_total", Unit::None, &["node"], "Segments sent again.")
        .of_gateway();

/// Segments received with an error.
pub const TCP_RECEIVED_ERRORS: Metric = Metric::counter(
    "nuncius_machine_tcp_received_errors_total",
    Unit::None,
    &["node"],
    "Segments received with an error.",
)
.of_gateway();

/// Resets sent.
pub const TCP_SENT_RESETS: Metric =
    Metric::counter("nuncius_machine_tcp_sent_resets_total", Unit::None, &["node"], "Resets sent.").of_gateway();

/// Times that the queue of a listener was full.
pub const TCP_LISTEN_OVERFLOWS: Metric = Metric::counter(
    "nuncius_machine_tcp_listen_overflows_total",
    Unit::None,
    &["node"],
    "Times that the queue of a listener was full.",
)
.of_gateway();

/// Connections that listeners dropped.
pub const TCP_LISTEN_DROPS: Metric = Metric::counter(
    "nuncius_machine_tcp_listen_drops_total",
    Unit::None,
    &["node"],
    "Connections that listeners dropped.",
)
.of_gateway();

/// Sockets without a process.
pub const TCP_ORPHANS: Metric =
    Metric::gauge("nuncius_machine_tcp_orphans", Unit::None, &["node"], "Sockets without a process.").of_gateway();

/// Memory of all sockets.
pub const TCP_MEMORY_BYTES: Metric =
    Metric::gauge("nuncius_machine_tcp_memory_bytes", Unit::Bytes, &["node"], "Memory of all sockets.").of_gateway();

/// Sockets, by state.
pub const TCP_SOCKETS: Metric =
    Metric::gauge("nuncius_machine_tcp_sockets", Unit::None, &["node", "state"], "Sockets, by state.").of_gateway();

/// All of them.
pub const ALL: &[&Metric] = &[
    &NETWORK_RECEIVED_BYTES,
    &NETWORK_SENT_BYTES,
    &RX_PACKETS,
    &TX_PACKETS,
    &RX_ERRORS,
    &TX_ERRORS,
    &RX_DROPPED,
    &TX_DROPPED,
    &LINK_SPEED_BITS_PER_SECOND,
    &SIGNAL_DBM,
    &TX_BITRATE_BITS_PER_SECOND,
    &RX_BITRATE_BITS_PER_SECOND,
    &DISK_READ_BYTES,
    &DISK_WRITTEN_BYTES,
    &RD_REQUESTS,
    &WR_REQUESTS,
    &RD_TIME_SECONDS,
    &WR_TIME_SECONDS,
    &DISK_BUSY_SECONDS,
    &DISK_IN_FLIGHT,
    &TCP_ACTIVE_OPENS,
    &TCP_PASSIVE_OPENS,
    &TCP_FAILED_ATTEMPTS,
    &TCP_RESETS,
    &TCP_ESTABLISHED,
    &TCP_RECEIVED_SEGMENTS,
    &TCP_SENT_SEGMENTS,
    &TCP_RETRANSMITTED_SEGMENTS,
    &TCP_RECEIVED_ERRORS,
    &TCP_SENT_RESETS,
    &TCP_LISTEN_OVERFLOWS,
    &TCP_LISTEN_DROPS,
    &TCP_ORPHANS,
    &TCP_MEMORY_BYTES,
    &TCP_SOCKETS,
];
