//! Networks, disks, TCP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A network interface; counters since it came up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NetworkTelemetry {
    /// Its name.
    pub interface: String,
    /// Received.
    pub received_bytes: u64,
    /// Received.
    pub received_packets: u64,
    /// Received with an error.
    pub received_errors: u64,
    /// Received and dropped.
    pub received_dropped: u64,
    /// Sent.
    pub sent_bytes: u64,
    /// Sent.
    pub sent_packets: u64,
    /// Not sent because of an error.
    pub sent_errors: u64,
    /// Dropped before they were sent.
    pub sent_dropped: u64,
    /// Received since the sample before, per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_bytes_per_second: Option<f64>,
    /// Sent since the sample before, per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_bytes_per_second: Option<f64>,
    /// Speed of the link, in bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_bits_per_second: Option<u64>,
    /// Of a Wi-Fi interface that is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wireless: Option<WirelessTelemetry>,
}

/// A Wi-Fi connection.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct WirelessTelemetry {
    /// Strength of what is received, in decibels over a milliwatt: less than 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal_dbm: Option<f64>,
    /// Rate at which is sent, in bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_bits_per_second: Option<u64>,
    /// Rate at which is received, in bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_bits_per_second: Option<u64>,
}

/// A whole disk; counters since the boot.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DiskTelemetry {
    /// Its name, without /dev.
    pub device: String,
    /// Read.
    pub read_bytes: u64,
    /// Written.
    pub written_bytes: u64,
    /// Reads that ended.
    pub reads: u64,
    /// Writes that ended.
    pub writes: u64,
    /// How long reads took, together.
    pub read_time_ns: u64,
    /// How long writes took, together.
    pub write_time_ns: u64,
    /// How long something was under way.
    pub busy_time_ns: u64,
    /// Under way.
    pub in_flight: u64,
    /// Read since the sample before, per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_bytes_per_second: Option<f64>,
    /// Written since the sample before, per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_bytes_per_second: Option<f64>,
}

/// TCP in the network namespace of the sampler; counters since the boot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TcpTelemetry {
    /// Connections begun.
    pub active_opens: u64,
    /// Connections taken.
    pub passive_opens: u64,
    /// Connections that could not be made.
    pub failed_attempts: u64,
    /// Connections reset.
    pub resets: u64,
    /// Connections there are.
    pub established: u64,
    /// Segments received.
    pub received_segments: u64,
    /// Segments sent, those that were sent again left out.
    pub sent_segments: u64,
    /// Segments sent again.
    pub retransmitted_segments: u64,
    /// Segments received with an error.
    pub received_errors: u64,
    /// Resets sent.
    pub sent_resets: u64,
    /// Times that the queue of a listener was full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_overflows: Option<u64>,
    /// Connections that a listener dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_drops: Option<u64>,
    /// Sockets without a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphans: Option<u64>,
    /// Memory of all sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Sockets by state. Of a machine with many it is counted less often than the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub states: Option<TcpStates>,
}

/// Sockets by state, of both versions of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TcpStates {
    /// Connected.
    pub established: u64,
    /// Wants to connect.
    pub syn_sent: u64,
    /// Is being connected to.
    pub syn_received: u64,
    /// Closed here.
    pub fin_wait_1: u64,
    /// Closed here, which the peer knows.
    pub fin_wait_2: u64,
    /// Over, kept for late segments.
    pub time_wait: u64,
    /// Not connected.
    pub close: u64,
    /// Closed by the peer.
    pub close_wait: u64,
    /// Closed by the peer, then here.
    pub last_ack: u64,
    /// Listens.
    pub listen: u64,
    /// Closed on both sides at once.
    pub closing: u64,
    /// How long ago they were counted, in nanoseconds.
    #[serde(default)]
    pub age_ns: u64,
}
