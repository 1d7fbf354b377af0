//! AMQP in sessions, against a real broker.

use nuncius_schemas::metric::FailureKind;
use nuncius_testkit::RabbitMq;

use crate::support::{Client, Outcome, Run};

struct Broker {
    _runtime: tokio::runtime::Runtime,
    rabbit: RabbitMq,
}

impl Broker {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let rabbit = runtime.block_on(RabbitMq::start()).unwrap();
        Self { _runtime: runtime, rabbit }
    }

    fn run(&self, fields: &str) -> Outcome {
        let url = self.rabbit.url();
        let spec = format!("groups:\n- {{target: '{url}', {fields}}}\n");
        Run { spec, ..Run::new(Client::Plain, self.rabbit.address(), "") }.go()
    }
}

#[test]
fn messages_go_through_a_queue_within_a_session_and_what_comes_is_taken_from() {
    let broker = Broker::start();
    let outcome = broker.run(
        "users: 3, iterations: 60, steps: [{publish: {routing_key: 'orders', declare: true, \
         body: '{\"order\": {{ iteration() }}}', track: orders}}, \
         {consume: {queue: orders, track: orders, timeout: 10s, capture: {order: {json: $.order}}, \
         checks: [{json: $.order, exists: true}]}}, {publish: {routing_key: 'done', declare: true, body: 'order {{ order }}'}}]",
    );
    let ended: Vec<(u64, u64)> = outcome.all().iter().map(|step| (step.succeeded, step.failed)).collect();
    assert_eq!(ended, [(60, 0); 4], "{:?}", outcome.steps.iter().map(|step| &step.failures).collect::<Vec<_>>());
    assert_eq!(outcome.tracks["orders"][..3], [60, 60, 60]);
    assert_eq!((outcome.meters["amqp_messages_sent"], outcome.meters["amqp_messages_received"]), (120, 60));
    assert_eq!(outcome.steps[1].checks.values().copied().collect::<Vec<_>>(), [(60, 0)]);
    // A message that nobody can be given, and a queue that is not there.
    let cases: &[(&str, FailureKind, &str)] = &[
        ("{publish: {routing_key: nowhere, body: x}}", FailureKind::Refused, "no route"),
        ("{consume: {queue: nowhere, timeout: 5s}}", FailureKind::Connect, "not found"),
        ("{consume: {queue: orders, timeout: 100ms}}", FailureKind::Timeout, "within the timeout"),
        ("{publish: {broker: 'amqp://127.0.0.1:1', routing_key: x, timeout: 2s}}", FailureKind::Connect, ""),
    ];
    for (steps, kind, text) in cases {
        let outcome = broker.run(&format!("users: 1, iterations: 1, steps: [{steps}]"));
        let (found, count, sample) = outcome.all()[0].failure();
        assert_eq!((found, count), (*kind, 1), "{steps}: {sample}");
        assert!(sample.contains(text), "{steps}: {sample}");
    }
}
