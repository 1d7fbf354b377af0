//! Commands to nodes, and their clocks. Everything that is asked of a node has a deadline.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use nuncius_bus::clock::{Offset, measure_offset};
use nuncius_bus::moving::Moving;
use nuncius_bus::{Bus, BusError, TypedError, typed};
use nuncius_clock::monotonic_ns;
use nuncius_schemas::codec;
use nuncius_schemas::node::{GivenVariables, NodeCommand, NodeReply, ProfileOrder, RefusalCode};
use nuncius_schemas::profile::ProfileReport;
use nuncius_telemetry::{OpenSpan, Operation, SpanKind, messaging};
use tokio::sync::watch;

/// Round trips a clock measurement takes the least of.
const CLOCK_SAMPLES: usize = 16;
/// The least of them in a large fleet, and how many round trips all its nodes take together at most before that.
const CLOCK_SAMPLES_MIN: usize = 4;
const CLOCK_SAMPLES_ALL: usize = 20_480;
/// Round trips a second of a fleet whose clocks are measured: more would wait for each other, and measure that.
const CLOCK_SAMPLES_PER_SECOND: f64 = 20_000.0;
/// Bounds of how many clocks are measured at once.
const CLOCKS_AT_ONCE: (usize, usize) = (16, 2_048);
/// Commands that are under way at once.
const COMMANDS_AT_ONCE: usize = 1_024;
/// Least of them, however large they are, and the memory that they may take together, in bytes.
const COMMANDS_AT_ONCE_MIN: usize = 16;
const COMMANDS_BYTES_AT_ONCE: usize = 256 << 20;
/// A command takes so many times its encoded size, about, with itself and what is on its way.
const BYTES_PER_ENCODED: usize = 8;
/// How often a node that gets ready is asked for a sign of life.
const SIGN_OF_LIFE_PERIOD: Duration = Duration::from_millis(500);
/// How long the answer to something that takes long is waited for, before it may have been lost on its way.
const ASKED_AGAIN: Duration = Duration::from_secs(10);
/// What is said of an answer to something else.
const NO_ANSWER: &str = "what it says is no answer to what it was asked";

/// Why a command had no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FleetError {
    /// The node answered, and will not.
    #[error("node {node}: {reason}")]
    Refused {
        /// Node.
        node: String,
        /// The incarnation that answered; 0 where it was not asked.
        epoch: u64,
        /// What to go by.
        code: RefusalCode,
        /// Its reason, for people.
        reason: String,
    },
    /// The node did not answer.
    #[error("node {node} does not answer: {problem}")]
    Missing {
        /// Node.
        node: String,
        /// What the bus said.
        problem: String,
    },
}

impl FleetError {
    /// Whether the node works for somebody else at present.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Refused { code: RefusalCode::Busy, .. })
    }

    /// Whether the node has nothing to do with the run any more, or obeys another daemon in it.
    pub(crate) fn is_estranged(&self) -> bool {
        matches!(self, Self::Refused { code: RefusalCode::Unknown | RefusalCode::Stale, .. })
    }

    /// Whether this incarnation of the node says that it does not work for the run.
    pub(crate) fn is_unknown_to(&self, incarnation: u64) -> bool {
        matches!(self, Self::Refused { code: RefusalCode::Unknown, epoch, .. } if *epoch == incarnation)
    }

    /// Whether it did not answer.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    /// Whether planning anew would change nothing: the node read the experiment and cannot run it as it is written.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.is_final(),
            Self::Missing { .. } => false,
        }
    }

    /// Who it was.
    pub(crate) fn into_node(self) -> String {
        match self {
            Self::Refused { node, .. } | Self::Missing { node, .. } => node,
        }
    }
}

/// Gives one command and waits for its answer.
///
/// # Errors
/// [`FleetError`].
pub(crate) async fn command(bus: &Bus, node: &str, command: &NodeCommand, timeout: Duration) -> Result<(), FleetError> {
    let mut span = span_of(bus, node, command);
    let outcome = reply_to(bus, node, command, timeout, &span).await;
    close(&mut span, &outcome);
    outcome.map(drop)
}

/// Tells a span what came of its command.
fn close<T>(span: &mut OpenSpan, outcome: &Result<T, FleetError>) {
    match outcome {
        Ok(_) => {}
        Err(error @ FleetError::Refused { .. }) => span.fail("refused", error.to_string()),
        Err(error @ FleetError::Missing { .. }) => span.fail("missing", error.to_string()),
    }
}

/// The span of a command that is given once; the others leave no trace, though there may be thousands of them.
fn span_of(bus: &Bus, node: &str, command: &NodeCommand) -> OpenSpan {
    if !command.is_traced() {
        return OpenSpan::none();
    }
    let template = || bus.namespace().node_command("{node}");
    let attributes = || {
        let subject = bus.namespace().node_command(node);
        let mut attributes = messaging("nats", "request", Operation::Send, subject, Some(template()));
        attributes.push(("nuncius.command", command.name().into()));
        attributes
    };
    OpenSpan::child_of_current(SpanKind::Client, || format!("request {}", template()), attributes)
}

async fn reply_to(
    bus: &Bus,
    node: &str,
    command: &NodeCommand,
    timeout: Duration,
    span: &OpenSpan,
) -> Result<NodeReply, FleetError> {
    let subject = bus.namespace().node_command(node);
    let headers = typed::headers_of("node-command.v2", span.traceparent().as_deref());
    match bus.request_moving(&subject, &headers, command, timeout, timeout).await {
        Ok(NodeReply::Refused { epoch, code, reason }) => {
            Err(FleetError::Refused { node: node.to_owned(), epoch, code, reason })
        }
        Ok(
            reply @ (NodeReply::Accepted { .. }
            | NodeReply::Standing { .. }
            | NodeReply::Done { .. }
            | NodeReply::Profiled { .. }),
        ) => Ok(reply),
        Err(TypedError::Bus(BusError::NoResponders { .. })) => Err(missing(node, "nobody listens on its subject")),
        Err(error @ TypedError::Bus(BusError::PayloadTooLarge { .. })) => {
            // No other node would be told of it either.
            let reason = format!("the command cannot be sent: {error}; raise the server's max_payload");
            Err(FleetError::Refused { node: node.to_owned(), epoch: 0, code: RefusalCode::Unfit, reason })
        }
        Err(error) => Err(missing(node, error)),
    }
}

fn missing(node: &str, problem: impl ToString) -> FleetError {
    FleetError::Missing { node: node.to_owned(), problem: problem.to_string() }
}

/// Does all of the work, some of it at a time; what came of each is in the order of the work.
async fn at_most<T>(at_once: usize, work: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    async fn numbered<T>(number: usize, work: BoxFuture<'_, T>) -> (usize, T) {
        (number, work.await)
    }
    let mut done: Vec<(usize, T)> = Vec::with_capacity(work.len());
    let mut work = work.into_iter().enumerate();
    let mut under_way = FuturesUnordered::new();
    loop {
        under_way.extend(
            work.by_ref().take(at_once.saturating_sub(under_way.len())).map(|(number, work)| numbered(number, work)),
        );
        match under_way.next().await {
            Some(outcome) => done.push(outcome),
            None => break,
        }
    }
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Gives each node its own command and waits for the answers; the trouble of each is kept.
pub(crate) async fn command_all(bus: &Bus, commands: Vec<(String, NodeCommand)>, timeout: Duration) -> Vec<FleetError> {
    let work = commands.iter().map(|(node, order)| command(bus, node, order, timeout).boxed()).collect();
    at_most(COMMANDS_AT_ONCE, work).await.into_iter().filter_map(Result::err).collect()
}

/// The same with an end for all of them together.
pub(crate) async fn command_all_until(
    bus: &Bus,
    commands: Vec<(String, NodeCommand)>,
    until: Instant,
) -> Vec<FleetError> {
    let work = commands.iter().map(|(node, order)| command_until(bus, node, order, until).boxed()).collect();
    at_most(COMMANDS_AT_ONCE, work).await.into_iter().filter_map(Result::err).collect()
}

async fn command_until(bus: &Bus, node: &str, order: &NodeCommand, until: Instant) -> Result<(), FleetError> {
    match until.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => command(bus, node, order, left).await,
        _ => Err(missing(node, "the time for all commands together was over")),
    }
}

/// How a node stands with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It works for it.
    At {
        /// The attempt.
        attempt: u32,
        /// Instant zero on its own CLOCK_MONOTONIC, in nanoseconds; `None` before it knows it.
        start_at_ns: Option<u64>,
        /// Run time up to which it may offer, in nanoseconds.
        horizon_ns: u64,
    },
    /// It does not, or no longer.
    Idle {
        /// Incarnation that says so.
        epoch: u64,
    },
}

/// Asks nodes where they stand in a run; those who do not answer are left out.
pub(crate) async fn inquire_all(
    bus: &Bus,
    questions: Vec<(String, NodeCommand)>,
    timeout: Duration,
) -> BTreeMap<String, Standing> {
    async fn ask(bus: &Bus, node: &str, question: &NodeCommand, timeout: Duration) -> Option<(String, Standing)> {
        let subject = bus.namespace().node_command(node);
        let headers = typed::headers("node-command.v2");
        match bus.request_moving(&subject, &headers, question, timeout, timeout).await {
            Ok(NodeReply::Standing { attempt, is_started, start_at_ns, horizon_ns, .. }) => {
                let start_at_ns = is_started.then_some(start_at_ns);
                Some((node.to_owned(), Standing::At { attempt, start_at_ns, horizon_ns }))
            }
            Ok(NodeReply::Refused { epoch, code: RefusalCode::Unknown, .. }) => {
                Some((node.to_owned(), Standing::Idle { epoch }))
            }
            Ok(
                NodeReply::Accepted { .. }
                | NodeReply::Refused { .. }
                | NodeReply::Done { .. }
                | NodeReply::Profiled { .. },
            )
            | Err(_) => None,
        }
    }
    let work = questions.iter().map(|(node, question)| ask(bus, node, question, timeout).boxed()).collect();
    at_most(COMMANDS_AT_ONCE, work).await.into_iter().flatten().collect()
}

/// The same for commands that may take long, and be large: each is made when its turn has come. `timeout` is for a
/// node that answers its pings meanwhile; one that is silent for `silence` is given up then, but not before it can have
/// found a bus that has just come back.
pub(crate) async fn command_all_alive(
    bus: &Bus,
    nodes: &[String],
    order: impl Fn(&str) -> NodeCommand + Sync,
    timeout: Duration,
    patience: Patience,
) -> Vec<FleetError> {
    let one_bytes = nodes.first().map_or(0, |node| codec::encode(&order(node)).map_or(0, |bytes| bytes.len()));
    let at_once = at_once_of(one_bytes);
    let work = nodes.iter().map(|node| command_alive(bus, node, &order, timeout, patience).boxed()).collect();
    at_most(at_once, work).await.into_iter().filter_map(Result::err).collect()
}

/// How long nodes may say nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// While the bus is there.
    pub(crate) silence: Duration,
    /// Beyond that, after it has come back.
    pub(crate) reconnect: Duration,
}

/// How many commands of this size are under way at once.
fn at_once_of(encoded_bytes: usize) -> usize {
    (COMMANDS_BYTES_AT_ONCE / (encoded_bytes.max(1) * BYTES_PER_ENCODED)).clamp(COMMANDS_AT_ONCE_MIN, COMMANDS_AT_ONCE)
}

async fn command_alive(
    bus: &Bus,
    node: &str,
    order: &(impl Fn(&str) -> NodeCommand + Sync),
    timeout: Duration,
    patience: Patience,
) -> Result<(), FleetError> {
    let order = order(node);
    tokio::select! {
        answer = command(bus, node, &order, timeout) => answer,
        silent = falls_silent(bus, node, patience) => Err(silent),
    }
}

/// Has a node do something once, which may take long: `limit` is for a node that answers its pings meanwhile. It is
/// asked again and again, since an answer may be lost with a connection: the node does it once all the same.
///
/// # Errors
/// [`FleetError`]; also when the node has been silent for as long as `patience` says.
pub(crate) async fn do_once(
    bus: &Bus,
    node: &str,
    order: &NodeCommand,
    limit: Duration,
    patience: Patience,
) -> Result<GivenVariables, FleetError> {
    let mut span = span_of(bus, node, order);
    let outcome = tokio::select! {
        outcome = done(bus, node, order, limit, &span) => outcome,
        silent = falls_silent(bus, node, patience) => Err(silent),
    };
    close(&mut span, &outcome);
    outcome
}

async fn done(
    bus: &Bus,
    node: &str,
    order: &NodeCommand,
    limit: Duration,
    span: &OpenSpan,
) -> Result<GivenVariables, FleetError> {
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match reply_to(bus, node, order, left.min(ASKED_AGAIN), span).await {
            Ok(NodeReply::Done { variables, .. }) => return Ok(variables),
            Ok(
                NodeReply::Accepted { .. }
                | NodeReply::Standing { .. }
                | NodeReply::Refused { .. }
                | NodeReply::Profiled { .. },
            ) => return Err(missing(node, NO_ANSWER)),
            Err(error @ FleetError::Missing { .. }) if Instant::now() + SIGN_OF_LIFE_PERIOD >= end => {
                return Err(error);
            }
            // Whether it lives is for its pings to say.
            Err(FleetError::Missing { .. }) => tokio::time::sleep(SIGN_OF_LIFE_PERIOD).await,
            Err(error @ FleetError::Refused { .. }) => return Err(error),
        }
    }
}

/// Has a node run a profile, and waits for what became of it: asked again and again, since an answer may be lost with a
/// connection. The command is made anew each time, and given at once when the order changes.
///
/// # Errors
/// [`FleetError`]; also when its `deadline` has come.
pub(crate) async fn profile(
    bus: &Bus,
    node: &str,
    command: impl Fn(ProfileOrder) -> NodeCommand,
    mut order: watch::Receiver<ProfileOrder>,
    deadline: impl Fn() -> Instant,
) -> Result<ProfileReport, FleetError> {
    let mut trouble = None;
    loop {
        let left = deadline().saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(trouble.unwrap_or_else(|| missing(node, "it did not tell in time what became of it")));
        }
        let command = command(*order.borrow_and_update());
        let span = OpenSpan::none();
        let reply = tokio::select! {
            reply = reply_to(bus, node, &command, left.min(ASKED_AGAIN), &span) => reply,
            Ok(()) = order.changed() => continue,
        };
        match reply {
            Ok(NodeReply::Profiled { profile, .. }) => return Ok(*profile),
            Ok(
                NodeReply::Accepted { .. }
                | NodeReply::Standing { .. }
                | NodeReply::Refused { .. }
                | NodeReply::Done { .. },
            ) => return Err(missing(node, NO_ANSWER)),
            Err(error @ FleetError::Refused { .. }) => return Err(error),
            Err(error @ FleetError::Missing { .. }) => trouble = Some(error),
        }
        tokio::time::sleep(SIGN_OF_LIFE_PERIOD).await;
    }
}

/// Comes back when the node has not answered a ping for as long: a stopped process, or a host that is gone.
async fn falls_silent(bus: &Bus, node: &str, Patience { silence, reconnect }: Patience) -> FleetError {
    let subject = bus.namespace().node_ping(node);
    let mut nobody_since = None;
    loop {
        match measure_offset(bus, &subject, 1, monotonic_ns, silence).await {
            Ok(_) => nobody_since = None,
            Err(BusError::NoResponders { .. })
                if bus.is_apart() && nobody_since.get_or_insert_with(Instant::now).elapsed() < reconnect => {}
            // Silence is a node's own only while we could have heard it.
            Err(error) if bus.connected_for() > silence && bus.is_settled(silence + reconnect) => {
                return missing(node, error);
            }
            Err(_) => {}
        }
        tokio::time::sleep(SIGN_OF_LIFE_PERIOD).await;
    }
}

/// How far a node's CLOCK_MONOTONIC is from ours.
///
/// # Errors
/// [`FleetError::Missing`] when nothing was answered within `deadline`.
pub(crate) async fn measure_clock(bus: &Bus, node: &str, deadline: Duration) -> Result<Offset, FleetError> {
    measure_clock_of(bus, node, CLOCK_SAMPLES, deadline).await
}

async fn measure_clock_of(bus: &Bus, node: &str, samples: usize, deadline: Duration) -> Result<Offset, FleetError> {
    let subject = bus.namespace().node_ping(node);
    let moving = Moving::new(bus, deadline, deadline);
    loop {
        match measure_offset(bus, &subject, samples, monotonic_ns, moving.left()).await {
            Err(error) if moving.may_come(&error) => moving.pause().await,
            measured => return measured.map_err(|error| missing(node, error)),
        }
    }
}

/// The same for many, of which an answer takes `round_trip`; nodes that do not answer are missing from the offsets.
/// Those of a large fleet are asked fewer times, and never so many at once that they would wait for each other.
pub(crate) async fn measure_clocks(
    bus: &Bus,
    nodes: &[String],
    deadline: Duration,
    round_trip: Duration,
) -> (BTreeMap<String, Offset>, Vec<FleetError>) {
    let samples = (CLOCK_SAMPLES_ALL / nodes.len().max(1)).clamp(CLOCK_SAMPLES_MIN, CLOCK_SAMPLES);
    // A float becomes the nearest integer there is.
    let wanted = (CLOCK_SAMPLES_PER_SECOND * round_trip.as_secs_f64()) as usize;
    let at_once = wanted.clamp(CLOCKS_AT_ONCE.0, CLOCKS_AT_ONCE.1);
    let work = nodes.iter().map(|node| measure_clock_of(bus, node, samples, deadline).boxed()).collect();
    let measured = at_most(at_once, work).await;
    let mut offsets = BTreeMap::new();
    let mut missing = Vec::new();
    for (node, outcome) in nodes.iter().zip(measured) {
        match outcome {
            Ok(offset) => {
                offsets.insert(node.clone(), offset);
            }
            Err(error) => missing.push(error),
        }
    }
    (offsets, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_large_commands_and_many_small_ones_are_under_way_at_once() {
        assert_eq!(at_once_of(2_000), COMMANDS_AT_ONCE);
        assert_eq!(at_once_of(256 << 10), 128);
        assert_eq!(at_once_of(64 << 20), COMMANDS_AT_ONCE_MIN);
        assert_eq!(at_once_of(0), COMMANDS_AT_ONCE);
    }
}
