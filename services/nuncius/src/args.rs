//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use nuncius_bus::roles::UserRole;
use nuncius_schemas::units::HumanDuration;

mod app;
mod emulators;
mod examples;
mod gateway;
mod global;
mod import;
mod observe;
mod parse;
mod queues;
mod telemetry;
mod traces;

pub(crate) use app::{AppCommand, BundleArgs};
pub(crate) use emulators::{
    HostArgs, OcoArgs, ResourceArgs, ResourceCommand, ResourceNodes, ResourceSetArgs, ServoArgs,
};
pub(crate) use gateway::{Compression, GatewayArgs};
pub(crate) use global::Global;
pub(crate) use import::{ArtilleryArgs, ArtilleryForm, ArtilleryOutputArgs, ImportArgs};
pub(crate) use observe::ObserveArgs;
pub(crate) use parse::{command, parse};
pub(crate) use queues::{DeadCommand, DeviceArgs, FrontendArgs, QueueClientArgs, QueueCommand, WorkerArgs};
pub(crate) use telemetry::{SamplerArgs, TelemetryArgs, TelemetryCommand, TelemetrySamplerArgs};
pub(crate) use traces::TraceViewArgs;

/// Distributed load and scalability experiments over NATS.
#[derive(Debug, Parser)]
#[command(name = "nuncius", version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything that makes sense on one machine: nats-server, daemon, client nodes, stub.
    Up(UpArgs),
    /// Run an experiment and wait for its verdict; brings along whatever is missing.
    Run(Box<RunArgs>),
    /// Check an experiment and tell what it would do; nothing is stored, published or started.
    Validate(ValidateArgs),
    /// Turn a test of Artillery into an experiment, or tell what becomes of each of its keys.
    Import(Box<ImportArgs>),
    /// Publish an experiment and return at once.
    Submit(SubmitArgs),
    /// List experiments.
    Ps(PsArgs),
    /// Follow an experiment to its end.
    Watch(WatchArgs),
    /// End an experiment; one that waits never starts.
    Cancel(CancelArgs),
    /// Show the report of an experiment.
    Report(ReportArgs),
    /// Write everything that is stored of an experiment to files.
    Export(ExportArgs),
    /// Delete everything that is stored of an experiment.
    Rm(RmArgs),
    /// List who is there.
    Nodes,
    /// Show or change the routing table.
    #[command(subcommand)]
    Route(RouteCommand),
    /// Deploy what experiments need, show it, remove it.
    #[command(subcommand)]
    App(AppCommand),
    /// Check the server, the streams, the nodes, the database and this machine, and say what to do.
    ///
    /// Exit codes: 0 nothing is bad (there may be warnings), 5 something is.
    Doctor,
    /// Make, show and change job queues.
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Have memory, disk and processors of nodes consumed.
    #[command(subcommand)]
    Resource(ResourceCommand),
    /// Be a load-generating node; with --queue, the test client of a job queue.
    Client(ClientArgs),
    /// Keep job queues and their books.
    Frontend(FrontendArgs),
    /// Run jobs of a queue.
    Worker(WorkerArgs),
    /// Be the experiment daemon.
    Experimentd(ExperimentdArgs),
    /// Hand the telemetry of all processes on to a collector, and show metrics.
    Gateway(Box<GatewayArgs>),
    /// Sample this machine; with a command, show and steer the samples of machines.
    Telemetry(TelemetryArgs),
    /// Ask NVML line by line, in a process that may crash.
    #[command(hide = true)]
    NvmlSampler,
    /// Write the configuration of a nats-server that keeps roles apart, with a key for each.
    NatsConfig(NatsConfigArgs),
    /// Be a system under test.
    #[command(subcommand)]
    Emulator(EmulatorCommand),
    /// Print the completions of a shell, to be loaded by it.
    Completions(CompletionsArgs),
    /// Print the manual page, or write the pages of all commands to a directory.
    Man(ManArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where one page for each command goes (default: the first page, to standard output).
    pub(crate) directory: Option<PathBuf>,
}

/// What the node on this machine may be asked for; no message can raise it.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArgs {
    /// Label of the node, k=v; NUNCIUS_LABEL_<K>=v in the environment does the same.
    #[arg(long = "label", value_name = "K=V")]
    pub(crate) labels: Vec<String>,
    /// Target that load may be sent to: address, CIDR, host name, *.suffix, or `any` (default: loopback and private).
    #[arg(long = "allow-target", value_name = "TARGET", env = "NUNCIUS_ALLOW_TARGET", value_delimiter = ',')]
    pub(crate) allow_targets: Vec<String>,
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
    #[arg(value_parser = gateway::bytes)]
    pub(crate) bundle_cache: u64,
}

impl Default for NodeArgs {
    fn default() -> Self {
        Self {
            labels: Vec::new(),
            allow_targets: Vec::new(),
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

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Where the nats-server listens; not used with --nats.
    #[arg(long, default_value = "127.0.0.1:4222")]
    pub(crate) listen: SocketAddr,
    /// How many client nodes.
    #[arg(long, default_value_t = 1)]
    pub(crate) clients: u32,
    /// Queue to make, with a frontend to keep it; may be given several times.
    #[arg(long = "queue", value_name = "QUEUE")]
    pub(crate) queues: Vec<String>,
    /// Where the frontend serves its metrics.
    #[arg(long, default_value = "127.0.0.1:9998")]
    pub(crate) maddr: String,
    /// Do not start the stub that the examples use as their target.
    #[arg(long)]
    pub(crate) no_stub: bool,
    /// Emulator to start too, oco or resource, and where it listens (default: 127.0.0.1:8080); may be given several
    /// times.
    #[arg(long = "emulator", value_name = "oco|resource[=ADDR]")]
    pub(crate) emulators: Vec<String>,
    /// Where the stub listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) stub_listen: SocketAddr,
    #[command(flatten)]
    pub(crate) observe: ObserveArgs,
    #[command(flatten)]
    pub(crate) sampler: SamplerArgs,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Changes to a submission that a flag makes easier than an editor.
#[derive(Debug, Clone, Args)]
pub(crate) struct SubmissionArgs {
    /// Experiment: a file (YAML, JSON or MessagePack; `-` is standard input), a directory with one and what it needs,
    /// or app:NAME for one that is deployed.
    pub(crate) file: PathBuf,
    /// Id of the experiment.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// Address of a service that the experiment names, NAME=HOST:PORT[,HOST:PORT].
    #[arg(long = "service", value_name = "NAME=ADDRESSES")]
    pub(crate) services: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) submission: SubmissionArgs,
    /// Client nodes to bring along when there are none.
    #[arg(long, default_value_t = 1)]
    pub(crate) clients: u32,
    /// Where the HTML report goes (default: reports/ID.html in the data directory).
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Where the report goes as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) report_json: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) traces: TraceViewArgs,
    /// No live view.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) sampler: SamplerArgs,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(flatten)]
    pub(crate) artillery: ArtilleryArgs,
    #[command(flatten)]
    pub(crate) artillery_output: ArtilleryOutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub(crate) submission: SubmissionArgs,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    pub(crate) submission: SubmissionArgs,
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Those that have ended, too.
    #[arg(long, short)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Experiment: its id, the beginning of one, or `last`.
    pub(crate) id: String,
    /// Where the HTML report goes.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) traces: TraceViewArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// Experiment: its id, the beginning of one, or `last`.
    pub(crate) id: String,
    /// Why, for the audit.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Experiment: its id, the beginning of one, or `last`.
    pub(crate) id: String,
    /// Write the HTML report to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) traces: TraceViewArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Experiment: its id, the beginning of one, or `last`.
    pub(crate) id: String,
    /// Tables as CSV files, in the directory --out.
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Where to (default: ID-csv, or standard output).
    #[arg(long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Experiments: ids, beginnings of ids, or `last`.
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
    /// Delete what the bus has though no database that can be reached has the experiment.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Set the addresses of a service.
    Set {
        /// Service.
        service: String,
        /// HOST:PORT or HOST:PORT=WEIGHT.
        #[arg(required = true)]
        addresses: Vec<String>,
    },
    /// List the routing table.
    Ls,
    /// Remove a service.
    Rm {
        /// Service.
        service: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// Name to register under (default: the host's); a taken one gets a suffix.
    #[arg(long, env = "NUNCIUS_NODE_NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(flatten)]
    pub(crate) sampler: SamplerArgs,
    #[command(flatten)]
    pub(crate) jobs: QueueClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExperimentdArgs {
    /// Name to register under.
    #[arg(long, default_value = "experimentd")]
    pub(crate) name: String,
    /// SQLite file (default: nuncius.db in the data directory).
    #[arg(long, env = "NUNCIUS_DATABASE")]
    pub(crate) database: Option<PathBuf>,
    /// How far ahead of what it has acknowledged a node may offer load.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub(crate) horizon: HumanDuration,
    /// From the start command to the first instant of load.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub(crate) start_lead: HumanDuration,
    /// How long a node may take to answer.
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    pub(crate) command_timeout: HumanDuration,
    /// How long `before` and `after` of a group may take.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub(crate) once_limit: HumanDuration,
    /// How long a node must have been silent before its load moves to others, which is no earlier than its horizon.
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    pub(crate) node_silence: HumanDuration,
    /// How often it is stored where a run stands, for a daemon that takes it over.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub(crate) checkpoint_period: HumanDuration,
    /// How long after its death another daemon takes over what it ran.
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub(crate) lease: HumanDuration,
    /// How often the nodes' clocks are measured again.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(crate) clock_period: HumanDuration,
    /// How long after its load a node may take to send the last of what it measured.
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub(crate) last_delta_patience: HumanDuration,
    /// Longest that one write into the database may take; what takes longer has failed, and is tried again.
    #[arg(long, value_name = "DURATION", default_value = "20s")]
    pub(crate) store_write_limit: HumanDuration,
    /// How long the database may take, when a run has ended, to have all of it; beyond that the result is INVALID.
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub(crate) store_patience: HumanDuration,
    /// How long the deltas and request records of a run stay on the bus after its end.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub(crate) stream_retention: HumanDuration,
    /// How often the database is compared with what the bus knows of runs that have ended.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(crate) reconcile_period: HumanDuration,
    /// Most figures of machines that are stored of one run.
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    pub(crate) telemetry_rows: u64,
}

#[derive(Debug, Args)]
pub(crate) struct NatsConfigArgs {
    /// Where files go; keys that are there already are kept.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) out: PathBuf,
    /// Roles that get a user (default: all of them).
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    pub(crate) roles: Vec<UserRole>,
    /// Queue that workers and clients of jobs may use, several with commas (default: any).
    #[arg(long = "queue", value_name = "QUEUE", value_delimiter = ',')]
    pub(crate) queues: Vec<String>,
    /// Where the server listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4222")]
    pub(crate) listen: SocketAddr,
    /// Where the server keeps its streams.
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/nats")]
    pub(crate) store: PathBuf,
    /// PEM file with the server's certificate; with --server-key.
    #[arg(long, value_name = "FILE", requires = "server_key")]
    pub(crate) server_cert: Option<PathBuf>,
    /// PEM file with the key of --server-cert.
    #[arg(long, value_name = "FILE", requires = "server_cert")]
    pub(crate) server_key: Option<PathBuf>,
    /// PEM file with the authority that signed the certificates of clients, which then must have one.
    #[arg(long, value_name = "FILE", requires = "server_cert")]
    pub(crate) client_ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EmulatorCommand {
    /// An HTTP target with known service times, concurrency, queue and errors.
    Stub(StubArgs),
    /// A device that is not there: work takes the time it would take, and telemetry looks like a device's.
    Device(DeviceArgs),
    /// Thousands of OCO optimisation backends.
    Oco(OcoArgs),
    /// Thousands of servos that drive OCO backends; brings along what is missing, and reports.
    ///
    /// Exit codes as of `run`.
    Servo(Box<ServoArgs>),
    /// Consumes memory, disk and processor time on request.
    Resource(ResourceArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StubArgs {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:8089")]
    pub(crate) listen: SocketAddr,
    /// Service time: 0, 2ms, exponential:2ms, uniform:1ms..3ms, lognormal:2ms,0.5.
    #[arg(long, default_value = "0")]
    pub(crate) service_time: String,
    /// Seed of service times and errors.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Requests served at once; unlimited when absent.
    #[arg(long)]
    pub(crate) concurrency: Option<u32>,
    /// Requests that may wait for one of those; unlimited when absent.
    #[arg(long)]
    pub(crate) queue: Option<u32>,
    /// Share of requests answered 500, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) error_rate: f64,
    /// Answer nothing from AFTER on, for FOR: AFTER+FOR, as in 10s+2s; without FOR for good.
    #[arg(long = "freeze", value_name = "AFTER[+FOR]")]
    pub(crate) freeze: Vec<String>,
    /// Size of an answer's body in bytes.
    #[arg(long, default_value_t = 3)]
    pub(crate) body_bytes: usize,
    #[command(flatten)]
    pub(crate) hosts: HostArgs,
    /// Put its address into the routing table under this service name (needs NATS).
    #[arg(long)]
    pub(crate) register: Option<String>,
}

/// How long requests to the daemon may take.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
