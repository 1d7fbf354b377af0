//! The channels of telemetry on its way out, and of what servers tell of messages.

use super::{Carrier, Channel, JSON};
use crate::subjects::{CONTENT_TYPE_PROTOBUF, HEADER_CONTENT_TYPE, Namespace};

pub(super) fn channels(ns: &Namespace) -> [Channel; 2] {
    let otlp = Channel {
        name: "otlp",
        address: ns.otlp_all().replace('*', "{signal}"),
        carrier: Carrier::Stream(ns.stream_otlp()),
        messages: &[],
        content_types: &[CONTENT_TYPE_PROTOBUF],
        headers: &[HEADER_CONTENT_TYPE],
        inbound: false,
        description: "Telemetry of all processes on its way out: the bytes of OTLP's Export…ServiceRequest, for gateways \
                      and for collectors with a NATS receiver.",
    };
    let hops = Channel {
        name: "hops",
        address: ns.hops(),
        carrier: Carrier::Core,
        messages: &[],
        content_types: &[JSON],
        headers: &[],
        inbound: false,
        description: "What nats-server tells of the way of sampled messages (its message tracing, ADR-41), where their \
                      senders ask for it; for gateways.",
    };
    [otlp, hops]
}
