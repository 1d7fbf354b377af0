//! The command line of machines' telemetry.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nuncius_schemas::units::HumanDuration;

/// Samples of the machine beside what a process is for.
#[derive(Debug, Clone, Args)]
pub(crate) struct SamplerArgs {
    /// How often the machine is sampled, unless another process of it does that already; 0: never.
    #[arg(long = "telemetry-period", value_name = "DURATION", default_value = "1s", env = "NUNCIUS_TELEMETRY_PERIOD")]
    pub(crate) telemetry_period: HumanDuration,
}

impl Default for SamplerArgs {
    fn default() -> Self {
        Self { telemetry_period: HumanDuration::from_secs(1) }
    }
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct TelemetryArgs {
    #[command(subcommand)]
    pub(crate) command: Option<TelemetryCommand>,
    #[command(flatten)]
    pub(crate) sampler: TelemetrySamplerArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TelemetrySamplerArgs {
    /// Name of the machine (default: the host's); one that another machine has gets a suffix.
    #[arg(long, env = "NUNCIUS_NODE_NAME")]
    pub(crate) name: Option<String>,
    /// How often it is sampled.
    #[arg(long, value_name = "DURATION", default_value = "1s", env = "NUNCIUS_TELEMETRY_PERIOD")]
    pub(crate) period: HumanDuration,
    /// Where /proc of the machine is, in a container that is given it.
    #[arg(long, value_name = "DIRECTORY", default_value = "/proc", env = "NUNCIUS_PROC")]
    pub(crate) proc: PathBuf,
    /// Where /sys of the machine is.
    #[arg(long, value_name = "DIRECTORY", default_value = "/sys", env = "NUNCIUS_SYS")]
    pub(crate) sys: PathBuf,
    /// Control group that is sampled though it is no container, as /system.slice/*.service; may be given several times
    /// (default: those directly below the root).
    #[arg(long = "cgroup", value_name = "PATTERN")]
    pub(crate) cgroups: Vec<String>,
    /// Most control groups that are told of; containers come first.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) cgroups_max: usize,
    /// Do not ask NVML of NVIDIA's GPUs.
    #[arg(long)]
    pub(crate) no_nvml: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TelemetryCommand {
    /// Show the machines that are sampled, and how they fare.
    Show {
        /// Machines: names, or patterns as edge-* (default: all).
        nodes: Vec<String>,
        /// Every figure.
        #[arg(long, short)]
        all: bool,
    },
    /// Sample nothing until `resume`, but for experiments that ask for it.
    Pause {
        /// Machines: names, or patterns as edge-*.
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Sample again.
    Resume {
        /// Machines: names, or patterns as edge-*.
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Sample this often, or show how often.
    Period {
        /// Machine: a name, or a pattern as edge-*.
        node: String,
        /// Time between two samples, in seconds or with a unit, 100ms to 1h.
        #[arg(value_parser = HumanDuration::from_seconds_or_unit)]
        period: Option<HumanDuration>,
    },
}
