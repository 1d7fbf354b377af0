//! The channel of telemetry on its way out.

use super::{Carrier, Channel};
use crate::subjects::{CONTENT_TYPE_PROTOBUF, HEADER_CONTENT_TYPE, Namespace};

pub(super) fn channel(ns: &Namespace) -> Channel {
    Channel {
        name: "otlp",
        address: ns.otlp_all().replace('*', "{signal}"),
        carrier: Carrier::Stream(ns.stream_otlp()),
        messages: &[],
        content_types: &[CONTENT_TYPE_PROTOBUF],
        headers: &[HEADER_CONTENT_TYPE],
        inbound: false,
        description: "Telemetry of all processes on its way out: the bytes of OTLP's Export…ServiceRequest, for gateways \
                      and for collectors with a NATS receiver.",
    }
}
