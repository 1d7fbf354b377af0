//! Steps of messages as people write them: WebSocket, Socket.IO, NATS, AMQP and jobs in one group.

use nuncius_schemas::codec;
use nuncius_schemas::flow::{Op, SocketIoProtocol, WsAction, WsMessage};
use nuncius_schemas::spec::{ExperimentSpec, Group};

fn spec(target: &str, fields: &str) -> Result<ExperimentSpec, String> {
    let text = format!("groups: [{{target: '{target}', users: 1, iterations: 1, {fields}}}]");
    let spec: ExperimentSpec = codec::from_text(&text).map_err(|error| error.to_string())?;
    spec.validate().map_err(|error| error.to_string())?;
    Ok(spec)
}

fn steps(text: &str) -> Result<Group, String> {
    spec("http://a/", &format!("steps: {text}")).map(|mut spec| spec.groups.remove(0))
}

const EVERY: &str = "[{ws: {connect: '/chat?x=1', as: chat, query: {a: '{{ iteration() }}'}, headers: {X-A: b}, \
    subprotocols: [one, two], timeout: 5s, checks: [{status: 101}]}}, \
    {ws: {send: hello, on: chat, wait: [{json: $.ok, equals: true}], capture: {id: {json: $.id}}}}, \
    {ws: {json: {n: 1}, on: chat}}, {ws: {binary: AAEC, on: chat}}, {ws: {wait: [], on: chat}}, \
    {ws: {close: 1000, on: chat}}, \
    {socketio: {connect: /socket.io/, namespace: /chat, auth: {token: t}, transports: [websocket, polling]}}, \
    {socketio: {emit: join, args: [room, {binary: AA==}], namespace: /chat, ack: true, checks: [{json: '$[0]', equals: 1}]}}, \
    {socketio: {emit: say, wait: {event: said, where: [{json: '$[0].id', equals: 7}]}}}, \
    {socketio: {wait: {event: said}}}, {socketio: {disconnect: true}}, \
    {nats: {server: 'nats://b:4222', publish: 'a.{{ iteration() }}', json: {n: 1}, headers: {X: y}, jetstream: true, track: t}}, \
    {nats: {server: 'nats://b:4222', request: a, body: x, timeout: 1s, checks: [{header: X, exists: true}]}}, \
    {nats: {server: 'nats://b:4222', subscribe: 'a.>', queue: q, as: sub, track: t}}, \
    {nats: {wait: [], on: sub, messages: 5}}, \
    {nats: {server: 'nats://b:4222', consume: {stream: S, consumer: c}, messages: 2, track: t}}, \
    {publish: {broker: 'amqp://b/%2f', routing_key: 'k{{ iteration() }}', body: x, track: u}}, \
    {consume: {broker: 'amqp://b/%2f', queue: q, messages: 3, track: u, capture: {id: {json: $.id}}}}, \
    {job: {queue: sleep, args: ['{{ iteration() }}'], timeout: 10s, checks: [{json: $.status, equals: succeeded}]}}]";

#[test]
fn every_step_of_messages_is_read_written_and_read_again() {
    let group = steps(EVERY).unwrap();
    let verbs: Vec<&str> = group.steps.iter().map(|step| step.verb().unwrap()).collect();
    assert_eq!(verbs[..2], ["ws", "ws"]);
    assert_eq!(verbs[15..], ["nats", "publish", "consume", "job"]);
    assert!(!group.is_static());
    let Some(Op::Ws(send)) = &group.steps[1].op else { panic!("{:?}", group.steps[1]) };
    assert_eq!(send.action("").unwrap(), WsAction::Send(WsMessage::Text("hello")));
    let Some(Op::SocketIo(connect)) = &group.steps[6].op else { panic!("{:?}", group.steps[6]) };
    assert_eq!((connect.protocol, connect.namespace()), (SocketIoProtocol::V5, "/chat"));
    let written = codec::encode(&group).unwrap();
    assert_eq!(codec::decode::<Group>(&written).unwrap(), group);
    assert_eq!(
        group.urls(),
        ["http://a/", "nats://b:4222", "amqp://b/%2f"],
        "whoever may be aimed at is known before the load"
    );
}

#[test]
fn a_group_has_the_meters_of_its_protocols_and_those_that_its_script_names() {
    let group = steps(EVERY).unwrap();
    let names: Vec<String> = group.all_meters().into_iter().map(|meter| meter.name).collect();
    for name in [
        "ws_messages_sent",
        "ws_session_duration",
        "socketio_messages_received",
        "nats_messages_sent",
        "amqp_messages_received",
    ] {
        assert!(names.iter().any(|known| known == name), "{name} of {names:?}");
    }
    let fields = "script: {source: 'export function f() {}'}, steps: [{call: f}], \
                  meters: {orders: counter, sizes: {kind: histogram, unit: bytes}}";
    let group = spec("http://a/", fields).unwrap().groups.remove(0);
    assert_eq!(group.all_meters().len(), 2);
    for (fields, expected) in [
        ("steps: [{get: /}], meters: {a: counter}", "groups[0].meters: nobody adds to them"),
        ("script: {source: 'x'}, steps: [{call: f}], meters: {ws_a: counter}", "names that begin with a protocol"),
        ("script: {source: 'x'}, steps: [{call: f}], meters: {a: gauge}", "a meter is a `counter`, or a `histogram`"),
        ("script: {source: 'x'}, steps: [{call: f}], meters: {'a b': counter}", "`a b`"),
    ] {
        let told = spec("http://a/", fields).unwrap_err();
        assert!(told.contains(expected), "{fields}\n-> {told}");
    }
}

#[test]
fn a_wrong_step_of_messages_is_told_with_its_place_and_what_to_do() {
    for (text, expected) in [
        ("[{ws: {}}]", "steps[0].ws: says not what to do: give one of `connect`, `send`"),
        ("[{ws: {connect: /a, close: 1000}}]", "steps[0].ws.close: `connect` and `close` are two actions"),
        ("[{ws: {send: a, json: 1}}]", "`send` and `json` are two actions"),
        ("[{ws: {connect: 'ftp://a/'}}]", "ws.connect: must be a path that starts with /, or a whole URL (ws://"),
        ("[{ws: {connect: /, on: a}}]", "ws.on: means nothing beside `connect`"),
        ("[{ws: {send: a, as: b}}]", "ws.as: means nothing beside `send`"),
        ("[{ws: {send: a, checks: [{body: , equals: b}]}}]", "ws.checks: nothing is received: add `wait`"),
        ("[{ws: {wait: [{status: 200}]}}]", "ws.wait[0]: such a message has neither status"),
        ("[{ws: {wait: [{time: , below: 1s}]}}]", "ws.wait[0]: how long a message takes"),
        ("[{ws: {connect: /, capture: {a: body}}}]", "ws.capture.a: what opens a connection has"),
        ("[{ws: {close: 1005}}]", "ws.close: no code that may be sent"),
        ("[{ws: {close: 2999}}]", "ws.close: no code that may be sent"),
        ("[{ws: {connect: /, subprotocols: [a, a]}}]", "ws.subprotocols[1]: is there twice"),
        ("[{ws: {wait: [], timeout: 0s}}]", "ws.timeout: 0s would let nothing through"),
        (
            "[{socketio: {emit: a, ack: true, wait: {event: b}}}]",
            "socketio.wait: an emit waits for its acknowledgement or",
        ),
        ("[{socketio: {emit: a, capture: {b: {json: $}}}}]", "socketio.capture: nothing is received"),
        ("[{socketio: {emit: a, namespace: chat}}]", "socketio.namespace: a namespace begins with /"),
        ("[{socketio: {connect: /, protocol: 3}}]", "3: give 5"),
        ("[{socketio: {connect: /, protocol: 4, auth: {a: 1}}}]", "socketio.auth: is of protocol 5"),
        ("[{socketio: {connect: /, transports: [polling, polling]}}]", "socketio.transports[1]: is there twice"),
        ("[{socketio: {wait: {event: ''}}}]", "socketio.wait.event: empty"),
        ("[{nats: {publish: a}}]", "steps[0].nats.server: no server of NATS: name one"),
        ("[{nats: {server: 'http://a', publish: a}}]", "nats.server: no server of NATS"),
        ("[{nats: {server: 'nats://{{ a }}', publish: a}}]", "nats.server: templates are not filled in"),
        ("[{nats: {server: 'nats://a', publish: 'a.*'}}]", "nats.publish: no subject to publish to"),
        ("[{nats: {server: 'nats://a', subscribe: 'a..b'}}]", "nats.subscribe: no subject"),
        ("[{nats: {server: 'nats://a', publish: a, messages: 2}}]", "nats.messages: means nothing beside `publish`"),
        ("[{nats: {wait: [], messages: 0}}]", "nats.messages: give 1 to"),
        ("[{nats: {wait: [], track: t}}]", "nats.track: means nothing beside `wait`"),
        ("[{publish: {routing_key: a}}]", "steps[0].publish.broker: no broker: name one"),
        ("[{publish: {routing_key: a, broker: 'http://b'}}]", "publish.broker: no broker: write amqp://"),
        ("[{consume: {queue: a, broker: 'amqp://b', messages: 0}}]", "consume.messages: give 1 to"),
        ("[{publish: {routing_key: a, broker: 'amqp://b'}, get: /}]", "two verbs"),
        ("[{job: {queue: 'a b'}}]", "steps[0].job.queue"),
        ("[{websocket: {connect: /}}]", "unknown field `websocket`; did you mean `ws`?"),
    ] {
        let told = steps(text).unwrap_err();
        assert!(told.contains(expected), "{text}\n-> {told}\nwithout {expected}");
    }
    for (target, fields, expected) in [
        ("nats://a/", "steps: [{get: /x}]", "the group's target is of nats://, which has no paths"),
        ("nats://a/", "iterations: 2", "without steps a GET is sent, and nats:// takes none"),
        ("amqp://a/", "steps: [{ws: {connect: /x}}]", "the group's target is of amqp://"),
        ("http://a/", "http: 2, steps: [{ws: {connect: /x}}]", "a WebSocket is opened over HTTP/1.1"),
        (
            "amqp://a/",
            "engine: amqp, steps: [{publish: {routing_key: a, track: t}}]",
            "publish.track: belongs to sessions",
        ),
        ("queue://a", "engine: queue, steps: [{job: {queue: b}}]", "job.queue: belongs to sessions"),
    ] {
        let text = fields.replace("iterations: 2", "max_in_flight: 1");
        let told = spec(target, &text).unwrap_err();
        assert!(told.contains(expected), "{target} {fields}\n-> {told}");
    }
}
