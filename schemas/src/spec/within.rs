//! Specifications within other messages. They are read by way of the tree, as those that people write: the code that
//! knows all of their fields is there once, not once for each form that a message may have.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::ExperimentSpec;
use crate::tree::{Node, ReadError};

/// For a field that is one.
pub(crate) fn one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ExperimentSpec, D::Error> {
    read(&Node::deserialize(deserializer)?).map_err(told)
}

/// For a field that may be one; absent or nothing it is none.
pub(crate) fn maybe<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ExperimentSpec>, D::Error> {
    let node: Option<Node> = Option::deserialize(deserializer)?;
    node.map(|node| read(&node).map_err(told)).transpose()
}

fn read(node: &Node) -> Result<ExperimentSpec, ReadError> {
    node.read()
}

fn told<E: Error>(error: ReadError) -> E {
    E::custom(format_args!("spec.{}: {}", error.field(), error.problem))
}
