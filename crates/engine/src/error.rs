//! Why a group cannot be planned, and why its threads cannot be started.

use std::net::SocketAddr;

use nuncius_load::ProfileError;
use nuncius_schemas::variable::VariableError;

/// Why a group cannot be run on this node. Never shows the value of an environment variable.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// There is no such group.
    #[error("groups[{0}]: there is no such group")]
    NoGroup(u16),
    /// A field that does not make sense.
    #[error("{field}: {problem}")]
    Field {
        /// Path of the field.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The host is neither a known service nor an address.
    #[error(
        "{field}: no service is named `{service}`: add it to `services` or to the routing table, or write an address with its port"
    )]
    UnknownService {
        /// Path of the field.
        field: String,
        /// The name.
        service: String,
    },
    /// The host has no address.
    #[error("{field}: `{host}` has no address: {reason}")]
    Resolve {
        /// Path of the field.
        field: String,
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// A variable cannot be filled in.
    #[error("{field}: {problem}")]
    Environment {
        /// Path of the field.
        field: String,
        /// Which variable, and what to do.
        problem: VariableError,
    },
    /// The node may not be aimed at this.
    #[error("target `{host}` ({address}) is not allowed on this node: start it with --allow-target to permit it")]
    Forbidden {
        /// As in the target.
        host: String,
        /// What it stands for.
        address: SocketAddr,
    },
    /// An entry of the allow-list is none.
    #[error("--allow-target `{entry}`: {problem}")]
    Policy {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The rate makes no schedule.
    #[error("{field}: {source}")]
    Profile {
        /// Path of the field.
        field: String,
        /// Why.
        source: ProfileError,
    },
}

impl PlanError {
    /// The variable that is missing, where that is what is wrong.
    pub fn missing_variable(&self) -> Option<&str> {
        match self {
            Self::Environment { problem: VariableError::Missing { name }, .. } => Some(name),
            _ => None,
        }
    }
}

/// Why threads could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The system gave no thread or descriptor.
    #[error("cannot start an engine thread for group `{group}`: {advice} ({source})")]
    Start {
        /// Group.
        group: String,
        /// What was missing, and what to do about it.
        advice: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Jobs cannot be submitted, nor servos heard over the bus, without a connection.
    #[error("groups[{group}].engine: it needs a connection to NATS, and this node has none")]
    NoBus {
        /// Group.
        group: u16,
    },
    /// TLS cannot be set up.
    #[error("groups[{group}].{problem}")]
    Tls {
        /// Group.
        group: u16,
        /// Which field of the group, and why.
        problem: String,
    },
}
