//! What a job is called: its id, its client and its priority, as its subject and headers say, whatever somebody wrote
//! there.

use std::borrow::Cow;

use nuncius_bus::Headers;
use nuncius_bus::work_queue::WorkItem;
use nuncius_schemas::names::{NameError, check_token};
use nuncius_schemas::subjects::{HEADER_ID, HEADER_MESSAGE_ID};

/// Stands in subjects for a client whose name cannot be a part of one.
const NO_CLIENT: &str = "_";
/// Longest name that is put into a subject although it is no token, in bytes: a subject has to fit a line of the
/// protocol.
const LITERAL_MAX_BYTES: usize = 128;
/// Longest name that is kept of a client, in characters.
const CLIENT_MAX: usize = 256;
/// The only value of the header [`HEADER_ID`].
pub(crate) const NEW_ID: &str = "new";

/// What the subject and headers of a job say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) id: String,
    pub(crate) client: String,
    pub(crate) priority: u8,
}

impl Name {
    pub(crate) fn of(item: &WorkItem) -> Option<Self> {
        Self::read(&item.subject, item.headers.get(HEADER_MESSAGE_ID), item.stream_sequence())
    }

    /// `<namespace>.job.<queue>.<priority>.<client>`; a namespace and a queue are one token each. An id that is none,
    /// and that of a client in whose place another name stands, is made from the place in the stream.
    pub(crate) fn read(subject: &str, message_id: Option<&str>, sequence: u64) -> Option<Self> {
        let mut tokens = subject.split('.').skip(3);
        let priority = tokens.next()?.parse().ok()?;
        let client: String = tokens.next()?.chars().take(CLIENT_MAX).collect();
        let id = message_id.filter(|id| check_token("job", id).is_ok() && is_literal(&client));
        Some(Self { id: id.map_or_else(|| format!("s{sequence}"), str::to_owned), client, priority })
    }

    /// Why such a job cannot be run; nothing where it can.
    pub(crate) fn check(&self) -> Result<(), NameError> {
        check_token("client", &self.client)
    }
}

/// The client as a token of a subject.
pub(crate) fn client_token(client: &str) -> Cow<'_, str> {
    if is_literal(client) { Cow::Borrowed(client) } else { Cow::Borrowed(NO_CLIENT) }
}

/// Whether it can be published to: what it says, and no wildcard.
fn is_literal(token: &str) -> bool {
    let fine = |c: char| !c.is_whitespace() && !c.is_control() && !"*>.".contains(c);
    !token.is_empty() && token.len() <= LITERAL_MAX_BYTES && token.chars().all(fine)
}

/// Whether nobody can have written a record of this job yet: its id comes from its place, or was made for this very
/// message.
pub(crate) fn has_new_id(name: &Name, headers: &Headers) -> bool {
    headers.get(HEADER_ID) == Some(NEW_ID) || headers.get(HEADER_MESSAGE_ID) != Some(name.id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_without_an_id_of_its_own_gets_that_of_its_place() {
        let id =
            |message_id| Name::read("n.job.q.2.me", message_id, 7).map(|name| (name.id, name.client, name.priority));
        assert_eq!(id(Some("a-1")), Some(("a-1".to_owned(), "me".to_owned(), 2)));
        assert_eq!(id(None), Some(("s7".to_owned(), "me".to_owned(), 2)));
        assert_eq!(id(Some("not a token")), Some(("s7".to_owned(), "me".to_owned(), 2)));
        assert!(Name::read("n.job.q.x.me", None, 7).is_none());
    }

    #[test]
    fn what_cannot_be_a_client_is_told_and_gets_a_subject_all_the_same() {
        for (client, token) in [("user@host", "user@host"), (">", "_"), ("*", "_"), ("a*", "_"), ("ü", "ü")] {
            let name = Name::read(&format!("n.job.q.0.{client}"), Some("x"), 7).unwrap();
            assert!(name.check().is_err(), "{client}");
            assert_eq!(client_token(&name.client), token);
            assert_eq!(name.id, if token == "_" { "s7" } else { "x" }, "{client}");
        }
        let long = "c".repeat(4_000);
        let name = Name::read(&format!("n.job.q.0.{long}"), None, 7).unwrap();
        assert_eq!((client_token(&name.client).as_ref(), name.client.len()), ("_", CLIENT_MAX));
        assert!(Name::read("n.job.q.0.me", None, 7).unwrap().check().is_ok());
    }
}
