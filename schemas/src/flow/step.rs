//! A step in full: its verb, and the blocks of further steps that some verbs have.
//!
//! Steps hold blocks and blocks hold steps: they are in one file. How they are written is in `written` and `blocks`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::http::{HttpStep, HttpVerb};
use super::job::JobStep;
use super::nats::NatsStep;
use super::socketio::SocketIoStep;
use super::think::Think;
use super::ws::WsStep;
use crate::spec::amqp::{AmqpConsume, AmqpPublish};
use crate::spec::expect::Expect;
use crate::spec::method::Method;

/// One action of an iteration: a verb in [`Step::op`], a message or a job, or a request as version 1 has it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Step {
    /// Name in the report, at most 64 characters; made from the position when absent.
    pub name: Option<String>,
    /// A template: where it is false the step is passed over.
    pub condition: Option<String>,
    /// Share of the times, 0 to 1, that the step is taken; always when absent.
    pub probability: Option<f64>,
    /// HTTP, version 1: method, GET when absent.
    pub method: Option<Method>,
    /// HTTP, version 1: path and query, joined to the target's.
    pub path: Option<String>,
    /// HTTP, version 1: headers, beside the group's.
    pub headers: BTreeMap<String, String>,
    /// HTTP, version 1: body.
    pub body: Option<String>,
    /// HTTP, version 1: what counts as success; 200 to 399 when absent.
    pub expect: Option<Expect>,
    /// AMQP: publish a message.
    pub publish: Option<AmqpPublish>,
    /// AMQP: consume a queue for the whole run, measuring from planned publish to receipt.
    pub consume: Option<AmqpConsume>,
    /// Queue: submit a job and wait for its result.
    pub job: Option<JobStep>,
    /// What is done, of a step with a verb.
    pub op: Option<Op>,
}

/// What a step with a verb does.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Sends a request and waits for its answer.
    Http(HttpVerb, Box<HttpStep>),
    /// Opens, uses or closes a connection over WebSocket.
    Ws(Box<WsStep>),
    /// Connects, emits or waits over Socket.IO.
    SocketIo(Box<SocketIoStep>),
    /// Publishes, asks or takes over NATS.
    Nats(Box<NatsStep>),
    /// Pauses.
    Think(Think),
    /// Sets variables. All values are worked out before the first is set: their order means nothing.
    Set(BTreeMap<String, Value>),
    /// Takes steps again and again.
    Loop(Loop),
    /// Takes steps where a condition holds.
    If(If),
    /// Takes steps at once.
    Parallel(Parallel),
    /// Calls a function of the script. The requests that it makes are counted under the step's name.
    Call(String),
    /// Writes a line into the log of the node.
    Log(String),
}

impl Op {
    /// The verb, as it is written.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Http(verb, _) => verb.name(),
            Self::Ws(_) => "ws",
            Self::SocketIo(_) => "socketio",
            Self::Nats(_) => "nats",
            Self::Think(_) => "think",
            Self::Set(_) => "set",
            Self::Loop(_) => "loop",
            Self::If(_) => "if",
            Self::Parallel(_) => "parallel",
            Self::Call(_) => "call",
            Self::Log(_) => "log",
        }
    }
}

impl Step {
    /// A step of this verb.
    pub fn of_op(op: Op) -> Self {
        Self { op: Some(op), ..Self::default() }
    }

    /// The verb, as it is written; `None` of a request as version 1 has it.
    pub fn verb(&self) -> Option<&'static str> {
        let of_old =
            [("publish", self.publish.is_some()), ("consume", self.consume.is_some()), ("job", self.job.is_some())];
        let old = || of_old.into_iter().find(|(_, is_there)| *is_there).map(|(verb, _)| verb);
        self.op.as_ref().map(Op::verb).or_else(old)
    }

    /// Whether the step has a line of its own in reports: what is sent, and `call`, whose requests are.
    pub const fn is_measured(&self) -> bool {
        match &self.op {
            None | Some(Op::Http(_, _) | Op::Ws(_) | Op::SocketIo(_) | Op::Nats(_) | Op::Call(_)) => true,
            Some(Op::Think(_) | Op::Set(_) | Op::Loop(_) | Op::If(_) | Op::Parallel(_) | Op::Log(_)) => false,
        }
    }

    /// The fields of a request as version 1 has it that are written.
    pub(crate) fn version_1_fields(&self) -> impl Iterator<Item = &'static str> {
        [
            ("method", self.method.is_some()),
            ("path", self.path.is_some()),
            ("headers", !self.headers.is_empty()),
            ("body", self.body.is_some()),
            ("expect", self.expect.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_there)| is_there.then_some(name))
    }

    /// The request that the step sends, in one form for both versions: verb and request. `None` where it sends none.
    pub fn request(&self) -> Option<(HttpVerb, Cow<'_, HttpStep>)> {
        match &self.op {
            Some(Op::Http(verb, request)) => Some((*verb, Cow::Borrowed(&**request))),
            None if self.publish.is_none() && self.consume.is_none() && self.job.is_none() => {
                let request = HttpStep {
                    url: self.path.clone().unwrap_or_default(),
                    method: self.method.clone(),
                    headers: self.headers.clone(),
                    body: self.body.clone(),
                    expect: self.expect.clone(),
                    ..HttpStep::default()
                };
                Some((HttpVerb::Request, Cow::Owned(request)))
            }
            None => None,
            Some(
                Op::Ws(_)
                | Op::SocketIo(_)
                | Op::Nats(_)
                | Op::Think(_)
                | Op::Set(_)
                | Op::Loop(_)
                | Op::If(_)
                | Op::Parallel(_)
                | Op::Call(_)
                | Op::Log(_),
            ) => None,
        }
    }
}

/// What some of the users of a group do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name, at most 64 characters, unique in the group.
    pub name: String,
    /// Share of the iterations, beside the weights of the others.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// What one iteration does, in order.
    pub steps: Vec<Step>,
}

fn default_weight() -> u32 {
    1
}

/// Most rounds of a loop, whatever it says.
pub const ROUNDS_MAX: u32 = 1_000_000;
/// Rounds after which a loop that does not count has gone wrong, unless it says otherwise.
pub const ROUNDS_DEFAULT: u32 = 1_000;
/// Most branches of a `parallel`.
pub const BRANCHES_MAX: usize = 64;

/// Steps that are taken again and again. `{{ loop.index }}` is the number of the round, from 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Loop {
    /// How often.
    pub rounds: Rounds,
    /// The most rounds; the iteration fails where it would need more. [`ROUNDS_DEFAULT`] when absent.
    pub at_most: Option<u32>,
    /// What is done in each.
    pub steps: Vec<Step>,
}

/// How often a loop goes round.
#[derive(Debug, Clone, PartialEq)]
pub enum Rounds {
    /// So often.
    Count(Count),
    /// Once for each item of a list.
    Over {
        /// The list, or a template that is one.
        list: Value,
        /// Name of the variable that holds the item.
        item: String,
    },
    /// For as long as a condition holds, which is looked at before each round.
    While(String),
}

/// A number of rounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Count {
    /// This many.
    Number(u32),
    /// As many as a template says.
    Template(String),
}

/// Steps that are taken where a condition holds, and others where it does not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct If {
    /// A template: `{{ status == 200 }}`.
    pub condition: String,
    /// What is done where it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Step>,
    /// What is done where it does not.
    #[serde(default, rename = "else", skip_serializing_if = "Vec::is_empty")]
    pub otherwise: Vec<Step>,
}

/// Branches of steps that are taken at once. The step ends with the last of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Parallel {
    /// The branches; the steps of one follow each other.
    pub branches: Vec<Vec<Step>>,
    /// Branches under way at once; all when absent.
    pub at_most: Option<u32>,
}

impl Loop {
    /// The most rounds.
    pub fn at_most(&self) -> u32 {
        match (self.at_most, &self.rounds) {
            (Some(at_most), _) => at_most,
            (None, Rounds::Count(Count::Number(count))) => *count,
            (None, Rounds::Count(Count::Template(_)) | Rounds::Over { .. } | Rounds::While(_)) => ROUNDS_DEFAULT,
        }
    }
}

impl Parallel {
    /// Whether it can be written as a list of steps.
    pub(super) fn is_short(&self) -> bool {
        self.at_most.is_none() && self.branches.iter().all(|branch| branch.len() == 1)
    }

    /// Path of a step below that of the verb: `[1]`, or `.branches[1][0]`.
    pub fn step_path(&self, branch: usize, step: usize) -> String {
        if self.is_short() { format!("[{branch}]") } else { format!(".branches[{branch}][{step}]") }
    }
}
