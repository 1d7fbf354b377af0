//! The experiment as people write it: groups of virtual users, the load they offer, and the gates they are judged by.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::amendment::Amendment;
use crate::bundle::BundleReference;
use crate::flow::{Auth, ByteSize, Feeder, HttpVersion, Scenario, ScriptSource};
use crate::gate::Gate;
use crate::interarrival::Clients;
use crate::meter::DeclaredMeter;
use crate::profile::ProfileSpec;
use crate::scaling::ScalingSpec;
use crate::search::SearchSpec;
use crate::servo::ServoOptions;
use crate::steps::StepTable;
use crate::stress::StressStep;
use crate::sweep::SweepSpec;
use crate::units::{HumanDuration, Rate};

pub(crate) mod amqp;
mod backoff;
pub(crate) mod check;
mod connection;
pub(crate) mod expect;
mod files;
mod group_steps;
pub mod limits;
mod load;
mod meters;
pub(crate) mod method;
mod modes;
mod nodes;
pub mod pattern;
pub mod recorded;
mod stage;
pub mod telemetry;
pub(crate) mod text;
pub mod texts;
pub mod validate;
mod window;
pub(crate) mod within;

pub use amqp::{AmqpConsume, AmqpPublish};
pub use backoff::Backoff;
pub use check::SpecError;
pub use connection::{Connections, TlsOptions};
pub use expect::{Expect, STATUS_ENTRIES_MAX, Statuses};
pub use files::{NamedFile, files_of};
pub use method::{METHOD_MAX_BYTES, Method};
pub use modes::{OnNodeLoss, RecordsMode};
pub use nodes::NodeSelection;
pub use pattern::Pattern;
pub use recorded::{Instants, RecordedArrivals};
pub use stage::{Arrivals, Stage};
pub use telemetry::{TelemetryNodes, TelemetrySpec};

pub use crate::flow::{JobStep, Step};

/// Most of a body that is kept for captures, checks and hooks unless the group says otherwise, in bytes.
pub const BODY_LIMIT_DEFAULT_BYTES: u64 = 1 << 20;

/// One experiment. The smallest has one group with a target, a rate and a duration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExperimentSpec {
    /// Identifier, a token. Absent: the message id of the submission, else `e<stream sequence>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What people call it; the id when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
    /// Free text for later: kept in the store, shown in the report.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Seed of every random choice; the same seed gives the same schedule.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Service names and their `host:port` addresses; a name that is not here is looked up in the routing table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, Vec<String>>,
    /// Services whose route stays as it is, whatever becomes of the routing table while load is offered; each with the
    /// revision that the table must have it in when the experiment is planned, or 0 for whichever it has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pinned_routes: BTreeMap<String, u64>,
    /// Where the files are that it names: nodes fetch them before they get ready. `nuncius run` of a directory, or of a
    /// file that names others, packs them and fills this in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleReference>,
    /// Which nodes take part.
    #[serde(default)]
    pub nodes: NodeSelection,
    /// The virtual users.
    pub groups: Vec<Group>,
    /// Pressure on memory, disk or processors of nodes while the load runs, by the emulators of resources there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stress: Vec<StressStep>,
    /// Commands on nodes beside the load, whose output is kept; nothing of it changes the verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profile: Vec<ProfileSpec>,
    /// What is changed of the load at instants of run time, in their order. What somebody changes while it runs is
    /// added here, so that the record of a run has all that its schedule was made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amendments: Vec<Amendment>,
    /// What must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// Which requests leave a record of their own.
    #[serde(default)]
    pub records: RecordsMode,
    /// Whose telemetry is stored; nobody's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<TelemetrySpec>,
    /// Share of requests that carry a sampled trace, 0 to 1.
    #[serde(default = "default_trace_ratio")]
    pub trace_ratio: f64,
    /// How many of the slowest requests of each second and step are traced and told whatever the ratio, 0 to 32. A
    /// request is known to be slow when it is over: of one that carried no sampled trace there is the client's span
    /// alone.
    #[serde(default = "default_trace_slowest")]
    pub trace_slowest: u32,
    /// Lag p99 beyond which a node counts as starved and the run as invalid.
    #[serde(default = "default_lag_limit")]
    pub lag_limit: HumanDuration,
    /// How late a node's own timer may come before the node counts as having stood still and the run as invalid,
    /// whatever the rate and the model. The default is 2 % of any five seconds, within which lag and run delay are
    /// judged: what is shorter than that lengthens no p95 of them.
    #[serde(default = "default_heartbeat_limit")]
    pub heartbeat_limit: HumanDuration,
    /// Share of any five seconds, 0 to 1, that an engine thread may wait for a processor before its node counts as
    /// starved.
    #[serde(default = "default_run_delay_limit")]
    pub run_delay_limit: f64,
    /// How long after the end of the schedule answers are waited for; what is still open then is censored.
    #[serde(default = "default_drain")]
    pub drain: HumanDuration,
    /// How far ahead of what it has reported a node may offer load; the daemon's setting when absent. The load of a
    /// lost node moves to others from there on: a shorter one moves it sooner, and bears shorter outages of the bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon: Option<HumanDuration>,
    /// What becomes of the load of a node that is lost.
    #[serde(default)]
    pub on_node_loss: OnNodeLoss,
    /// Share of the scheduled arrivals, 0 to 1, that may not have been offered, or not be accounted for, before the run
    /// is invalid.
    #[serde(default = "default_max_deficit")]
    pub max_deficit: f64,
    /// Measures one queue group with more and more workers, each measurement an experiment of its own. For `nuncius
    /// run`, which starts and counts workers; a daemon refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingSpec>,
    /// Looks for the highest load of one group at which the gates hold, each probe an experiment of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchSpec>,
    /// Runs it with every combination of some factors' values, each run an experiment of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<SweepSpec>,
}

fn default_seed() -> u64 {
    1
}

fn default_trace_ratio() -> f64 {
    0.001
}

fn default_trace_slowest() -> u32 {
    3
}

fn default_lag_limit() -> HumanDuration {
    HumanDuration::from_millis(10)
}

fn default_heartbeat_limit() -> HumanDuration {
    HumanDuration::from_millis(100)
}

fn default_run_delay_limit() -> f64 {
    0.10
}

fn default_max_deficit() -> f64 {
    0.01
}

fn default_drain() -> HumanDuration {
    HumanDuration::from_secs(5)
}

/// What a virtual user speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// HTTP/1.1, with TLS when the target's scheme is `https`.
    #[default]
    Http,
    /// AMQP 0-9-1: publishes with confirms, and consumes.
    Amqp,
    /// Jobs on a Nuncius queue, each from submission to its terminal record.
    Queue,
    /// Servos: clients of the OCO servo protocol, over HTTP or the bus.
    Servo,
}

/// A group of virtual users: what they do and how much of it.
///
/// Open model: `rate` with `duration`, `stages`, or a `pattern`. Closed model: `users` with `duration` or `iterations`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Name, at most 64 characters, unique in the experiment.
    #[serde(default = "default_group_name")]
    pub name: String,
    /// What it speaks.
    #[serde(default)]
    pub engine: EngineKind,
    /// URL whose host is a service name or an address: `http://shop/`, `amqp://broker/%2f`; for jobs the queue:
    /// `queue://sleep`; for servos the root of the service: `http://oco/`, or `nats://oco` over the bus.
    pub target: String,
    /// Which nodes; those of the experiment when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeSelection>,
    /// What one iteration does, in order; when empty, for HTTP one GET of the target, for a queue one job without
    /// arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Headers of every request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Open model: iterations started per second over all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Open model: the rate over time, instead of `rate`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
    /// Open model: the rate is for each node, not for all of them together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rate_per_node: bool,
    /// Open model: spacing, or the file of a bundle with the instants.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// Open model: a rate that follows a pattern for `duration`, instead of `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// Open model: clients who send one request after the other, each at times of its own, instead of `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<Clients>,
    /// Closed model: concurrent users over all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<u32>,
    /// Closed model: pause of a user after each iteration.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub think_time: HumanDuration,
    /// Closed model: pauses of a user whose iterations end without an answer.
    #[serde(default, skip_serializing_if = "Backoff::is_default")]
    pub backoff: Backoff,
    /// How long load is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<HumanDuration>,
    /// At most this many iterations over all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u64>,
    /// Open model: iterations under way on one node before the next must wait (counted as blocked).
    #[serde(default = "default_max_in_flight")]
    pub max_in_flight: u32,
    /// Open model: iterations under way over all nodes; who arrives while there are as many is skipped. Each node has
    /// its share of them, by its share of the load, and at least one. Closed model: the most that amendments may raise
    /// `users` to; ten times `users`, and at least 100, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_users: Option<u32>,
    /// A request that has taken this long since it was sent has failed.
    #[serde(default = "default_timeout")]
    pub timeout: HumanDuration,
    /// HTTP: whether requests share connections.
    #[serde(default, skip_serializing_if = "Connections::is_default")]
    pub connections: Connections,
    /// How the peer of a TLS connection is checked, and who we are to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsOptions>,
    /// What the servos of `engine: servo` are; all as when it is not said when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servo: Option<ServoOptions>,
    /// HTTP: the version; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpVersion>,
    /// HTTP: most connections that the group has open on one node; as many as there are users under way when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// HTTP: how many redirects are followed for a request. Each is a request of its own, counted apart.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub redirects: u32,
    /// HTTP: whether each user keeps the cookies that answers set. When absent they do, except where all steps are the
    /// same for every user and every time: such a group has no sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookies: Option<bool>,
    /// HTTP: whether compressed answers are asked for (gzip, deflate, br). They are decoded where a capture, a check or
    /// a hook wants the body.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compression: bool,
    /// HTTP: most of a body that is kept for captures, checks and hooks, 1MiB when absent; the step fails where they
    /// need more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_limit: Option<ByteSize>,
    /// HTTP: who requests are sent as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// What begins in this time is sent and does not count; it is shown apart.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub warm_up: HumanDuration,
    /// HTTP: constants that every step sees, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, Value>,
    /// HTTP: rows of data, one for each iteration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feeders: Vec<Feeder>,
    /// HTTP: the JavaScript whose functions steps call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<ScriptSource>,
    /// HTTP: figures that the script adds to with `meter(name, value)`, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meters: BTreeMap<String, DeclaredMeter>,
    /// HTTP: what is done once for the whole experiment, before the load; what it captures and sets is given to all.
    /// It is shown apart from the steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Step>,
    /// HTTP: what is done once, when the load is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Step>,
    /// HTTP: what users do, each iteration one of them by its weight, instead of `steps`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scenarios: Vec<Scenario>,
}

fn default_group_name() -> String {
    "main".to_owned()
}

fn default_max_in_flight() -> u32 {
    1_000
}

fn default_timeout() -> HumanDuration {
    HumanDuration::from_secs(30)
}

fn is_zero(duration: &HumanDuration) -> bool {
    duration.0 == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_nothing(number: &u32) -> bool {
    *number == 0
}

impl ExperimentSpec {
    /// An experiment of these groups with everything else as when it is not said.
    pub fn of_groups(groups: Vec<Group>) -> Self {
        Self {
            id: None,
            name: None,
            creator: None,
            metadata: BTreeMap::new(),
            seed: default_seed(),
            services: BTreeMap::new(),
            pinned_routes: BTreeMap::new(),
            bundle: None,
            nodes: NodeSelection::default(),
            groups,
            stress: Vec::new(),
            profile: Vec::new(),
            amendments: Vec::new(),
            gates: Vec::new(),
            records: RecordsMode::default(),
            telemetry: None,
            trace_ratio: default_trace_ratio(),
            trace_slowest: default_trace_slowest(),
            lag_limit: default_lag_limit(),
            heartbeat_limit: default_heartbeat_limit(),
            run_delay_limit: default_run_delay_limit(),
            drain: default_drain(),
            horizon: None,
            on_node_loss: OnNodeLoss::default(),
            max_deficit: default_max_deficit(),
            scaling: None,
            search: None,
            sweep: None,
        }
    }
}

impl Group {
    /// An HTTP group of this target with everything else as when it is not said; its load is still to be given.
    pub fn of_target(target: String) -> Self {
        Self {
            name: default_group_name(),
            engine: EngineKind::default(),
            target,
            nodes: None,
            steps: Vec::new(),
            headers: BTreeMap::new(),
            rate: None,
            stages: Vec::new(),
            rate_per_node: false,
            arrivals: Arrivals::default(),
            pattern: None,
            clients: None,
            users: None,
            think_time: HumanDuration::default(),
            backoff: Backoff::default(),
            duration: None,
            iterations: None,
            max_in_flight: default_max_in_flight(),
            max_users: None,
            timeout: default_timeout(),
            connections: Connections::default(),
            tls: None,
            servo: None,
            http: None,
            max_connections: None,
            redirects: 0,
            cookies: None,
            compression: false,
            body_limit: None,
            auth: None,
            warm_up: HumanDuration::default(),
            variables: BTreeMap::new(),
            feeders: Vec::new(),
            script: None,
            meters: BTreeMap::new(),
            before: Vec::new(),
            after: Vec::new(),
            scenarios: Vec::new(),
        }
    }

    /// Most of a body that is kept for captures, checks and hooks, in bytes.
    pub fn body_limit_bytes(&self) -> u64 {
        self.body_limit.map_or(BODY_LIMIT_DEFAULT_BYTES, |limit| limit.0)
    }

    /// The steps by number, and where iterations are counted.
    pub fn step_table(&self) -> StepTable {
        let names = self.step_names();
        if self.engine == EngineKind::Http && !self.is_static() {
            StepTable::apart(names)
        } else {
            StepTable::new(names)
        }
    }
}
