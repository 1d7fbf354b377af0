//! Nodes: what they say of themselves in the registry, and the commands the daemon gives them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::amendment::Amendment;
use crate::metric::first_attempt;
use crate::profile::ProfileReport;
use crate::route::Route;
use crate::spec::ExperimentSpec;
use crate::target::Target;
use crate::worker::WorkerInfo;

pub mod once;
pub mod profile;
pub mod resources;
pub mod selected;

pub use once::{GivenVariables, GroupVariables, ONCE_VARIABLES_MAX_BYTES, Once, OncePhase, VariablesError};
pub use profile::{Profile, ProfileOrder};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Offers load.
    Client,
    /// Runs experiments.
    Experimentd,
    /// Is a system under test.
    Emulator,
    /// Runs jobs of a queue.
    Worker,
    /// Keeps queues and their books.
    Frontend,
    /// Is the way out of telemetry.
    Gateway,
    /// Samples its machine, and does nothing else.
    Telemetry,
    /// Hands messages of AMQP queues on.
    Bridge,
}

impl Role {
    /// The name in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Experimentd => "experimentd",
            Self::Emulator => "emulator",
            Self::Worker => "worker",
            Self::Frontend => "frontend",
            Self::Gateway => "gateway",
            Self::Telemetry => "telemetry",
            Self::Bridge => "bridge",
        }
    }
}

/// Caps of a node, which no message can raise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// Relative share of the load this node takes.
    pub weight: u32,
    /// Most iterations per second this node starts.
    pub max_rate_per_second: u64,
    /// Most iterations under way on this node.
    pub max_in_flight: u32,
    /// Longest load, in seconds.
    pub max_duration_seconds: u64,
}

/// A process as the registry knows it (bucket `node`, one key a node).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeInfo {
    /// Name, a token; the key.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Labels it was started with.
    pub labels: BTreeMap<String, String>,
    /// Host name as the host gives it.
    pub host: String,
    /// Version of the program.
    pub version: String,
    /// Random number of this incarnation.
    pub epoch: u64,
    /// Process id on its host.
    pub process_id: u32,
    /// Processors of its host.
    pub processors: u32,
    /// Memory of its host, in bytes; 0 from programs that do not say.
    #[serde(default)]
    pub memory_bytes: u64,
    /// Caps; absent on nodes that offer no load.
    pub capacity: Option<Capacity>,
    /// Targets it may send to.
    pub allowed_targets: Vec<String>,
    /// Experiment it works for.
    pub experiment: Option<String>,
    /// What it takes jobs for; absent on all but workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerInfo>,
    /// When it started, milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// How long the bus takes to answer it, in nanoseconds; 0 where it does not say. Whoever asks it something has to
    /// wait for as long beside its own.
    #[serde(default)]
    pub round_trip_ns: u64,
}

/// Label of a gateway that says where its pages are.
pub const LABEL_OPEN: &str = "open";

/// Shards at even steps, written as `[start, step, count]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "(u32, u32, u32)", into = "(u32, u32, u32)")]
#[schemars(with = "(u32, u32, u32)")]
pub struct ShardRun {
    /// The first one.
    pub start: u32,
    /// How far the next one is from each.
    pub step: u32,
    /// How many there are.
    pub count: u32,
}

impl From<(u32, u32, u32)> for ShardRun {
    fn from((start, step, count): (u32, u32, u32)) -> Self {
        Self { start, step, count }
    }
}

impl From<ShardRun> for (u32, u32, u32) {
    fn from(run: ShardRun) -> Self {
        (run.start, run.step, run.count)
    }
}

/// A group's share on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupAssignment {
    /// Index of the group in the specification.
    pub group: u16,
    /// How many shards the group has for the whole run, on whatever nodes: a power of two. Arrival `i` belongs to shard
    /// `i mod shards`.
    pub shards: u32,
    /// Those of this node, none of them twice.
    pub owned: Vec<ShardRun>,
    /// Nodes the group runs on; multiplies a rate that is given per node.
    pub nodes: u32,
}

/// A request on a node's command subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum NodeCommand {
    /// Get ready: check, connect, build everything; offer nothing.
    Prepare(Box<Prepare>),
    /// Begin at an instant of this node's own clock.
    Start(Start),
    /// The horizon has moved.
    Extend(Extend),
    /// Offer nothing more, wait for answers, send the last delta.
    Stop(Stop),
    /// Offer shards of a lost node too.
    Take(Box<Take>),
    /// Say how you stand with the experiment.
    Inquire(Inquire),
    /// Do once what is done before or after the load.
    Once(Box<Once>),
    /// Run a command beside the load.
    Profile(Box<Profile>),
    /// Go by other routes.
    Reroute(Box<Reroute>),
}

impl NodeCommand {
    /// Its name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Prepare(_) => "prepare",
            Self::Start(_) => "start",
            Self::Extend(_) => "extend",
            Self::Stop(_) => "stop",
            Self::Take(_) => "take",
            Self::Inquire(_) => "inquire",
            Self::Once(_) => "once",
            Self::Profile(_) => "profile",
            Self::Reroute(_) => "reroute",
        }
    }

    /// Whether it is given once, by the course of a run: the others are given again and again, and leave no trace.
    pub const fn is_traced(&self) -> bool {
        match self {
            Self::Prepare(_) | Self::Start(_) | Self::Stop(_) | Self::Take(_) | Self::Once(_) => true,
            Self::Extend(_) | Self::Inquire(_) | Self::Profile(_) | Self::Reroute(_) => false,
        }
    }
}

/// What a node needs to take part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prepare {
    /// Experiment.
    pub experiment: String,
    /// Fencing token of the daemon's lease: a smaller one than seen before is refused.
    pub token: u64,
    /// Which start of the experiment this is, from 1: a run that is planned anew is another attempt.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// The specification, secrets still as `${NAME}`.
    #[serde(deserialize_with = "crate::spec::within::one")]
    pub spec: ExperimentSpec,
    /// Addresses of every service name the targets use.
    pub routes: Vec<Route>,
    /// This node's share.
    pub assignments: Vec<GroupAssignment>,
    /// Number from which trace and span ids of requests are made.
    pub run_key: u64,
    /// What the sessions of its groups are given: what was done once before the load has made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<GroupVariables>,
}

impl GroupAssignment {
    /// How many shards this node has.
    pub fn owned_count(&self) -> u64 {
        self.owned.iter().map(|run| u64::from(run.count)).sum()
    }
}

impl Prepare {
    /// The route that the target of a group is resolved by, if its host is a service of the routing table.
    pub fn route_of(&self, group: u16) -> Option<&Route> {
        let target = Target::parse(&self.spec.groups.get(usize::from(group))?.target)?;
        let service = target.host().ok()?.service()?;
        if self.spec.services.contains_key(service) {
            return None;
        }
        self.routes.iter().find(|route| route.service == service)
    }

    /// What the sessions of a group are given.
    pub fn variables_of(&self, group: u16) -> Option<&GivenVariables> {
        self.variables.iter().find(|given| given.group == group).map(|given| &given.variables)
    }
}

/// When to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Start {
    /// Experiment.
    pub experiment: String,
    /// Fencing token.
    pub token: u64,
    /// Which start of the experiment this is of, from 1.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// Instant zero of the run on this node's CLOCK_MONOTONIC, in nanoseconds.
    pub start_at_ns: u64,
    /// The same instant on the daemon's wall clock, nanoseconds since the Unix epoch; for records and spans only.
    pub start_unix_ns: u64,
    /// Offer nothing planned at or after this, in nanoseconds of run time.
    pub horizon_ns: u64,
}

/// How far a node may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Extend {
    /// Experiment.
    pub experiment: String,
    /// Fencing token.
    pub token: u64,
    /// Which start of the experiment this is of, from 1.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// Offer nothing planned at or after this, in nanoseconds of run time.
    pub horizon_ns: u64,
    /// Deltas up to this sequence have been merged.
    pub acknowledged_sequence: u64,
    /// All amendments of the load that lie before the horizon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amendments: Vec<Amendment>,
}

/// The end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stop {
    /// Experiment.
    pub experiment: String,
    /// Fencing token.
    pub token: u64,
    /// Which start of the experiment this is of, from 1.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// How long answers are waited for, in nanoseconds.
    pub drain_ns: u64,
    /// Why, for the node's log.
    pub reason: String,
}

/// Shards of a lost node, for one that offers load already. Answered when everything is ready; the same number a second
/// time changes nothing, and of one that is refused nothing is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Take {
    /// Experiment.
    pub experiment: String,
    /// Fencing token.
    pub token: u64,
    /// Which start of the experiment this is of, from 1.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// Which of the run's takings-over this is.
    pub number: u32,
    /// Run time from which on the shards are this node's, in nanoseconds: what was planned before is the lost node's.
    /// What is planned from then on, but before the node is ready, is offered by nobody.
    pub from_ns: u64,
    /// The shards.
    pub assignments: Vec<GroupAssignment>,
    /// All amendments of the load that were made before the move.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amendments: Vec<Amendment>,
}

/// Routes that have changed since the run was planned, for the requests from now on. Answered when all of the node's
/// requests that begin go by them; of what is refused nothing is done, and the node goes on by the routes that it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reroute {
    /// Experiment.
    pub experiment: String,
    /// Fencing token.
    pub token: u64,
    /// Which start of the experiment this is of, from 1.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// How often the routes of the run have changed: a number that is not higher than one before changes nothing.
    pub number: u32,
    /// All routes of the run, as they stand now.
    pub routes: Vec<Route>,
}

/// A question of a daemon that takes a run up, answered by [`NodeReply::Standing`] whatever the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inquire {
    /// Experiment.
    pub experiment: String,
    /// Fencing token: daemons before are refused from now on, as with every command.
    pub token: u64,
    /// Which start of the experiment the daemon believes to be the last, from 1.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
}

/// A node's answer to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum NodeReply {
    /// Done, or under way.
    Accepted {
        /// Incarnation that answers.
        epoch: u64,
    },
    /// Not done.
    Refused {
        /// Incarnation that answers.
        epoch: u64,
        /// What programs go by.
        #[serde(default)]
        code: RefusalCode,
        /// Why, for people: names the field, the limit or the state.
        reason: String,
    },
    /// How it stands with the experiment that it was asked about.
    Standing {
        /// Incarnation that answers.
        epoch: u64,
        /// The attempt it works for, or gets ready for.
        attempt: u32,
        /// Whether it knows the instant zero.
        is_started: bool,
        /// Instant zero of the run on this node's CLOCK_MONOTONIC, in nanoseconds; 0 before the start.
        start_at_ns: u64,
        /// Run time at which it stands or will stand, in nanoseconds.
        horizon_ns: u64,
        /// Numbers of what it has taken over.
        taken: Vec<u32>,
    },
    /// What was to be done once is done.
    Done {
        /// Incarnation that answers.
        epoch: u64,
        /// What the sessions of the group are given; empty after the load.
        #[serde(default)]
        variables: GivenVariables,
    },
    /// What became of a profile.
    Profiled {
        /// Incarnation that answers.
        epoch: u64,
        /// The profile.
        profile: Box<ProfileReport>,
    },
}

/// Why a node does not do as it is told: what the daemon goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// It works for another experiment, or has yet to end its part of an attempt before: ask again later.
    Busy,
    /// Of an attempt or a daemon that a later one has replaced.
    Stale,
    /// It does not work for that experiment.
    Unknown,
    /// The instant of the start had passed.
    Late,
    /// The node's own system would not do it: no thread, no memory.
    System,
    /// The command cannot be read.
    Unreadable,
    /// A step of what is done once has failed: done again it might go well, or do twice what it did.
    Failed,
    /// The experiment cannot be run on this node as it is written: asking again changes nothing.
    #[default]
    Unfit,
}

impl RefusalCode {
    /// Every code.
    pub const ALL: [Self; 8] =
        [Self::Busy, Self::Stale, Self::Unknown, Self::Late, Self::System, Self::Unreadable, Self::Failed, Self::Unfit];

    /// Whether the same command might be obeyed by other nodes, or later.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Unreadable | Self::Failed | Self::Unfit => true,
            Self::Busy | Self::Stale | Self::Unknown | Self::Late | Self::System => false,
        }
    }
}
