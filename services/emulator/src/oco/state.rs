//! Where an application stands.

use serde::{Deserialize, Serialize};

/// Where an application stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    Initial,
    HelloReceived,
    StartMeasure,
    InMeasure,
    StartAdjust,
    InAdjust,
    Terminated,
}

impl State {
    /// As the original writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::HelloReceived => "hello-received",
            Self::StartMeasure => "start-measure",
            Self::InMeasure => "in-measure",
            Self::StartAdjust => "start-adjust",
            Self::InAdjust => "in-adjust",
            Self::Terminated => "terminated",
        }
    }

    /// The event that would be in order, where a name is wanted for it.
    pub(crate) const fn expects(self) -> &'static str {
        match self {
            Self::Initial | Self::Terminated => "HELLO",
            Self::HelloReceived => "DESCRIPTION",
            Self::StartMeasure | Self::InMeasure => "MEASUREMENT",
            Self::StartAdjust | Self::InAdjust => "ADJUSTMENT",
        }
    }
}
