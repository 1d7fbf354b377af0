//! One permission, and where the names in it are.

use nuncius_schemas::subjects::Namespace;

use crate::refusal::Access;

/// What a permission is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// To publish to a subject, or to ask there.
    Publish,
    /// To listen on a subject.
    Subscribe,
    /// To answer once what was asked of it, wherever that wants its answer.
    Answer,
}

/// One permission of a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// What about.
    pub right: Right,
    /// The subject, with wildcards; empty for [`Right::Answer`].
    pub subject: String,
    /// What for.
    pub purpose: &'static str,
}

impl Grant {
    /// Whether it is this permission that lets somebody do this.
    pub fn allows(&self, access: Access, subject: &str) -> bool {
        match (self.right, access) {
            (Right::Publish, Access::Publish) | (Right::Subscribe, Access::Subscribe) => {
                matches(&self.subject, subject)
            }
            // Answers go to inboxes, whosever they are.
            (Right::Answer, Access::Publish) => subject.starts_with("_INBOX"),
            (Right::Publish | Right::Answer, Access::Subscribe) | (Right::Subscribe, Access::Publish) => false,
        }
    }
}

/// Where a system's names are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The namespace.
    pub namespace: Namespace,
    /// The domain of JetStream, where its clients name one.
    pub domain: Option<String>,
    /// The queues; none means any.
    pub queues: Vec<String>,
}

/// Whether a subject, which may have wildcards itself, lies within a pattern.
pub(super) fn matches(pattern: &str, subject: &str) -> bool {
    let mut subject = subject.split('.');
    for token in pattern.split('.') {
        match (token, subject.next()) {
            (">", Some(_)) => return true,
            ("*", Some(other)) if other != ">" => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}
