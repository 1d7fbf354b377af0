//! The command lines of systems under test and of those who ask them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nuncius_emulator::oco::{Mode, StateStore};
use nuncius_schemas::resource::{Amount, ByteRate, ResourceKind};
use nuncius_schemas::servo::DurationDistribution;
use nuncius_schemas::units::HumanDuration;

use super::telemetry::SamplerArgs;
use super::traces::TraceViewArgs;

/// Names by which HTTP faces may be called.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct HostArgs {
    /// Host name under which changes may be asked for, besides addresses, names without a dot and those of private
    /// networks; * allows any. It keeps out pages of strangers whose name was made to lead here.
    #[arg(long = "allow-host", value_name = "HOST", env = "NUNCIUS_ALLOW_HOST", value_delimiter = ',')]
    pub(crate) allow_hosts: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct OcoArgs {
    #[command(flatten)]
    pub(crate) sampler: SamplerArgs,
    /// Where HTTP is served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) http: String,
    /// YAML file of settings, read again when it changes; it goes before the flags.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where applications are remembered: memory, kv (NATS), file:PATH. With kv or a file they outlive this process.
    #[arg(long, default_value = "memory")]
    pub(crate) state: StateStore,
    /// strict: HTTP 400 for whatever is out of sequence; service: the answers of the real service.
    #[arg(long, default_value = "strict")]
    pub(crate) mode: Mode,
    /// The mode towards one account, ACCOUNT=MODE.
    #[arg(long = "account", value_name = "ACCOUNT=MODE")]
    pub(crate) accounts: Vec<String>,
    /// Take servos of unknown applications that are in the middle of their cycle.
    #[arg(long)]
    pub(crate) resync: bool,
    /// Applications in the list.
    #[arg(long, default_value_t = 5)]
    pub(crate) apps: u32,
    /// Their names.
    #[arg(long, default_value = "app{n:05}")]
    pub(crate) name_template: String,
    /// Most applications that may register.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) apps_max: usize,
    /// Wrap the list in {status, message, data} even if the query does not ask for it.
    #[arg(long)]
    pub(crate) wrapped: bool,
    #[command(flatten)]
    pub(crate) hosts: HostArgs,
    /// Connections held at a time (default: what the limit of open files leaves, 8192 at most); one more is answered
    /// 503.
    #[arg(long, value_name = "N")]
    pub(crate) connections_max: Option<usize>,
    /// Threads; one is quickest where the load comes from the same machine.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
    /// Name of its node.
    #[arg(long, default_value = "oco")]
    pub(crate) name: String,
    /// Put its address into the routing table under this service name (needs NATS).
    #[arg(long)]
    pub(crate) register: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServoArgs {
    /// Root of an OCO service; nats://oco is an emulator on the bus.
    #[arg(long, default_value = "http://127.0.0.1:8080/")]
    pub(crate) url: String,
    /// How many servos.
    #[arg(long, default_value_t = 100)]
    pub(crate) servos: u32,
    /// How long they run.
    #[arg(long = "for", value_name = "DURATION", default_value = "1m")]
    pub(crate) duration: HumanDuration,
    /// Account in the service's addresses.
    #[arg(long, default_value = "a")]
    pub(crate) account: String,
    /// Name of each servo's application.
    #[arg(long, default_value = "app{n:05}")]
    pub(crate) app_template: String,
    /// How long a measurement takes: 2s, uniform:30s..599s, exponential:2s.
    #[arg(long, default_value_t)]
    pub(crate) measure: DurationDistribution,
    /// How long an adjustment takes.
    #[arg(long, default_value_t)]
    pub(crate) adjust: DurationDistribution,
    /// Time between two progress reports of an operation.
    #[arg(long, default_value = "5s")]
    pub(crate) progress_interval: HumanDuration,
    /// The servos say hello spread over this time.
    #[arg(long, default_value = "10s")]
    pub(crate) start_spread: HumanDuration,
    /// After a failure: none says goodbye and begins anew, legacy sends the same again as the first
    /// servos did, which give a progress report up sooner than the rest; always sends the same until it is answered.
    #[arg(long, default_value = "none", value_parser = ["none", "legacy", "always"])]
    pub(crate) retry: String,
    /// With legacy and always, pause before an event is sent again.
    #[arg(long, default_value = "20s")]
    pub(crate) retry_delay: HumanDuration,
    /// Connections: pool shares 64, per_servo is one each.
    #[arg(long, default_value = "pool", value_parser = ["pool", "per_servo"])]
    pub(crate) connections: String,
    /// Variable of the environment that holds the bearer token: of this process, or of the clients where some run
    /// already.
    #[arg(long, value_name = "NAME")]
    pub(crate) token_env: Option<String>,
    /// What goes wrong on purpose in a share of the operations: skip_progress, double_whats_next, progress_backwards,
    /// drop_connection, crash; as crash=0.01.
    #[arg(long = "fault", value_name = "FAULT=SHARE")]
    pub(crate) faults: Vec<String>,
    /// Seed of everything that is drawn.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where the HTML report goes (default: reports/ID.html in the data directory).
    #[arg(long)]
    pub(crate) html: Option<PathBuf>,
    /// Where the report goes as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) report_json: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) traces: TraceViewArgs,
    /// No live view.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Target that load may be sent to, as of `nuncius client`.
    #[arg(long = "allow-target", value_name = "TARGET", env = "NUNCIUS_ALLOW_TARGET", value_delimiter = ',')]
    pub(crate) allow_targets: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ResourceArgs {
    #[command(flatten)]
    pub(crate) sampler: SamplerArgs,
    /// Where HTTP is served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) http: String,
    /// Name of its node (default: the host's with -resource).
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Label by which it is found, k=v; NUNCIUS_LABEL_<K>=v in the environment does the same.
    #[arg(long = "label", value_name = "K=V")]
    pub(crate) labels: Vec<String>,
    /// Where files are made, in a directory of their own.
    #[arg(long, env = "DATADIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Answer /api exactly as Testero does: status 200 to everything, delays of a second.
    #[arg(long)]
    pub(crate) compat: bool,
    /// Most memory, in bytes or as 512MiB; 0: what the control group or the host gives.
    #[arg(long, env = "HIGHMEMLIM", default_value = "0")]
    pub(crate) memory_limit: Amount,
    /// Most disk.
    #[arg(long, env = "HIGHFILELIM", default_value = "0")]
    pub(crate) disk_limit: Amount,
    /// What is always left free of both (default: 5 %, and 64 MiB at least where that is no more than a quarter).
    #[arg(long)]
    pub(crate) floor: Option<Amount>,
    /// The number that /api/cpu/load factors.
    #[arg(long, env = "NUMTOFACTOR", default_value = nuncius_emulator::resource::DEFAULT_NUMBER_TO_FACTOR)]
    pub(crate) number_to_factor: String,
    /// Bearer token that requests must carry.
    #[arg(long, env = "NUNCIUS_RESOURCE_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    #[command(flatten)]
    pub(crate) hosts: HostArgs,
    /// Only this may be consumed; may be given several times.
    #[arg(long = "only", value_name = "KIND")]
    pub(crate) kinds: Vec<ResourceKind>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ResourceCommand {
    /// Have memory, disk or processors of nodes consumed, by the emulators of resources that run there.
    Set(ResourceSetArgs),
    /// Release everything.
    Release(ResourceNodes),
    /// Show how resources stand.
    Ls(ResourceNodes),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ResourceNodes {
    /// Only nodes with this label, k=v; with several, nodes that have them all.
    #[arg(long = "nodes", value_name = "K=V", value_delimiter = ',')]
    pub(crate) labels: Vec<String>,
    /// Only nodes whose whole name matches this regular expression.
    #[arg(long, value_name = "REGEX")]
    pub(crate) names: Option<String>,
    /// Token of emulators that want one.
    #[arg(long, env = "NUNCIUS_RESOURCE_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Args)]
#[group(id = "wanted", required = true, multiple = true, args = ["memory", "disk", "cpu"])]
pub(crate) struct ResourceSetArgs {
    #[command(flatten)]
    pub(crate) nodes: ResourceNodes,
    /// Memory: 512MiB, or 50% of the limit in force.
    #[arg(long)]
    pub(crate) memory: Option<Amount>,
    /// Disk: 2GiB, or 10% of what is free.
    #[arg(long)]
    pub(crate) disk: Option<Amount>,
    /// Processor: 150% of a core, or a number of cores, as 1.5.
    #[arg(long)]
    pub(crate) cpu: Option<Amount>,
    /// Release it after this time.
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) ttl: Option<HumanDuration>,
    /// Reach it in a straight line within this time.
    #[arg(long)]
    pub(crate) ramp: Option<HumanDuration>,
    /// Disk: write as much a second for as long as it is held, 10MiB/s.
    #[arg(long, requires = "disk")]
    pub(crate) write_rate: Option<ByteRate>,
    /// Disk: read as much a second.
    #[arg(long, requires = "disk")]
    pub(crate) read_rate: Option<ByteRate>,
    /// Disk: every file is on the medium before it counts.
    #[arg(long, requires = "disk")]
    pub(crate) sync: bool,
}
