//! Every subject of [`crate::subjects`] as an AsyncAPI 3.0 document.

use serde_json::{Map, Value, json};

use super::{MessageType, messages};
use crate::subjects::{
    HEADER_ACCEPT, HEADER_ATTEMPTS, HEADER_CLIENT, HEADER_CONTENT_TYPE, HEADER_DEAD_MESSAGE_ID, HEADER_DEAD_SEQUENCE,
    HEADER_DEAD_SIZE_BYTES, HEADER_ID, HEADER_IF_CLIENT, HEADER_JOB, HEADER_MESSAGE_ID, HEADER_PRIORITY, HEADER_REASON,
    HEADER_REPLY, HEADER_RETRY_OF, HEADER_SCHEMA, HEADER_TRACEPARENT, Namespace,
};

mod apps;
mod channel;
mod emulators;
mod otlp;
mod profile;
mod telemetry;

pub use channel::{Carrier, Channel};
use channel::{JSON, MESSAGE_PACK, OCTETS, YAML};

/// Every channel, in the namespace `nuncius`.
pub fn channels() -> Vec<Channel> {
    let ns = Namespace::default();
    let key = |bucket: &str, key: &str| format!("$KV.{bucket}.{key}");
    let mut channels = vec![
        Channel {
            name: "experiment_submit",
            address: ns.experiment_submit(),
            carrier: Carrier::WorkQueue(ns.stream_submit()),
            messages: &["experiment", "galileo-instructions", "galileo-ticks"],
            content_types: &[YAML, JSON, MESSAGE_PACK],
            headers: &[HEADER_MESSAGE_ID, HEADER_REPLY],
            inbound: true,
            description: "One experiment, at most 256 KiB. The stream's ack says that it is kept; an answer of type \
                          submit-reply goes to the subject in the header Nuncius-Reply.",
        },
        Channel {
            name: "experiment_dead",
            address: ns.experiment_dead(),
            carrier: Carrier::Stream(ns.stream_dead()),
            messages: &[],
            content_types: &[OCTETS],
            headers: &[HEADER_REASON, HEADER_DEAD_MESSAGE_ID, HEADER_DEAD_SEQUENCE, HEADER_DEAD_SIZE_BYTES],
            inbound: false,
            description: "A submission that could not be read, as it came, with the reason.",
        },
        Channel {
            name: "change",
            address: ns.change(),
            carrier: Carrier::Stream(ns.stream_change()),
            messages: &["change"],
            content_types: &[MESSAGE_PACK],
            headers: &[HEADER_MESSAGE_ID],
            inbound: false,
            description: "What somebody changed beside experiments, with who and why.",
        },
        Channel {
            name: "experiment_event",
            address: ns.experiment_event("{experiment}"),
            carrier: Carrier::Stream(ns.stream_event()),
            messages: &["experiment-event"],
            content_types: &[MESSAGE_PACK],
            headers: &[HEADER_MESSAGE_ID],
            inbound: false,
            description: "Life cycle, phases and gates of one experiment; replayable.",
        },
        Channel {
            name: "experiment_second",
            address: ns.experiment_second("{experiment}"),
            carrier: Carrier::Stream(ns.stream_second()),
            messages: &["experiment-second"],
            content_types: &[MESSAGE_PACK],
            headers: &[HEADER_MESSAGE_ID],
            inbound: false,
            description: "Merged seconds of one experiment, by group and step: the one source of every view; replayable.",
        },
        Channel {
            name: "experiment_control",
            address: ns.experiment_control("{experiment}"),
            carrier: Carrier::Request("control-reply"),
            messages: &["control"],
            content_types: &[MESSAGE_PACK, JSON],
            headers: &[],
            inbound: true,
            description: "Requests to the daemon that holds the run.",
        },
        Channel {
            name: "experiment_archive",
            address: ns.experiment_archive("{experiment}"),
            carrier: Carrier::Request("archive-reply"),
            messages: &["archive-request"],
            content_types: &[MESSAGE_PACK, JSON],
            headers: &[],
            inbound: true,
            description: "Requests to the daemon whose database has the experiment: export in pieces, removal.",
        },
        Channel {
            name: "experiments_archive",
            address: ns.experiments_archive(),
            carrier: Carrier::Request("archive-reply"),
            messages: &["archive-request"],
            content_types: &[MESSAGE_PACK, JSON],
            headers: &[],
            inbound: true,
            description: "The request `find` to every daemon, each of which answers with what its database has.",
        },
        Channel {
            name: "node_command",
            address: ns.node_command("{node}"),
            carrier: Carrier::Request("node-reply"),
            messages: &["node-command"],
            content_types: &[MESSAGE_PACK],
            headers: &[],
            inbound: true,
            description: "Prepare, start, extend, stop.",
        },
        Channel {
            name: "node_ping",
            address: ns.node_ping("{node}"),
            carrier: Carrier::Request(""),
            messages: &[],
            content_types: &[OCTETS],
            headers: &[],
            inbound: true,
            description: "A clock probe, answered at once with the node's CLOCK_MONOTONIC; never behind a command.",
        },
        Channel {
            name: "metric",
            address: ns.metric("{experiment}", "{node}"),
            carrier: Carrier::Stream(ns.stream_metric()),
            messages: &["metric-delta"],
            content_types: &[MESSAGE_PACK],
            headers: &[HEADER_MESSAGE_ID],
            inbound: false,
            description: "What a node measured, once a second. Merging one twice changes nothing.",
        },
        Channel {
            name: "trace",
            address: ns.trace("{experiment}", "{node}"),
            carrier: Carrier::Stream(ns.stream_trace()),
            messages: &["record-batch"],
            content_types: &[MESSAGE_PACK],
            headers: &[HEADER_MESSAGE_ID],
            inbound: false,
            description: "Request records in batches: none, sampled ones or all.",
        },
        Channel {
            name: "bucket_node",
            address: key(&ns.bucket_node(), "{node}"),
            carrier: Carrier::KeyValue(ns.bucket_node()),
            messages: &["node-info"],
            content_types: &[MESSAGE_PACK],
            headers: &[],
            inbound: false,
            description: "Who is here; a key that is not renewed expires.",
        },
        Channel {
            name: "bucket_lease",
            address: key(&ns.bucket_lease(), "{lease}"),
            carrier: Carrier::KeyValue(ns.bucket_lease()),
            messages: &[],
            content_types: &[OCTETS],
            headers: &[],
            inbound: false,
            description: "Who holds what. The revision of the acquiring create is the fencing token.",
        },
        Channel {
            name: "bucket_run",
            address: key(&ns.bucket_run(), "{experiment}"),
            carrier: Carrier::KeyValue(ns.bucket_run()),
            messages: &["run-record"],
            content_types: &[MESSAGE_PACK],
            headers: &[],
            inbound: false,
            description: "Run records, changed by compare-and-set only.",
        },
        Channel {
            name: "bucket_route",
            address: key(&ns.bucket_route(), "{service}"),
            carrier: Carrier::KeyValue(ns.bucket_route()),
            messages: &["route"],
            content_types: &[MESSAGE_PACK, JSON],
            headers: &[],
            inbound: true,
            description: "The routing table.",
        },
        Channel {
            name: "bucket_artifact",
            address: format!("$O.{}.>", ns.bucket_artifact()),
            carrier: Carrier::ObjectStore(ns.bucket_artifact()),
            messages: &["report"],
            content_types: &[JSON],
            headers: &[],
            inbound: false,
            description: "Reports, one object per experiment, named <experiment>-report.json.",
        },
    ];
    channels.extend(apps::channels(&ns));
    channels.extend(queue_channels(&ns));
    channels.extend(emulators::channels(&ns));
    channels.extend(otlp::channels(&ns));
    channels.extend(profile::channels(&ns));
    channels.extend(telemetry::channels(&ns));
    channels
}

/// The channels of queues and workers.
fn queue_channels(ns: &Namespace) -> Vec<Channel> {
    vec![
        Channel {
            name: "job",
            address: ns.job("{queue}", 0, "{client}").replace(".0.", ".{priority}."),
            carrier: Carrier::WorkQueue(ns.stream_job("{queue}")),
            messages: &["job"],
            content_types: &[MESSAGE_PACK, JSON],
            headers: &[HEADER_MESSAGE_ID, HEADER_ID, HEADER_ACCEPT, HEADER_IF_CLIENT, HEADER_RETRY_OF],
            inbound: true,
            description: "A job. Its id is the header Nats-Msg-Id. The stream's ack says that it is accepted; an error \
                          in it that the queue is full or drains; no stream that there is no such queue.",
        },
        Channel {
            name: "job_event",
            address: ns.job_event("{queue}"),
            carrier: Carrier::Core,
            messages: &["job-event"],
            content_types: &[MESSAGE_PACK],
            headers: &[],
            inbound: false,
            description: "What happens to jobs that have not ended, for people's eyes only.",
        },
        Channel {
            name: "record",
            address: ns.record("{queue}", "{client}", "{job}"),
            carrier: Carrier::Stream(ns.stream_result("{queue}")),
            messages: &["job-result"],
            content_types: &[MESSAGE_PACK, JSON],
            headers: &[],
            inbound: true,
            description: "Where workers publish the record of a job, expecting that its subject has none. It is \
                          told on the channel result then.",
        },
        Channel {
            name: "result",
            address: ns.result("{queue}", "{client}", "{job}"),
            carrier: Carrier::Core,
            messages: &["job-result"],
            content_types: &[MESSAGE_PACK, JSON],
            headers: &[],
            inbound: false,
            description: "The one terminal record of a job, told once the stream has it: who listens on a part of it hears \
                          no record that was refused, and one twice where its worker broke off. JSON for jobs in JSON.",
        },
        Channel {
            name: "repeat",
            address: ns.repeat("{queue}", 0).replace(".0", ".{sequence}"),
            carrier: Carrier::Stream(ns.stream_result("{queue}")),
            messages: &["job-repeat"],
            content_types: &[MESSAGE_PACK],
            headers: &[],
            inbound: false,
            description: "A message of a job that had its terminal record already: acknowledged, counted, not run. Its \
                          place in the stream of jobs is the last token.",
        },
        Channel {
            name: "dead_letter",
            address: ns.dead_letter("{queue}"),
            carrier: Carrier::Stream(ns.stream_dead_letter("{queue}")),
            messages: &["job"],
            content_types: &[MESSAGE_PACK, JSON],
            headers: &[HEADER_JOB, HEADER_CLIENT, HEADER_PRIORITY, HEADER_ATTEMPTS, HEADER_REASON],
            inbound: false,
            description: "A job that was given up, as it came, with the reason.",
        },
        Channel {
            name: "sample",
            address: ns.sample("{node}"),
            carrier: Carrier::Stream(ns.stream_sample()),
            messages: &["node-sample"],
            content_types: &[MESSAGE_PACK],
            headers: &[],
            inbound: false,
            description: "Telemetry of a host, its devices and, of a worker, its slots.",
        },
        Channel {
            name: "bucket_queue",
            address: format!("$KV.{}.{{queue}}", ns.bucket_queue()),
            carrier: Carrier::KeyValue(ns.bucket_queue()),
            messages: &["queue", "queue-totals"],
            content_types: &[MESSAGE_PACK],
            headers: &[],
            inbound: false,
            description: "Queues; under <queue>.totals what went through them, under <queue>.returned.<job> how often a \
                          job was handed back.",
        },
    ]
}

/// The namespace as a parameter, as every deployment may have its own.
fn with_namespace(text: &str) -> String {
    text.replacen("nuncius", "{namespace}", 1)
}

/// The AsyncAPI document.
pub fn document() -> Value {
    let channels = channels();
    let mut described = Map::new();
    let mut operations = Map::new();
    for channel in &channels {
        described.insert(channel.name.to_owned(), describe(channel));
        operations.insert(channel.name.to_owned(), operation(channel));
        if let Carrier::Request(reply) = channel.carrier {
            described.insert(format!("{}_reply", channel.name), describe_reply(channel, reply));
        }
    }
    let components: Map<String, Value> =
        messages().iter().map(|message| (message.name.to_owned(), describe_message(message))).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Nuncius",
            "version": "1",
            "description": "What travels over NATS between people, the experiment daemon and the nodes. Processes \
                write MessagePack with named fields; people and foreign programs may write JSON, and YAML on submission. \
                Unknown fields are ignored between processes and refused in what people write.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": MESSAGE_PACK,
        "servers": { "nats": { "host": "127.0.0.1:4222", "protocol": "nats" } },
        "channels": described,
        "operations": operations,
        "components": { "messages": components, "parameters": parameters() },
    })
}

const PARAMETERS: [&str; 12] = [
    "namespace",
    "experiment",
    "node",
    "service",
    "lease",
    "queue",
    "client",
    "priority",
    "job",
    "sequence",
    "device",
    "signal",
];

fn parameters() -> Value {
    let token = "A token: 1 to 64 of A-Z a-z 0-9 _ -";
    json!({
        "namespace": { "description": token, "default": "nuncius" },
        "experiment": { "description": format!("Experiment. {token}") },
        "node": { "description": format!("Node. {token}") },
        "service": { "description": "Service as targets name it." },
        "lease": { "description": "What is held." },
        "queue": { "description": format!("Queue. {token}, at most 48 of them") },
        "client": { "description": format!("Who submits. {token}") },
        "priority": { "description": "0 (most urgent) to 2." },
        "job": { "description": format!("Job. {token}") },
        "sequence": { "description": "Sequence of a message in its stream." },
        "device": { "description": format!("Emulated device. {token}") },
        "signal": { "description": "traces, metrics or logs." },
    })
}

fn message_refs(root: &str, names: &[&str]) -> Map<String, Value> {
    names.iter().map(|name| ((*name).to_owned(), json!({ "$ref": format!("{root}/{name}") }))).collect()
}

fn describe(channel: &Channel) -> Value {
    let address = with_namespace(&channel.address);
    let used: Map<String, Value> = PARAMETERS
        .into_iter()
        .filter(|name| address.contains(&format!("{{{name}}}")))
        .map(|name| (name.to_owned(), json!({ "$ref": format!("#/components/parameters/{name}") })))
        .collect();
    let headers: Vec<&str> = [HEADER_CONTENT_TYPE, HEADER_SCHEMA, HEADER_TRACEPARENT]
        .into_iter()
        .filter(|_| !channel.messages.is_empty())
        .chain(channel.headers.iter().copied())
        .collect();
    let mut described = json!({
        "address": address,
        "description": channel.description,
        "parameters": used,
        "messages": message_refs("#/components/messages", channel.messages),
        "x-nuncius-carrier": channel.carrier.name(),
        "x-nuncius-content-types": channel.content_types,
        "x-nuncius-headers": headers,
    });
    if let (Some(store), Some(map)) = (channel.carrier.store(), described.as_object_mut()) {
        map.insert("x-nuncius-store".to_owned(), with_namespace(store).into());
    }
    described
}

fn describe_reply(channel: &Channel, reply: &str) -> Value {
    let names: Vec<&str> = Some(reply).filter(|reply| !reply.is_empty()).into_iter().collect();
    json!({
        "address": null,
        "description": format!("Answers on the inbox of a request on {}.", with_namespace(&channel.address)),
        "messages": message_refs("#/components/messages", &names),
        "x-nuncius-carrier": "core",
    })
}

fn operation(channel: &Channel) -> Value {
    let mut operation = json!({
        "action": if channel.inbound { "receive" } else { "send" },
        "channel": { "$ref": format!("#/channels/{}", channel.name) },
        "summary": channel.description,
    });
    if let (Carrier::Request(_), Some(map)) = (&channel.carrier, operation.as_object_mut()) {
        let reply = json!({ "channel": { "$ref": format!("#/channels/{}_reply", channel.name) } });
        map.insert("reply".to_owned(), reply);
    }
    operation
}

fn describe_message(message: &MessageType) -> Value {
    json!({
        "name": message.schema_name(),
        "summary": message.summary,
        "contentType": MESSAGE_PACK,
        "headers": {
            "type": "object",
            "properties": {
                HEADER_CONTENT_TYPE: { "type": "string" },
                HEADER_SCHEMA: { "type": "string", "const": message.schema_name() },
                HEADER_TRACEPARENT: { "type": "string", "description": "W3C trace context" },
            },
        },
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": { "$ref": format!("./{}", message.schema_path()) },
        },
    })
}
