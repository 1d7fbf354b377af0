//! What may be submitted: an experiment as Nuncius has it, or as Galileo's users write it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::codec::{self, CodecError};
use crate::foreign::{self, Foreign};
use crate::galileo::GalileoInput;
use crate::names::check_token;
use crate::spec::{ExperimentSpec, Group, SpecError};
use crate::target::Target;
use crate::tree::Node;

/// One submission, read and checked as far as it can be without knowing the nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum Submission {
    /// An experiment as Nuncius has it; validated. With `scaling` it is for `nuncius run`, not for a daemon; with
    /// `search` or `sweep` it is a series of experiments.
    Spec(Box<ExperimentSpec>),
    /// An experiment as Galileo's users write it; still to be translated.
    Galileo(GalileoInput),
}

impl Submission {
    /// The identifier it asks for.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Spec(spec) => spec.id.as_deref(),
            Self::Galileo(input) => input.id(),
        }
    }

    /// Asks for this identifier instead.
    pub fn set_id(&mut self, id: &str) {
        match self {
            Self::Spec(spec) => spec.id = Some(id.to_owned()),
            Self::Galileo(input) => input.set_id(id),
        }
    }

    /// Addresses of services, whatever the form: what the submission says goes before the routing table.
    pub fn services(&self) -> &BTreeMap<String, Vec<String>> {
        match self {
            Self::Spec(spec) => &spec.services,
            Self::Galileo(input) => input.services(),
        }
    }

    /// The same, to be changed.
    pub fn services_mut(&mut self) -> &mut BTreeMap<String, Vec<String>> {
        match self {
            Self::Spec(spec) => &mut spec.services,
            Self::Galileo(input) => input.services_mut(),
        }
    }

    /// The services that it sends to, as targets name them: hosts without a port.
    pub fn hosts(&self) -> Vec<&str> {
        match self {
            Self::Spec(spec) => spec.groups.iter().flat_map(Group::urls).filter_map(service_of).collect(),
            Self::Galileo(input) => input.hosts(),
        }
    }

    /// Refuses what it cannot mean on any node.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn check(&self) -> Result<(), SpecError> {
        match self {
            Self::Spec(spec) if spec.scaling.is_some() => spec.validate_scaling(),
            Self::Spec(spec) => spec.validate_submitted(),
            Self::Galileo(input) => input.check(),
        }
    }

    /// The same, of a submission from this tree.
    ///
    /// # Errors
    /// The field, what is wrong with it, and where it stands.
    pub fn check_at(&self, node: &Node) -> Result<(), CodecError> {
        self.check().map_err(|error| {
            // "instructions line 2": the line within the text is told already.
            let position = node.position_of(error.field.split(' ').next().unwrap_or_default());
            CodecError::Field { field: error.field, problem: error.problem, position }
        })
    }

    /// As it is published: JSON in which every text is a text, however it was written.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn to_value(&self) -> Result<Value, CodecError> {
        match self {
            Self::Spec(spec) => serde_json::to_value(spec),
            Self::Galileo(GalileoInput::Instructions(input)) => serde_json::to_value(input),
            Self::Galileo(GalileoInput::Ticks(input)) => serde_json::to_value(input),
        }
        .map_err(|error| CodecError::Encode(error.to_string()))
    }
}

fn service_of(target: &str) -> Option<&str> {
    Target::parse(target)?.host().ok()?.service()
}

impl From<SpecError> for CodecError {
    fn from(error: SpecError) -> Self {
        Self::Field { field: error.field, problem: error.problem, position: None }
    }
}

impl From<Foreign> for CodecError {
    fn from(foreign: Foreign) -> Self {
        Self::Foreign { what: foreign.what, advice: foreign.advice }
    }
}

/// What somebody wrote: JSON, YAML or MessagePack.
///
/// # Errors
/// What it is, when it is a file of another program; the field and its place, when one is wrong.
pub fn from_bytes(bytes: &[u8]) -> Result<Submission, CodecError> {
    from_tree(&read_tree(bytes)?)
}

/// The tree of what somebody wrote; a file of another program is refused by its name.
///
/// # Errors
/// What cannot be read at all.
pub fn read_tree(bytes: &[u8]) -> Result<Node, CodecError> {
    codec::read_tree(bytes).map_err(|error| foreign::of_text(bytes).map_or(error, CodecError::from))
}

/// A submission from its tree: a map with `instructions` or `configuration` is Galileo's, any other is an
/// [`ExperimentSpec`].
///
/// # Errors
/// What it is, when it is a file of another program; the field that is unknown, of the wrong type or refused.
pub fn from_tree(node: &Node) -> Result<Submission, CodecError> {
    let submission = parse(node)?;
    submission.check_at(node)?;
    Ok(submission)
}

/// The same, still to be checked: where files that it names are to be read first.
///
/// # Errors
/// What it is, when it is a file of another program; the field that is unknown or of the wrong type.
pub fn parse(node: &Node) -> Result<Submission, CodecError> {
    if let Some(foreign) = foreign::of_tree(node) {
        return Err(foreign.into());
    }
    if node.get("instructions").is_some() {
        return Ok(Submission::Galileo(GalileoInput::Instructions(codec::from_tree(node)?)));
    }
    if node.get("configuration").is_some() {
        return Ok(Submission::Galileo(GalileoInput::Ticks(Box::new(codec::from_tree(node)?))));
    }
    Ok(Submission::Spec(codec::from_tree(node)?))
}

/// The identifier a submission asks for, as far as it can be read at all (`id`, `exp_id`, `experiment.id`), and only
/// when it is a valid token: one that fails later fails under this name.
pub fn wanted_id(node: &Node) -> Option<String> {
    [node.get("id"), node.get("exp_id"), node.get("experiment").and_then(|experiment| experiment.get("id"))]
        .into_iter()
        .flatten()
        .filter_map(Node::text)
        .find(|id| check_token("experiment", id).is_ok())
        .map(str::to_owned)
}
