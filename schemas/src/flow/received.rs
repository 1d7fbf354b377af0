//! What steps of messages have in common: what is waited for, what is taken from it and asked of it.

use std::collections::BTreeMap;

use super::capture::{Capture, CaptureFrom};
use super::check::{Check, Subject};
use super::http::{OnCheckFailure, PER_REQUEST_MAX};
use super::rule::{self, SpecError, refuse};
use crate::spec::limits::TIMEOUT_MAX_NS;
use crate::spec::text::Visit;
use crate::units::HumanDuration;

/// What is known of something that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Knows {
    /// Status, headers and cookies, of an answer over HTTP; it has no body.
    Answer,
    /// A body and no more.
    Body,
    /// Headers and a body.
    HeadersAndBody,
}

/// The fields of a step that are about what it receives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) wait: Option<&'a [Check]>,
    pub(crate) timeout: Option<HumanDuration>,
    pub(crate) capture: &'a BTreeMap<String, Capture>,
    pub(crate) checks: &'a [Check],
    pub(crate) on_check_failure: OnCheckFailure,
}

impl Received<'_> {
    /// The first of the fields that is written and means nothing where a step receives nothing.
    pub(super) fn first_field(&self) -> Option<&'static str> {
        [
            ("capture", !self.capture.is_empty()),
            ("checks", !self.checks.is_empty()),
            ("on_check_failure", self.on_check_failure != OnCheckFailure::default()),
        ]
        .into_iter()
        .find_map(|(name, is_there)| is_there.then_some(name))
    }

    /// `wait_field` is where what is waited for is written: `.wait`, `.wait.where`.
    pub(crate) fn check(&self, path: &str, wait_field: &str, knows: Knows) -> Result<(), SpecError> {
        check_timeout(path, self.timeout)?;
        let wait = self.wait.unwrap_or_default();
        for (field, checks) in [(format!("{path}{wait_field}"), wait), (format!("{path}.checks"), self.checks)] {
            rule::at_most(&field, checks.len(), PER_REQUEST_MAX)?;
            for (index, check) in checks.iter().enumerate() {
                let field = format!("{field}[{index}]");
                check.check(&field)?;
                if !is_known(&check.subject, knows) {
                    return refuse(field, problem(knows));
                }
            }
        }
        if let Some(index) = wait.iter().position(|check| check.subject == Subject::Time) {
            let problem = "how long a message takes says not which one it is: write it into `checks`";
            return refuse(format!("{path}{wait_field}[{index}]"), problem);
        }
        rule::at_most(&format!("{path}.capture"), self.capture.len(), PER_REQUEST_MAX)?;
        for (name, capture) in self.capture {
            let field = format!("{path}.capture.{}", name.chars().take(64).collect::<String>());
            rule::check_variable_name(&field, name)?;
            capture.check(&field)?;
            let is_known = match &capture.from {
                CaptureFrom::Status | CaptureFrom::Cookie(_) => knows == Knows::Answer,
                CaptureFrom::Header(_) => knows != Knows::Body,
                CaptureFrom::Json(_) | CaptureFrom::Regex(_) | CaptureFrom::Css { .. } | CaptureFrom::Body => {
                    knows != Knows::Answer
                }
            };
            if !is_known {
                return refuse(field, problem(knows));
            }
        }
        if self.on_check_failure != OnCheckFailure::default() && self.checks.is_empty() {
            return refuse(format!("{path}.on_check_failure"), "there are no `checks` that could fail");
        }
        Ok(())
    }
}

pub(crate) fn check_timeout(path: &str, timeout: Option<HumanDuration>) -> Result<(), SpecError> {
    match timeout.is_some_and(|timeout| timeout.0 == 0 || timeout.0 > TIMEOUT_MAX_NS) {
        true => refuse(format!("{path}.timeout"), "0s would let nothing through, and 1h is the longest"),
        false => Ok(()),
    }
}

fn is_known(subject: &Subject, knows: Knows) -> bool {
    match subject {
        Subject::Time => true,
        Subject::Status | Subject::Cookie(_) => knows == Knows::Answer,
        Subject::Header(_) => knows != Knows::Body,
        Subject::Json(_) | Subject::Body | Subject::Size => knows != Knows::Answer,
    }
}

fn problem(knows: Knows) -> &'static str {
    match knows {
        Knows::Answer => "what opens a connection has a status, headers and cookies, and no body",
        Knows::Body => "such a message has neither status nor headers nor cookies: `json`, `body`, `size` and `time`",
        Knows::HeadersAndBody => {
            "such a message has neither status nor cookies: `header`, `json`, `body`, `size`, `time`"
        }
    }
}

/// Goes through the texts of the fields that are about what a step receives. `wait_field` as in [`Received::check`].
pub(super) fn visit_texts<E>(
    (path, wait_field): (&str, &str),
    wait: Option<&mut Vec<Check>>,
    capture: &mut BTreeMap<String, Capture>,
    checks: &mut [Check],
    visit: &mut Visit<'_, E>,
) -> Result<(), E> {
    for (index, check) in wait.into_iter().flatten().enumerate() {
        check.visit_texts(&format!("{path}{wait_field}[{index}]"), visit)?;
    }
    for (name, capture) in capture {
        capture.visit_texts(&format!("{path}.capture.{name}"), name, visit)?;
    }
    for (index, check) in checks.iter_mut().enumerate() {
        check.visit_texts(&format!("{path}.checks[{index}]"), visit)?;
    }
    Ok(())
}

/// The one action of a step, of those that are written; `all` names every one there is.
pub(super) fn only_action<T: Copy>(
    path: &str,
    found: impl IntoIterator<Item = Option<(&'static str, T)>>,
    all: &str,
) -> Result<(&'static str, T), SpecError> {
    let mut found = found.into_iter().flatten();
    match (found.next(), found.next()) {
        (Some(first), None) => Ok(first),
        (None, _) => refuse(path, format!("says not what to do: give one of {all}")),
        (Some((first, _)), Some((second, _))) => {
            let problem = format!("`{first}` and `{second}` are two actions: write each as a step of its own");
            refuse(format!("{path}.{second}"), problem)
        }
    }
}

/// Refuses the first of the fields that are written and belong to another action.
pub(super) fn refuse_others(
    path: &str,
    action: &str,
    others: impl IntoIterator<Item = (&'static str, bool)>,
) -> Result<(), SpecError> {
    match others.into_iter().find(|(_, is_there)| *is_there) {
        Some((field, _)) => refuse(format!("{path}.{field}"), format!("means nothing beside `{action}`")),
        None => Ok(()),
    }
}
