//! Commands to nodes, and their clocks.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use nuncius_bus::clock::{Offset, measure_offset, monotonic_ns};
use nuncius_bus::{Bus, BusError, TypedError};
use nuncius_schemas::node::{NodeCommand, NodeReply};

/// Round trips a clock measurement takes the least of.
pub(crate) const CLOCK_SAMPLES: usize = 16;

/// Why a command had no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FleetError {
    /// The node answered, and will not.
    #[error("node {node}: {reason}")]
    Refused {
        /// Node.
        node: String,
        /// Its reason.
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
        matches!(self, Self::Refused { reason, .. } if reason.starts_with("busy"))
    }

    /// Who it was.
    pub(crate) fn into_node(self) -> String {
        match self {
            Self::Refused { node, .. } | Self::Missing { node, .. } => node,
        }
    }
}

/// Gives one command and waits for its answer.
pub(crate) async fn command(bus: &Bus, node: &str, command: &NodeCommand, timeout: Duration) -> Result<(), FleetError> {
    let subject = bus.namespace().node_command(node);
    match bus.request_message::<_, NodeReply>(&subject, "node-command.v1", command, timeout).await {
        Ok(NodeReply::Accepted { .. }) => Ok(()),
        Ok(NodeReply::Refused { reason, .. }) => Err(FleetError::Refused { node: node.to_owned(), reason }),
        Err(TypedError::Bus(BusError::NoResponders { .. })) => {
            Err(FleetError::Missing { node: node.to_owned(), problem: "nobody listens on its subject".to_owned() })
        }
        Err(error) => Err(FleetError::Missing { node: node.to_owned(), problem: error.to_string() }),
    }
}

/// Gives each node its own command at once; the first trouble of each is kept.
pub(crate) async fn command_all(bus: &Bus, commands: Vec<(String, NodeCommand)>, timeout: Duration) -> Vec<FleetError> {
    let answers = join_all(commands.iter().map(|(node, order)| command(bus, node, order, timeout))).await;
    answers.into_iter().filter_map(Result::err).collect()
}

/// How far each node's CLOCK_MONOTONIC is from ours; nodes that do not answer are missing from the result.
pub(crate) async fn measure_clocks(bus: &Bus, nodes: &[String]) -> (BTreeMap<String, Offset>, Vec<FleetError>) {
    let measured = join_all(nodes.iter().map(async |node| {
        let subject = bus.namespace().node_ping(node);
        (node, measure_offset(bus, &subject, CLOCK_SAMPLES, monotonic_ns).await)
    }))
    .await;
    let mut offsets = BTreeMap::new();
    let mut missing = Vec::new();
    for (node, outcome) in measured {
        match outcome {
            Ok(offset) => {
                offsets.insert(node.clone(), offset);
            }
            Err(error) => missing.push(FleetError::Missing { node: node.clone(), problem: error.to_string() }),
        }
    }
    (offsets, missing)
}
