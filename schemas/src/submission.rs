//! What may be submitted: an experiment as Nuncius has it, or as Galileo's users write it.

use serde_json::Value;

use crate::codec::{self, CodecError};
use crate::galileo::GalileoInput;
use crate::names::check_token;
use crate::spec::{ExperimentSpec, SpecError};

/// One submission, read and checked as far as it can be without knowing the nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum Submission {
    /// An experiment as Nuncius has it; validated. With `scaling` it is for `nuncius run`, not for a daemon.
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
}

impl From<SpecError> for CodecError {
    fn from(error: SpecError) -> Self {
        Self::Field { field: error.field, problem: error.problem }
    }
}

/// A submission from what [`codec::read_submission`] read: a map with `instructions` or `configuration` is Galileo's,
/// any other is an [`ExperimentSpec`]. The error names the field that is unknown, of the wrong type or refused.
pub fn from_value(value: Value) -> Result<Submission, CodecError> {
    let galileo = if value.get("instructions").is_some() {
        GalileoInput::Instructions(codec::from_value(value)?)
    } else if value.get("configuration").is_some() {
        GalileoInput::Ticks(Box::new(codec::from_value(value)?))
    } else {
        let spec: ExperimentSpec = codec::from_value(value)?;
        if spec.scaling.is_some() {
            spec.validate_scaling()?
        } else {
            spec.validate()?
        }
        return Ok(Submission::Spec(Box::new(spec)));
    };
    galileo.check()?;
    Ok(Submission::Galileo(galileo))
}

/// The identifier a value asks for, as far as it can be read at all (`id`, `exp_id`, `experiment.id`), and only when
/// it is a valid token: a submission that fails later fails under this name.
pub fn wanted_id(value: &Value) -> Option<String> {
    [value.get("id"), value.get("exp_id"), value.get("experiment").and_then(|experiment| experiment.get("id"))]
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .find(|id| check_token("experiment", id).is_ok())
        .map(str::to_owned)
}
