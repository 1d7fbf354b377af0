//! Commands to nodes, and their clocks. Everything that is asked of a node has a deadline.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use nuncius_bus::clock::{Offset, measure_offset, monotonic_ns};
use nuncius_bus::{Bus, BusError, TypedError};
use nuncius_schemas::node::{NodeCommand, NodeReply, RefusalCode};

/// Round trips a clock measurement takes the least of.
const CLOCK_SAMPLES: usize = 16;
/// How often a node that gets ready is asked for a sign of life.
const SIGN_OF_LIFE_PERIOD: Duration = Duration::from_millis(500);

/// Why a command had no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FleetError {
    /// The node answered, and will not.
    #[error("node {node}: {reason}")]
    Refused {
        /// Node.
        node: String,
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
    let subject = bus.namespace().node_command(node);
    match bus.request_message::<_, NodeReply>(&subject, "node-command.v2", command, timeout).await {
        Ok(NodeReply::Accepted { .. } | NodeReply::Standing { .. }) => Ok(()),
        Ok(NodeReply::Refused { code, reason, .. }) => Err(FleetError::Refused { node: node.to_owned(), code, reason }),
        Err(TypedError::Bus(BusError::NoResponders { .. })) => Err(missing(node, "nobody listens on its subject")),
        Err(error @ TypedError::Bus(BusError::PayloadTooLarge { .. })) => {
            // No other node would be told of it either.
            let reason = format!("the command cannot be sent: {error}; raise the server's max_payload");
            Err(FleetError::Refused { node: node.to_owned(), code: RefusalCode::Unfit, reason })
        }
        Err(error) => Err(missing(node, error)),
    }
}

fn missing(node: &str, problem: impl ToString) -> FleetError {
    FleetError::Missing { node: node.to_owned(), problem: problem.to_string() }
}

/// Gives each node its own command at once; the trouble of each is kept.
pub(crate) async fn command_all(bus: &Bus, commands: Vec<(String, NodeCommand)>, timeout: Duration) -> Vec<FleetError> {
    let answers = join_all(commands.iter().map(|(node, order)| command(bus, node, order, timeout))).await;
    answers.into_iter().filter_map(Result::err).collect()
}

/// How a node stands with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The attempt that it works for.
    pub(crate) attempt: u32,
    /// Instant zero on its own CLOCK_MONOTONIC, in nanoseconds; `None` before it knows it.
    pub(crate) start_at_ns: Option<u64>,
    /// Run time up to which it may offer, in nanoseconds.
    pub(crate) horizon_ns: u64,
}

/// Asks nodes where they stand in a run; those who do not answer, or know nothing of it, are left out.
pub(crate) async fn inquire_all(
    bus: &Bus,
    questions: Vec<(String, NodeCommand)>,
    timeout: Duration,
) -> BTreeMap<String, Standing> {
    let ask = async |(node, question): &(String, NodeCommand)| {
        let subject = bus.namespace().node_command(node);
        let answer = bus.request_message::<_, NodeReply>(&subject, "node-command.v2", question, timeout).await;
        match answer {
            Ok(NodeReply::Standing { attempt, is_started, start_at_ns, horizon_ns, .. }) => {
                let start_at_ns = is_started.then_some(start_at_ns);
                Some((node.clone(), Standing { attempt, start_at_ns, horizon_ns }))
            }
            Ok(NodeReply::Accepted { .. } | NodeReply::Refused { .. }) | Err(_) => None,
        }
    };
    join_all(questions.iter().map(ask)).await.into_iter().flatten().collect()
}

/// The same for commands that may take long: `timeout` is for a node that answers its pings meanwhile; one that is
/// silent for `silence` is given up then.
pub(crate) async fn command_all_alive(
    bus: &Bus,
    commands: Vec<(String, NodeCommand)>,
    timeout: Duration,
    silence: Duration,
) -> Vec<FleetError> {
    let answers = join_all(commands.iter().map(async |(node, order)| {
        tokio::select! {
            answer = command(bus, node, order, timeout) => answer,
            silent = falls_silent(bus, node, silence) => Err(silent),
        }
    }))
    .await;
    answers.into_iter().filter_map(Result::err).collect()
}

/// Comes back when the node has not answered a ping for `silence`: a stopped process, or a host that is gone.
async fn falls_silent(bus: &Bus, node: &str, silence: Duration) -> FleetError {
    let subject = bus.namespace().node_ping(node);
    loop {
        match measure_offset(bus, &subject, 1, monotonic_ns, silence).await {
            Ok(_) => {}
            // Silence is a node's own only while we could have heard it.
            Err(error) if bus.connected_for() > silence => return missing(node, error),
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
    let subject = bus.namespace().node_ping(node);
    let measured = measure_offset(bus, &subject, CLOCK_SAMPLES, monotonic_ns, deadline).await;
    measured.map_err(|error| missing(node, error))
}

/// The same for many at once; nodes that do not answer are missing from the offsets.
pub(crate) async fn measure_clocks(
    bus: &Bus,
    nodes: &[String],
    deadline: Duration,
) -> (BTreeMap<String, Offset>, Vec<FleetError>) {
    let measured = join_all(nodes.iter().map(|node| measure_clock(bus, node, deadline))).await;
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
