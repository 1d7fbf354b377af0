//! What arrives: packets of Socket.IO.

use serde_json::Value;

use super::Client;
use super::happened::{AnswerTo, Happened};
use super::namespaces::Standing;
use crate::error::{ProtocolError, shown};
use crate::limits::Limit;
use crate::socket_io::{Ack, Connect, Content, DEFAULT_NAMESPACE, Event, Packet};
use crate::version::Version;

type Outcome = Result<(), ProtocolError>;

impl Client {
    /// Servers of protocol 4 connect the default namespace by themselves.
    pub(super) fn begin_default(&mut self) -> Outcome {
        match self.version {
            Version::Eio3 => self.namespaces.begin(DEFAULT_NAMESPACE, &self.limits),
            Version::Eio4 => Ok(()),
        }
    }

    pub(super) fn deliver(&mut self, packet: Packet, happened: &mut Vec<Happened>) -> Outcome {
        let Packet { namespace, content } = packet;
        let standing = self.namespaces.standing(&namespace);
        let is_unknown = standing == Standing::Unknown;
        happened.push(match content {
            Content::Connect(connect) => self.on_connect(namespace, standing, &connect)?,
            Content::Disconnect if is_unknown => nowhere("an end", &namespace),
            Content::Disconnect => {
                let unanswered = self.namespaces.end(&namespace);
                Happened::Disconnected { namespace, unanswered }
            }
            Content::Event(_) if is_unknown => nowhere("an event", &namespace),
            // Before the connection is answered as well: what a server sends while it decides.
            Content::Event(Event { name, arguments, ack_id }) => {
                let answer = ack_id.map(|id| AnswerTo { namespace: namespace.clone(), id });
                Happened::Event { namespace, name, arguments, answer }
            }
            Content::Ack(_) if is_unknown => nowhere("an ack", &namespace),
            Content::Ack(Ack { id, arguments }) if self.namespaces.take_ack(&namespace, id) => {
                Happened::Acknowledged { namespace, id, arguments }
            }
            Content::Ack(Ack { id, .. }) => Happened::Refused(self.namespaces.unknown_ack(&namespace, id)),
            Content::Error(payload) => {
                self.on_error(namespace, standing, payload, happened);
                return Ok(());
            }
        });
        Ok(())
    }

    fn on_connect(
        &mut self,
        namespace: String,
        standing: Standing,
        connect: &Connect,
    ) -> Result<Happened, ProtocolError> {
        let session_id = match (self.version, connect.session_id()) {
            (Version::Eio3, _) => None,
            (Version::Eio4, Some(id)) => {
                self.limits.check(Limit::SessionIdBytes, id.len())?;
                Some(id.to_owned())
            }
            // A server of the other version lets a client in and connects `/` by itself.
            (Version::Eio4, None) => {
                return Err(ProtocolError::VersionMismatch { speaks: Version::Eio3, wanted: Version::Eio4 });
            }
        };
        Ok(match standing {
            Standing::Connecting => {
                self.namespaces.connected(&namespace);
                Happened::Connected { namespace, session_id }
            }
            Standing::Connected => Happened::Refused(ProtocolError::order(
                "a CONNECT packet came for a namespace that is connected already",
            )),
            Standing::Unknown => nowhere("an answer to the connection", &namespace),
        })
    }

    fn on_error(&mut self, namespace: String, standing: Standing, payload: Value, happened: &mut Vec<Happened>) {
        match (standing, self.version) {
            (Standing::Unknown, _) => happened.push(nowhere("an error", &namespace)),
            (Standing::Connected, Version::Eio3) => happened.push(Happened::Error { namespace, payload }),
            (Standing::Connected, Version::Eio4) => happened.push(Happened::Refused(ProtocolError::order(
                "a CONNECT_ERROR packet came for a namespace that is connected",
            ))),
            (Standing::Connecting, Version::Eio3) if namespace == DEFAULT_NAMESPACE => {
                // The server of protocol 4 keeps the other namespaces back until this one is connected.
                for namespace in self.namespaces.end_connecting() {
                    happened.push(Happened::ConnectRefused { namespace, payload: payload.clone() });
                }
            }
            (Standing::Connecting, Version::Eio3 | Version::Eio4) => {
                self.namespaces.end(&namespace);
                happened.push(Happened::ConnectRefused { namespace, payload });
            }
        }
    }
}

/// A packet for a namespace that is not there.
fn nowhere(what: &'static str, namespace: &str) -> Happened {
    Happened::Refused(ProtocolError::NotConnected { what, namespace: shown(namespace) })
}
