//! The command line of the gateway.

use std::path::PathBuf;

use clap::Args;
use nuncius_schemas::resource::Amount;
use nuncius_schemas::subjects::Signal;
use nuncius_schemas::units::HumanDuration;
use nuncius_telemetry::otlp::Protocol;

use super::face::{FaceArgs, GatewayCommand};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct GatewayArgs {
    #[command(subcommand)]
    pub(crate) command: Option<GatewayCommand>,
    /// Name to register under; a taken one gets a suffix.
    #[arg(long, default_value = "gateway")]
    pub(crate) name: String,
    /// Where the pages, the REST interface and /metrics are served.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464", env = "NUNCIUS_GATEWAY_LISTEN")]
    pub(crate) listen: String,
    #[command(flatten)]
    pub(crate) face: FaceArgs,
    /// Collector that telemetry is handed on to by OTLP, http://HOST:4318 (default: none).
    #[arg(long, value_name = "URL", env = "NUNCIUS_OTLP_ENDPOINT")]
    pub(crate) otlp_endpoint: Option<String>,
    /// Where spans go instead: the whole address, with its path.
    #[arg(long, value_name = "URL", env = "NUNCIUS_OTLP_TRACES_ENDPOINT")]
    pub(crate) otlp_traces_endpoint: Option<String>,
    /// Where metrics go instead.
    #[arg(long, value_name = "URL", env = "NUNCIUS_OTLP_METRICS_ENDPOINT")]
    pub(crate) otlp_metrics_endpoint: Option<String>,
    /// Where log lines go instead.
    #[arg(long, value_name = "URL", env = "NUNCIUS_OTLP_LOGS_ENDPOINT")]
    pub(crate) otlp_logs_endpoint: Option<String>,
    /// How the collector is spoken to: http/protobuf, usually port 4318, or grpc, usually 4317.
    #[arg(long, value_name = "PROTOCOL", default_value = "http/protobuf", env = "NUNCIUS_OTLP_PROTOCOL")]
    pub(crate) otlp_protocol: Protocol,
    /// Headers of every request, K=V,…, values percent-encoded; tokens are better in the variable.
    #[arg(long, value_name = "HEADERS", env = "NUNCIUS_OTLP_HEADERS")]
    pub(crate) otlp_headers: Option<String>,
    /// How messages are compressed: gzip or none.
    #[arg(long, value_name = "METHOD", default_value = "gzip")]
    pub(crate) otlp_compression: Compression,
    /// How long one request may take.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub(crate) otlp_timeout: HumanDuration,
    /// What is handed on; the rest is dropped. Gateways share the work: start all of them alike.
    #[arg(long, value_name = "SIGNAL", value_delimiter = ',', default_value = "traces,metrics,logs")]
    #[arg(value_parser = signal)]
    pub(crate) otlp_signals: Vec<Signal>,
    /// Messages that wait are sent together, up to so many bytes.
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = bytes)]
    pub(crate) otlp_batch: u64,
    /// Pause before a request that failed is made again; doubled for each further one.
    #[arg(long, value_name = "DURATION", default_value = "500ms")]
    pub(crate) retry_pause: HumanDuration,
    /// Longest such pause, where the collector does not ask for another.
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub(crate) retry_pause_max: HumanDuration,
    /// Most bytes of one signal that wait in memory; beyond it the oldest are dropped, or written to --spool-directory.
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = bytes)]
    pub(crate) spool: u64,
    /// Most messages of one signal that wait in memory.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) spool_messages: u32,
    /// Where what does not fit into memory is kept, of this gateway alone.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) spool_directory: Option<PathBuf>,
    /// Most bytes of one signal in --spool-directory; beyond it the oldest are dropped.
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = bytes)]
    pub(crate) spool_directory_max: u64,
    /// How long the series of a run are shown after it has ended.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub(crate) metrics_ended_for: HumanDuration,
    /// Most runs that /metrics shows at a time: the latest.
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) metrics_runs: u32,
    /// Most series of a family that a process, a run or the gateway itself has; the rest are told together as other.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) metrics_series: u32,
    /// Most processes that /metrics shows at a time.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) metrics_processes: u32,
    /// How often streams, consumers and servers of NATS are asked how they fare.
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub(crate) nats_period: HumanDuration,
    /// A .creds file of the servers' system account: then the servers themselves are asked, too.
    #[arg(long, value_name = "FILE", env = "NUNCIUS_SYSTEM_CREDENTIALS", conflicts_with = "system_nkey")]
    pub(crate) system_credentials: Option<PathBuf>,
    /// The same, with an nkey seed, as `nuncius nats-config` writes it.
    #[arg(long, value_name = "FILE", env = "NUNCIUS_SYSTEM_NKEY")]
    pub(crate) system_nkey: Option<PathBuf>,
    /// How long after the death of a gateway another gets what it had taken.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(crate) takeover: HumanDuration,
}

/// How messages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Compression {
    Gzip,
    None,
}

fn signal(text: &str) -> Result<Signal, String> {
    Signal::of(text).ok_or_else(|| "there are traces, metrics and logs".to_owned())
}

pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    match text.parse::<Amount>().map_err(|error| error.to_string())? {
        Amount::Percent(_) => Err("write bytes, as 64MiB".to_owned()),
        amount => amount.to_bytes(0).map_err(|error| error.to_string()),
    }
}
