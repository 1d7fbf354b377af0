//! What the AMQP engine promises, against a real RabbitMQ.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use nuncius_engine::{Failure, FinishReason};
use nuncius_schemas::metric::FailureKind;
use nuncius_testkit::RabbitMq;

use crate::support::{Client, Outcome, Run, SECOND_NS, Step};

/// One for all tests; it ends when their process does.
fn broker() -> &'static RabbitMq {
    static BROKER: OnceLock<RabbitMq> = OnceLock::new();
    BROKER.get_or_init(|| runtime().block_on(RabbitMq::start()).unwrap_or_else(|problem| panic!("{problem}")))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A group that publishes to `address`; `extra` holds further fields.
fn run<'a>(address: SocketAddr, steps: &str, extra: &str) -> Run<'a> {
    let group = format!(r#""engine": "amqp", "target": "amqp://ADDRESS/%2f", "steps": [{steps}], {extra}"#);
    Run::new(Client::General, address, &group)
}

fn publish(queue: &str, more: &str) -> String {
    format!(r#"{{"name": "send", "publish": {{"routing_key": "{queue}", "body": "hello"{more}}}}}"#)
}

fn consume(queue: &str) -> String {
    format!(r#"{{"name": "receive", "consume": {{"queue": "{queue}", "prefetch": 50}}}}"#)
}

const DECLARE: &str = r#", "declare": true"#;

fn balanced(step: &Step) -> &Step {
    assert_eq!(step.planned, step.succeeded + step.failed + step.censored, "{step:?}");
    assert_eq!(step.in_flight, 0);
    step
}

/// Of publish, consume and the iteration; checks the books.
fn three(outcome: &Outcome) -> (&Step, &Step, &Step) {
    let [send, receive, iteration] = outcome.steps.as_slice() else { panic!("{} steps", outcome.steps.len()) };
    (balanced(send), balanced(receive), balanced(iteration))
}

fn count(failures: &[Failure], kind: FailureKind) -> u64 {
    failures.iter().filter(|failure| failure.kind == kind).map(|failure| failure.count).sum()
}

/// Something done with a connection of the test's own.
fn with_broker<T>(action: impl AsyncFnOnce(lapin::Channel) -> T) -> T {
    runtime().block_on(async {
        let connection = Connection::connect(&broker().url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let result = action(channel).await;
        // The channel may be taking leave already.
        let _ = connection.close(200, "".into()).await;
        result
    })
}

#[test]
fn every_confirmed_message_is_received_and_measured_from_its_planned_instant() {
    let steps = format!("{}, {}", publish("whole", r#", "declare": true, "persistent": true"#), consume("whole"));
    // What others left in the queue is taken from it and not counted.
    with_broker(async |channel| {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare("whole".into(), options, FieldTable::default()).await.unwrap();
        let options = BasicPublishOptions::default();
        for _ in 0..10 {
            let properties = BasicProperties::default();
            channel.basic_publish("".into(), "whole".into(), options, b"old", properties).await.unwrap().await.unwrap();
        }
    });
    let outcome = run(broker().address(), &steps, r#""rate": "500/s", "duration": "1s""#).go();
    let (send, receive, iteration) = three(&outcome);
    for step in [send, receive, iteration] {
        assert_eq!((step.planned, step.sent, step.succeeded), (500, 500, 500), "{:?}", step.failures);
        assert_eq!((step.service.count(), step.response.count()), (500, 500));
    }
    assert_eq!((send.lag.count(), send.blocked.count(), receive.lag.count()), (500, 500, 0));
    // A message is received after it was written: what was measured there cannot be less than nothing, or take for
    // ever.
    assert!(receive.response.quantile_ns(0.99).unwrap() < 5 * SECOND_NS);
    assert_eq!(outcome.reasons, [FinishReason::ScheduleEnded]);
    assert!(outcome.rows.iter().all(|row| row.step == 0) && outcome.rows.len() == 500);
    let left =
        with_broker(async |channel| channel.basic_get("whole".into(), BasicGetOptions::default()).await.unwrap());
    assert!(left.is_none(), "all was acknowledged");
}

#[test]
fn a_message_carries_run_instants_and_trace_and_is_persistent_where_asked() {
    let steps = publish("headers", r#", "declare": true, "persistent": true"#);
    let mut run = run(broker().address(), &steps, r#""rate": "10/s", "iterations": 1"#);
    run.options.trace_ratio = 1.0;
    let outcome = run.go();
    assert_eq!(outcome.step().succeeded, 1);
    let message = with_broker(async |channel| {
        channel.basic_get("headers".into(), BasicGetOptions { no_ack: true }).await.unwrap()
    });
    let message = message.unwrap();
    let properties = &message.properties;
    assert_eq!(message.data, b"hello");
    assert_eq!(*properties.delivery_mode(), Some(2));
    let headers = properties.headers().as_ref().unwrap().inner();
    let text = |name: &str| match headers.get(name) {
        Some(AMQPValue::LongString(text)) => String::from_utf8(text.as_bytes().to_vec()).unwrap(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(text("nuncius-run"), "0000000000000007");
    let row = outcome.rows[0];
    assert_eq!(text("traceparent"), format!("00-{:032x}-{:016x}-01", row.trace_id, row.span_id));
    assert_eq!(headers.get("nuncius-planned-ns"), Some(&AMQPValue::LongLongInt(row.planned_ns.cast_signed())));
}

#[test]
fn what_the_broker_does_not_take_fails_as_refused() {
    let steps = publish("nobody-has-declared-this", "");
    let outcome = run(broker().address(), &steps, r#""rate": "100/s", "iterations": 20"#).go();
    let step = outcome.step();
    assert_eq!((step.failed, count(&step.failures, FailureKind::Refused)), (20, 20), "{:?}", step.failures);
    assert_eq!(step.failed_response.count(), 20);
    assert!(step.failures[0].sample.as_ref().unwrap().contains("312"));

    with_broker(async |channel| {
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(5));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        channel.queue_declare("narrow".into(), QueueDeclareOptions::default(), arguments).await.unwrap();
    });
    let outcome = run(broker().address(), &publish("narrow", ""), r#""rate": "100/s", "iterations": 20"#).go();
    let step = outcome.step();
    assert!(step.succeeded >= 5 && step.failed > 0, "{step:?}");
    assert_eq!(count(&step.failures, FailureKind::Refused), step.failed, "{:?}", step.failures);
}

#[test]
fn the_closed_model_has_no_planned_instant() {
    let steps = format!("{}, {}", publish("closed", DECLARE), consume("closed"));
    let outcome = run(broker().address(), &steps, r#""users": 8, "iterations": 200"#).go();
    let (send, receive, iteration) = three(&outcome);
    assert_eq!((send.succeeded, receive.succeeded, iteration.succeeded), (200, 200, 200));
    assert_eq!((send.response.count(), receive.response.count()), (0, 0));
    assert_eq!((send.service.count(), receive.service.count()), (200, 200));
}

#[test]
fn only_publishing_steps_make_an_iteration_on_any_number_of_threads() {
    let second = publish("second", DECLARE).replace("send", "again");
    let steps = format!("{}, {}, {second}", consume("first"), publish("first", DECLARE));
    let mut run = run(broker().address(), &steps, r#""rate": "200/s", "duration": "1s", "arrivals": "poisson""#);
    run.threads = 2;
    let outcome = run.go();
    let [receive, send, again, iteration] = outcome.steps.as_slice() else { panic!("{} steps", outcome.steps.len()) };
    for step in [receive, send, again, iteration] {
        assert_eq!(balanced(step).succeeded, iteration.planned, "{:?}", step.failures);
    }
    assert_eq!((receive.lag.count(), send.lag.count()), (0, send.planned));
    assert_eq!(
        (send.response.count(), again.response.count(), iteration.response.count()),
        (send.planned, 0, send.planned)
    );
}

#[test]
fn a_login_that_is_refused_is_a_failed_connection_that_keeps_the_password() {
    let group = format!(
        r#""engine": "amqp", "target": "amqp://guest:sesame@ADDRESS/%2f", "rate": "100/s", "iterations": 10, "steps": [{}]"#,
        publish("any", "")
    );
    let outcome = Run::new(Client::General, broker().address(), &group).go();
    let step = outcome.step();
    assert_eq!((step.failed, count(&step.failures, FailureKind::Connect)), (10, 10), "{:?}", step.failures);
    assert!(!format!("{:?}", step.failures).contains("sesame"));
    let unknown = r#"{"publish": {"exchange": "no-such-exchange", "routing_key": "x"}}"#;
    let outcome = run(broker().address(), unknown, r#""rate": "100/s", "iterations": 10"#).go();
    let failures = &outcome.step().failures;
    assert_eq!(count(failures, FailureKind::Connect), 10);
    assert!(failures[0].sample.as_ref().unwrap().contains("404"), "{failures:?}");
}

/// Stands between engine and broker; can cut what is open, refuse what is new, or stand still.
struct Proxy {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    refuses: Arc<AtomicBool>,
    stalls: Arc<AtomicBool>,
}

impl Proxy {
    fn start() -> Self {
        // Started before the run is, which does not wait for it.
        let broker = broker().address();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            open: Arc::default(),
            refuses: Arc::default(),
            stalls: Arc::default(),
        };
        let (open, refuses, stalls) = (Arc::clone(&proxy.open), Arc::clone(&proxy.refuses), Arc::clone(&proxy.stalls));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if refuses.load(Ordering::SeqCst) {
                    continue;
                }
                let server = TcpStream::connect(broker).unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let stalls = Arc::clone(&stalls);
                    std::thread::spawn(move || forward(from, to, &stalls));
                }
                open.lock().unwrap().extend([client, server]);
            }
        });
        proxy
    }

    fn cut(&self) {
        for socket in self.open.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, stalls: &AtomicBool) {
    let mut buffer = [0u8; 65_536];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        while stalls.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        if to.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Lets some of the run pass: what is cut must have been working.
fn until(run_time: Duration, control: &nuncius_engine::Control) {
    let at = control.start_at().unwrap() + u64::try_from(run_time.as_nanos()).unwrap();
    let left = Duration::from_nanos(at.saturating_sub(nuncius_engine::monotonic_ns()));
    std::thread::park_timeout(left);
    let deadline = Instant::now() + Duration::from_secs(5);
    while nuncius_engine::monotonic_ns() < at && Instant::now() < deadline {
        std::thread::yield_now();
    }
}

#[test]
fn a_lost_connection_fails_what_it_carried_and_the_next_one_goes_on() {
    let proxy = Proxy::start();
    let steps = format!("{}, {}", publish("cut", DECLARE), consume("cut"));
    let mut run = run(proxy.address, &steps, r#""rate": "400/s", "duration": "3s""#);
    run.during = Box::new(|control| {
        until(Duration::from_millis(800), control);
        // What is on its way now stays there.
        proxy.stalls.store(true, Ordering::SeqCst);
        until(Duration::from_millis(1_000), control);
        proxy.refuses.store(true, Ordering::SeqCst);
        proxy.cut();
        proxy.stalls.store(false, Ordering::SeqCst);
        until(Duration::from_millis(1_300), control);
        proxy.refuses.store(false, Ordering::SeqCst);
    });
    let outcome = run.go();
    let (send, receive, _) = three(&outcome);
    assert_eq!((send.planned, send.censored), (1_200, 0));
    let (closed, connect) = (count(&send.failures, FailureKind::Closed), count(&send.failures, FailureKind::Connect));
    assert!(closed >= 40 && connect >= 20 && closed + connect == send.failed, "{:?}", send.failures);
    assert!(send.succeeded >= 700, "it went on: {send:?}");
    // A message whose confirm was lost may have arrived; none that was confirmed is missing, and none counts twice.
    assert!(receive.succeeded >= send.succeeded, "{} of {}", receive.succeeded, send.succeeded);
    assert!(receive.succeeded <= send.sent, "{} of {}", receive.succeeded, send.sent);
    assert!(receive.failed >= 1, "the consumer lost its connection, too");
}

#[test]
fn a_broker_that_stands_still_shows_as_timeouts_and_then_as_censored() {
    let proxy = Proxy::start();
    let steps = publish("still", DECLARE);
    let mut run =
        run(proxy.address, &steps, r#""rate": "100/s", "duration": "2s", "timeout": "600ms", "max_in_flight": 1000"#);
    run.options.drain_ns = SECOND_NS / 5;
    run.during = Box::new(|control| {
        until(Duration::from_millis(500), control);
        proxy.stalls.store(true, Ordering::SeqCst);
    });
    let outcome = run.go();
    proxy.stalls.store(false, Ordering::SeqCst);
    let step = outcome.step();
    assert_eq!(step.planned, 200);
    assert_eq!(count(&step.failures, FailureKind::Timeout), step.failed, "{:?}", step.failures);
    assert!(step.failed >= 80 && step.censored >= 40, "{step:?}");
    assert_eq!(step.censored_response.count(), step.censored);
}

#[test]
fn no_more_messages_than_allowed_are_unconfirmed_and_the_rest_are_blocked() {
    let proxy = Proxy::start();
    let extra = r#""rate": "200/s", "duration": "1s", "max_in_flight": 3, "timeout": "20s""#;
    let mut run = run(proxy.address, &publish("few", DECLARE), extra);
    run.options.drain_ns = SECOND_NS / 5;
    run.during = Box::new(|control| {
        until(Duration::from_millis(300), control);
        proxy.stalls.store(true, Ordering::SeqCst);
    });
    let outcome = run.go();
    proxy.stalls.store(false, Ordering::SeqCst);
    let step = outcome.step();
    assert_eq!((step.planned, step.failed), (200, 0), "{:?}", step.failures);
    assert_eq!(step.sent, step.succeeded + 3, "three are on their way, the others never were");
    assert_eq!(step.censored, 200 - step.succeeded);
}
