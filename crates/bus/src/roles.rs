//! Who may do what on the bus: one user of nats-server for each kind of process, with no more than it needs.
//!
//! The table in [`grants`] is what `nuncius nats-config` writes and what docs/roles.md shows. A test takes every grant
//! away in turn, and something must fail: whatever a process does anew needs a line there, and what it does no longer
//! leaves it.

use nuncius_schemas::subjects::Namespace;

use crate::refusal::Access;

mod build;
mod config;
mod table;

pub use config::in_server_words;

/// A user of nats-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UserRole {
    /// Runs experiments; makes their streams.
    Experimentd,
    /// Offers load.
    Client,
    /// Keeps queues; makes their streams.
    Frontend,
    /// Runs jobs.
    Worker,
    /// Submits jobs for as long as it runs, and waits for their results.
    QueueClient,
    /// Is a system under test.
    Emulator,
    /// Samples a machine, and does nothing else.
    Telemetry,
    /// A person, or a pipeline, that publishes experiments and waits for their verdicts.
    Submitter,
    /// A person who types commands: experiments, queues, routes, resources.
    Operator,
    /// Looks on, and changes nothing.
    Observer,
    /// Hands telemetry on to collectors, and shows metrics.
    Gateway,
}

impl UserRole {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Experimentd,
        Self::Client,
        Self::Frontend,
        Self::Worker,
        Self::QueueClient,
        Self::Emulator,
        Self::Telemetry,
        Self::Submitter,
        Self::Operator,
        Self::Observer,
        Self::Gateway,
    ];

    /// Its name, a token.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Experimentd => "experimentd",
            Self::Client => "client",
            Self::Frontend => "frontend",
            Self::Worker => "worker",
            Self::QueueClient => "queue-client",
            Self::Emulator => "emulator",
            Self::Telemetry => "telemetry",
            Self::Submitter => "submitter",
            Self::Operator => "operator",
            Self::Observer => "observer",
            Self::Gateway => "gateway",
        }
    }

    /// What it is for, in a sentence.
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Experimentd => "runs experiments, and makes their streams and buckets",
            Self::Client => "offers load",
            Self::Frontend => "keeps queues and their books, and makes their streams",
            Self::Worker => "runs jobs",
            Self::QueueClient => "submits jobs for as long as it runs, and waits for their results",
            Self::Emulator => "is a system under test: OCO backends, resources, devices",
            Self::Telemetry => "samples a machine, and does nothing else",
            Self::Submitter => "publishes experiments, waits for their verdicts, cancels",
            Self::Operator => "a person who types commands: experiments, queues, routes, resources",
            Self::Observer => "looks on, and changes nothing",
            Self::Gateway => "hands telemetry on to collectors, and shows metrics",
        }
    }
}

impl std::fmt::Display for UserRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for UserRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|role| role.name()).collect();
            format!("there is no role `{text}`: roles are {}", names.join(", "))
        })
    }
}

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

/// All that a role may do: nothing else is permitted.
pub fn grants(place: &Place, role: UserRole) -> Vec<Grant> {
    let mut grants = table::of(place, role);
    if place.domain.is_some() {
        // Servers before the domain look at what was asked for, the server of the domain at what that stands for there.
        grants.extend(table::of(&Place { domain: None, ..place.clone() }, role));
        grants.sort();
        grants.dedup_by(|a, b| (a.right, &a.subject) == (b.right, &b.subject));
    }
    grants
}

/// What reply subjects of a role begin with: no other role hears them.
pub fn inbox_prefix(namespace: &Namespace, role: UserRole) -> String {
    format!("_INBOX.{}.{}", namespace.as_str(), role.name())
}

/// Whether a subject, which may have wildcards itself, lies within a pattern.
fn matches(pattern: &str, subject: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_role_hears_what_another_is_answered() {
        let place = Place::default();
        for role in UserRole::ALL {
            for grant in grants(&place, role).iter().filter(|grant| grant.right == Right::Subscribe) {
                for other in UserRole::ALL.into_iter().filter(|other| *other != role) {
                    let inbox = format!("{}.x.y", inbox_prefix(&place.namespace, other));
                    assert!(!matches(&grant.subject, &inbox), "{role} may hear {inbox} by {}", grant.subject);
                }
            }
        }
    }

    #[test]
    fn only_makers_make_streams_and_an_observer_changes_nothing() {
        let place = Place::default();
        let makes = |role: UserRole| grants(&place, role).iter().any(|grant| grant.subject.contains(".STREAM.CREATE."));
        for role in UserRole::ALL {
            // An emulator makes one bucket, its own.
            let may =
                matches!(role, UserRole::Experimentd | UserRole::Frontend | UserRole::Operator | UserRole::Emulator);
            assert_eq!(makes(role), may, "{role}");
        }
        let changes = ["$KV.", "$O.", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE", "MSG.DELETE"];
        for grant in grants(&place, UserRole::Observer).iter().filter(|grant| grant.right == Right::Publish) {
            let subject = grant.subject.replace(".$KV.", ".").replace(".$O.", ".");
            assert!(!changes.iter().any(|change| subject.contains(change)), "{}", grant.subject);
        }
    }

    #[test]
    fn names_of_roles_are_read_back() {
        for role in UserRole::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert!("admin".parse::<UserRole>().unwrap_err().contains("observer"));
    }
}
