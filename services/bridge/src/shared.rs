//! What a mapping has for all its messages, and what is said of each.

use lapin::message::Delivery;

use crate::config::Mapping;
use crate::figures::{Figures, Reason};
use crate::hold::Said;

/// What a mapping has for all its messages.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) mapping: Mapping,
    pub(crate) figures: Figures,
    pub(crate) said: Said,
}

impl Shared {
    /// Says what is waited for, unless that was said lately.
    pub(crate) fn say(&self, problem: &str) {
        if self.said.is_news(problem) {
            tracing::warn!(mapping = self.mapping.name, "{problem}; its messages wait at the broker");
        }
    }
}

/// Why a message was refused, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) problem: String,
}

/// A message, identified.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) delivery: Delivery,
    /// Of the job or the experiment.
    pub(crate) id: String,
    /// Whether the id comes from the message.
    pub(crate) has_id: bool,
}

/// What became of a message that was accepted.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its own name.
    pub(crate) id: String,
    /// Type of the document.
    pub(crate) kind: &'static str,
    /// The document, as JSON.
    pub(crate) document: Vec<u8>,
}
