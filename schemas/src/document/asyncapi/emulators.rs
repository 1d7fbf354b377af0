//! The channels of systems under test.

use super::{Carrier, Channel, JSON, MESSAGE_PACK, OCTETS};
use crate::resource::ResourceKind;
use crate::subjects::Namespace;

pub(super) fn channels(ns: &Namespace) -> Vec<Channel> {
    let memory = ns.resource("{node}", ResourceKind::Memory);
    let resource = memory.strip_suffix("memory").map(|stem| format!("{stem}{{kind}}")).unwrap_or(memory);
    vec![
        Channel {
            name: "device_run",
            address: ns.device_run("{device}"),
            carrier: Carrier::Request("device-reply"),
            messages: &["device-request"],
            content_types: &[MESSAGE_PACK, JSON],
            headers: &[],
            inbound: true,
            description: "Work for an emulated device, answered when it is done.",
        },
        Channel {
            name: "oco_servo",
            address: ns.oco_servo("{account}", "{app}"),
            carrier: Carrier::Request("oco-reply"),
            messages: &["oco-event"],
            content_types: &[MESSAGE_PACK, JSON],
            headers: &[],
            inbound: true,
            description: "An event of the servo of one application, answered as over HTTP. A `.` in either name is \
                          written %2E. A refusal carries Nats-Service-Error-Code, the status of HTTP.",
        },
        Channel {
            name: "resource",
            address: resource,
            carrier: Carrier::Request("resource-reply"),
            messages: &["resource-request"],
            content_types: &[MESSAGE_PACK, JSON],
            headers: &[],
            inbound: true,
            description: "Memory, disk or cpu to be consumed on a node; an empty request asks how it stands.",
        },
        Channel {
            name: "bucket_oco",
            address: format!("$KV.{}.>", ns.bucket_oco()),
            carrier: Carrier::KeyValue(ns.bucket_oco()),
            messages: &[],
            content_types: &[OCTETS],
            headers: &[],
            inbound: false,
            description: "How the applications of an OCO emulator stand, in a form of its own.",
        },
    ]
}
