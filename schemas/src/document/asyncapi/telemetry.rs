//! The channels of machines' telemetry.

use super::{Carrier, Channel, JSON, MESSAGE_PACK};
use crate::subjects::Namespace;

pub(super) fn channels(ns: &Namespace) -> [Channel; 2] {
    [
        Channel {
            name: "telemetry",
            address: ns.telemetry("{node}"),
            carrier: Carrier::Core,
            messages: &["node-telemetry"],
            content_types: &[MESSAGE_PACK],
            headers: &[],
            inbound: false,
            description: "A machine, once a period. One process of each machine tells it, whichever holds the lease \
                          telemetry.<node>.",
        },
        Channel {
            name: "telemetry_control",
            address: ns.telemetry_control("{node}"),
            carrier: Carrier::Request("telemetry-state"),
            messages: &["telemetry-control"],
            content_types: &[MESSAGE_PACK, JSON],
            headers: &[],
            inbound: true,
            description: "Pauses and resumes the samples of a machine, changes their period, holds them for an \
                          experiment; answered by how the sampler stands then.",
        },
    ]
}
