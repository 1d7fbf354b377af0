//! What a node may be asked for.

use clap::Args;
use nuncius_schemas::units::HumanDuration;

use super::app::BundleArgs;
use super::gateway::bytes;

/// What the node on this machine may be asked for; no message can raise it.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArgs {
    /// Label of the node, k=v; NUNCIUS_LABEL_<K>=v in the environment does the same.
    #[arg(long = "label", value_name = "K=V")]
    pub(crate) labels: Vec<String>,
    /// Target that load may be sent to: address, CIDR, host name, *.suffix, or `any` (default: loopback and private).
    #[arg(long = "allow-target", value_name = "TARGET", env = "NUNCIUS_ALLOW_TARGET", value_delimiter = ',')]
    pub(crate) allow_targets: Vec<String>,
    /// Program that experiments may have run beside the load: a name, or a path from the root (default: none). It gets
    /// whatever arguments the experiment gives it.
    #[arg(long = "allow-profile", value_name = "PROGRAM", env = "NUNCIUS_ALLOW_PROFILE", value_delimiter = ',')]
    pub(crate) allow_profiles: Vec<String>,
    /// Variable that experiments may use as ${NAME}; those named NUNCIUS_VAR_* always may.
    #[arg(long = "expose-env", value_name = "NAME")]
    pub(crate) expose_env: Vec<String>,
    /// Engine threads for each group.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Share of the load this node takes, relative to the others.
    #[arg(long, default_value_t = 1)]
    pub(crate) weight: u32,
    /// Most iterations per second this node starts.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) max_rate: u64,
    /// Most requests in flight on this node.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) max_in_flight: u32,
    /// Longest load this node offers.
    #[arg(long, default_value = "24h")]
    pub(crate) max_duration: HumanDuration,
    /// How long load waits at its horizon for a daemon to move that, until it ends.
    #[arg(long, value_name = "DURATION", default_value = "10m", env = "NUNCIUS_ORPHAN_LIMIT")]
    pub(crate) orphan_limit: HumanDuration,
    /// Seconds and batches of request records that wait for the bus at most; records beyond that are dropped, and told.
    #[arg(long, value_name = "COUNT", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) report_queue: u32,
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
    /// Most bytes of all bundles that are kept unpacked in the data directory; the least used go first.
    #[arg(long, value_name = "BYTES", default_value = "1GiB", env = "NUNCIUS_BUNDLE_CACHE")]
    #[arg(value_parser = bytes)]
    pub(crate) bundle_cache: u64,
}

impl Default for NodeArgs {
    fn default() -> Self {
        Self {
            labels: Vec::new(),
            allow_targets: Vec::new(),
            allow_profiles: Vec::new(),
            expose_env: Vec::new(),
            threads: 1,
            weight: 1,
            max_rate: 1_000_000,
            max_in_flight: 100_000,
            max_duration: HumanDuration::from_secs(86_400),
            orphan_limit: HumanDuration::from_secs(600),
            report_queue: 256,
            bundle: BundleArgs::default(),
            bundle_cache: nuncius_client::bundles::CACHE_BYTES,
        }
    }
}
