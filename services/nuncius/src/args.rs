//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use nuncius_bus::roles::UserRole;
use nuncius_schemas::route::Weight;
use nuncius_schemas::units::HumanDuration;

mod app;
mod bridge;
mod compare;
mod emulators;
mod examples;
mod export;
mod face;
mod gateway;
mod global;
mod import;
mod node;
mod observe;
mod pages;
mod parse;
mod profile;
mod queues;
mod shell;
mod steering;
mod stored;
mod telemetry;
mod traces;

pub(crate) use app::{AppCommand, BundleArgs};
pub(crate) use bridge::BridgeArgs;
pub(crate) use compare::{CompareArgs, ComparedSchedule};
pub(crate) use emulators::{
    HostArgs, OcoArgs, ResourceArgs, ResourceCommand, ResourceNodes, ResourceSetArgs, ServoArgs,
};
pub(crate) use export::ExportArgs;
pub(crate) use face::{FaceArgs, GatewayCommand};
pub(crate) use gateway::{Compression, GatewayArgs};
pub(crate) use global::Global;
pub(crate) use import::{ArtilleryArgs, ArtilleryForm, ArtilleryOutputArgs, ImportArgs};
pub(crate) use node::NodeArgs;
pub(crate) use observe::ObserveArgs;
pub(crate) use pages::{CompletionsArgs, ManArgs};
pub(crate) use parse::{command, parse};
pub(crate) use profile::{BesideArgs, ProfileArgs};
pub(crate) use queues::{DeadCommand, DeviceArgs, FrontendArgs, QueueClientArgs, QueueCommand, WorkerArgs};
pub(crate) use shell::ShellArgs;
pub(crate) use steering::{ScaleArgs, SteeredArgs};
pub(crate) use stored::{ImportRunArgs, PsArgs, RecordsArgs, RmArgs};
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
    /// Offer no load of an experiment any more, until it is resumed.
    Pause(SteeredArgs),
    /// Offer load again after a pause.
    Resume(SteeredArgs),
    /// Change rate or users of an experiment while it runs.
    Scale(ScaleArgs),
    /// End the load of an experiment in good order: it is judged by what there was.
    End(SteeredArgs),
    /// Mark an experiment that is under way: an event that every view of it shows.
    Event(EventArgs),
    /// Show the report of an experiment.
    Report(ReportArgs),
    /// Tell whether two experiments differ, step by step, with bounds.
    Compare(CompareArgs),
    /// List what profilers wrote beside an experiment, fetch it, draw it as a flame graph.
    Profile(ProfileArgs),
    /// Write everything that is stored of an experiment to files.
    Export(ExportArgs),
    /// Put an experiment that was exported as Parquet into the database.
    ImportRun(ImportRunArgs),
    /// Delete everything that is stored of an experiment.
    Rm(RmArgs),
    /// List who is there.
    Nodes,
    /// Show or change the routing table.
    #[command(subcommand)]
    Route(RouteCommand),
    /// Steer groups of clients by hand, or by a script, as in Galileo's shell; each that is given work is an
    /// experiment.
    Shell(ShellArgs),
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
    /// Hand messages of RabbitMQ queues on as jobs and experiments, and their results back.
    Bridge(Box<BridgeArgs>),
    /// Sample this machine; with a command, show and steer the samples of machines.
    Telemetry(TelemetryArgs),
    /// Ask NVML line by line, in a process that may crash.
    #[command(hide = true)]
    NvmlSampler,
    /// Become a program that goes when its parent does.
    #[command(hide = true)]
    Beside(BesideArgs),
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
    /// Open the page of the experiment in a browser, where a gateway is there and something that opens pages.
    #[arg(long)]
    pub(crate) open: bool,
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
pub(crate) struct WatchArgs {
    /// Experiment: its id, the beginning of one, or `last`.
    pub(crate) id: String,
    /// Where the HTML report goes.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Open its page in a browser, where a gateway is there and something that opens pages.
    #[arg(long)]
    pub(crate) open: bool,
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
pub(crate) struct EventArgs {
    /// Experiment: its id, the beginning of one, or `last`.
    pub(crate) id: String,
    /// What the event is called, 1 to 64 characters.
    pub(crate) name: String,
    /// What it says beside that, at most 1024 characters.
    pub(crate) value: Option<String>,
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
    /// Add addresses to a service.
    Append {
        /// Service.
        service: String,
        /// HOST:PORT or HOST:PORT=WEIGHT.
        #[arg(required = true)]
        addresses: Vec<String>,
    },
    /// Give the addresses of a service other weights.
    Weights {
        /// Service.
        service: String,
        /// One for each address, in their order; up to six digits after the point count.
        #[arg(required = true)]
        weights: Vec<Weight>,
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
    #[command(flatten)]
    pub(crate) records: RecordsArgs,
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

pub(crate) use nuncius_control::REQUEST_TIMEOUT;
