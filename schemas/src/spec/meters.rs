//! The meters of a group: those that its script names, and those that the protocols of its steps have.

use super::check::{SpecError, refuse};
use super::{EngineKind, Group};
use crate::flow::Op;
use crate::meter::{Meter, MeterKind, MeterUnit, check_meters};

/// Meters of a protocol, by names that begin with it.
const fn of_protocol(op: &Op) -> &'static [(&'static str, MeterKind, MeterUnit)] {
    match op {
        Op::Ws(_) => &[
            ("ws_messages_sent", MeterKind::Counter, MeterUnit::Number),
            ("ws_messages_received", MeterKind::Counter, MeterUnit::Number),
            ("ws_session_duration", MeterKind::Histogram, MeterUnit::Nanoseconds),
        ],
        Op::SocketIo(_) => &[
            ("socketio_messages_sent", MeterKind::Counter, MeterUnit::Number),
            ("socketio_messages_received", MeterKind::Counter, MeterUnit::Number),
            ("socketio_session_duration", MeterKind::Histogram, MeterUnit::Nanoseconds),
        ],
        Op::Nats(_) => &[
            ("nats_messages_sent", MeterKind::Counter, MeterUnit::Number),
            ("nats_messages_received", MeterKind::Counter, MeterUnit::Number),
        ],
        Op::Http(..)
        | Op::Think(_)
        | Op::Set(_)
        | Op::Loop(_)
        | Op::If(_)
        | Op::Parallel(_)
        | Op::Call(_)
        | Op::Log(_) => &[],
    }
}

const AMQP: [(&str, MeterKind, MeterUnit); 2] = [
    ("amqp_messages_sent", MeterKind::Counter, MeterUnit::Number),
    ("amqp_messages_received", MeterKind::Counter, MeterUnit::Number),
];

impl Group {
    /// The group's figures of its own: first those that it declares, then those of the protocols that its steps speak.
    pub fn all_meters(&self) -> Vec<Meter> {
        let own = self.meters.iter();
        let mut meters: Vec<Meter> = own
            .map(|(name, declared)| Meter { name: name.clone(), kind: declared.kind, unit: declared.unit })
            .collect();
        for place in self.all_steps() {
            let of_step = match &place.step.op {
                Some(op) => of_protocol(op),
                None if self.engine != EngineKind::Http => &[],
                None if place.step.publish.is_some() || place.step.consume.is_some() => &AMQP,
                None => &[],
            };
            for (name, kind, unit) in of_step {
                if !meters.iter().any(|meter| meter.name == *name) {
                    meters.push(Meter { name: (*name).to_owned(), kind: *kind, unit: *unit });
                }
            }
        }
        meters
    }
}

/// What the meters of a group must keep to.
pub(super) fn check(path: &str, group: &Group) -> Result<(), SpecError> {
    let field = format!("{path}.meters");
    if !group.meters.is_empty() && group.script.is_none() {
        return refuse(field, "nobody adds to them: the group has no `script`");
    }
    let protocols = ["ws_", "socketio_", "nats_", "amqp_"];
    let is_taken = |name: &&String| protocols.iter().any(|prefix| name.starts_with(prefix));
    if let Some(name) = group.meters.keys().find(is_taken) {
        return refuse(format!("{field}.{name}"), "names that begin with a protocol are its own");
    }
    check_meters(&group.all_meters()).or_else(|problem| refuse(field, problem))
}
