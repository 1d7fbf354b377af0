//! NATS as a target: a real server, and what it says it has got.

use std::time::Duration;

use nuncius_bus::target::{TargetClient, TargetOptions, connect};
use nuncius_bus::{Bus, ConnectOptions, Headers};
use nuncius_schemas::metric::{FailureKind, Series};
use nuncius_testkit::TestServer;

use crate::support::{Client, Outcome, Run};

struct Nats {
    runtime: tokio::runtime::Runtime,
    server: TestServer,
}

impl Nats {
    fn start() -> Self {
        Self::start_with("")
    }

    fn start_with(extra: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime.block_on(TestServer::start_with(extra)).unwrap();
        Self { runtime, server }
    }

    fn client(&self) -> TargetClient {
        let options = TargetOptions {
            addresses: vec![([127, 0, 0, 1], self.server.port()).into()],
            login: None,
            token: None,
            tls: None,
            name: "test".to_owned(),
            timeout: Duration::from_secs(5),
        };
        self.runtime.block_on(connect(options)).unwrap()
    }

    fn bus(&self) -> Bus {
        let options = ConnectOptions { urls: vec![self.server.url()], ..ConnectOptions::default() };
        self.runtime.block_on(nuncius_bus::connect(options)).unwrap()
    }

    /// Waits until so many messages have come on a subject.
    fn wait_for(&self, subject: &str, count: usize) {
        let client = self.client();
        self.runtime.block_on(async {
            let mut subscription = client.subscribe(subject.to_owned(), None).await.unwrap();
            for _ in 0..count {
                std::future::poll_fn(|context| subscription.poll_next(context)).await.unwrap();
            }
        });
    }

    fn run(&self, fields: &str) -> Run<'static> {
        let address = ([127, 0, 0, 1], self.server.port()).into();
        let spec = format!("groups:\n- {{target: 'nats://127.0.0.1:{}', {fields}}}\n", self.server.port());
        Run { spec, ..Run::new(Client::Plain, address, "") }
    }

    fn once(&self, fields: &str) -> Outcome {
        self.run(&format!("users: 1, iterations: 1, {fields}")).go()
    }

    /// A stream of these subjects, and a consumer `all` of it.
    fn stream(&self, name: &str, subjects: &str) {
        let client = self.client();
        self.runtime.block_on(async {
            let ask = |subject: String, body: String| {
                let client = client.clone();
                async move { client.request(subject, &Headers::new(), body.into(), Duration::from_secs(5)).await.unwrap() }
            };
            let body = format!(r#"{{"name":"{name}","subjects":["{subjects}"],"storage":"memory","retention":"limits"}}"#);
            let made = ask(format!("$JS.API.STREAM.CREATE.{name}"), body).await;
            assert!(!String::from_utf8_lossy(&made.payload).contains("error"), "{:?}", made.payload);
            let body = format!(
                r#"{{"stream_name":"{name}","config":{{"durable_name":"all","ack_policy":"explicit","deliver_policy":"all"}}}}"#
            );
            let made = ask(format!("$JS.API.CONSUMER.CREATE.{name}.all"), body).await;
            assert!(!String::from_utf8_lossy(&made.payload).contains("error"), "{:?}", made.payload);
        });
    }
}

#[test]
fn a_request_is_answered_and_what_it_gives_is_in_what_is_published_then() {
    let nats = Nats::start();
    let responder = nats.client();
    let mut requests = nats.runtime.block_on(responder.subscribe("ask.*".to_owned(), None)).unwrap();
    let mut published = nats.runtime.block_on(responder.subscribe("out.>".to_owned(), None)).unwrap();
    let bus = nats.bus();
    let answering = nats.runtime.spawn(async move {
        let mut subscription = bus.subscribe("ask.real").await.unwrap();
        while let Some(request) = subscription.next().await {
            let body = format!(
                r#"{{"echo": {}, "kind": "{}"}}"#,
                String::from_utf8_lossy(&request.payload),
                request.headers.get("X-Kind").unwrap_or("none")
            );
            request.respond(&Headers::new().with("X-Answer", "42"), body.into()).await.unwrap();
        }
    });
    let outcome = nats.once(
        "steps: [{nats: {request: ask.real, json: {n: '{{ iteration() + 1 }}'}, headers: {X-Kind: 'k{{ iteration() }}'}, \
         capture: {n: {json: $.echo.n}, answer: {header: X-Answer}}, checks: [{json: $.kind, equals: k0}]}}, \
         {nats: {publish: 'out.{{ n }}', body: 'answer {{ answer }}'}}]",
    );
    answering.abort();
    let ended: Vec<(u64, u64)> = outcome.all().iter().map(|step| (step.succeeded, step.failed)).collect();
    assert_eq!(ended, [(1, 0); 3], "{:?}", outcome.steps);
    let message = nats.runtime.block_on(std::future::poll_fn(|context| published.poll_next(context))).unwrap();
    assert_eq!(message.payload, "answer 42");
    drop((requests.poll_next(&mut std::task::Context::from_waker(std::task::Waker::noop())), responder));
    assert_eq!((outcome.meters["nats_messages_sent"], outcome.meters["nats_messages_received"]), (2, 1));
    assert_eq!(outcome.steps[0].checks.values().copied().collect::<Vec<_>>(), [(1, 0)]);
}

#[test]
fn a_subscription_gives_the_messages_that_are_waited_for_and_goes_on_while_the_user_thinks() {
    let nats = Nats::start();
    let outcome = nats.once(
        "steps: [{nats: {subscribe: 'room.*', track: chat}}, \
         {loop: {count: 50, steps: [{nats: {publish: 'room.{{ loop.index }}', json: {i: '{{ loop.index }}'}, track: chat}}]}}, \
         {think: 50ms}, {nats: {wait: [{json: $.i, equals: 10}], capture: {i: {json: $.i}}}}, \
         {nats: {wait: [], messages: 39, checks: [{json: $.i, equals: 49}]}}]",
    );
    let ended: Vec<(u64, u64)> = outcome.all().iter().map(|step| (step.succeeded, step.failed)).collect();
    assert_eq!(ended, [(1, 0), (50, 0), (1, 0), (1, 0), (1, 0)], "{:?}", outcome.steps);
    assert_eq!(outcome.tracks["chat"], [50, 50, 50, 0]);
    assert_eq!(outcome.meters["nats_messages_received"], 50);
    assert_eq!(outcome.steps[3].checks.values().copied().collect::<Vec<_>>(), [(1, 0)]);
}

#[test]
fn what_a_stream_has_acknowledged_is_taken_from_its_consumer_and_each_is_acknowledged() {
    let nats = Nats::start();
    nats.stream("ORDERS", "orders.>");
    let fields = "users: 4, iterations: 100, steps: [{nats: {publish: orders.new, body: 'order {{ iteration() }}', \
                  jetstream: true, track: orders}}, \
                  {nats: {consume: {stream: ORDERS, consumer: all}, track: orders, timeout: 5s, \
                  checks: [{body: , matches: '^order '}]}}]";
    let outcome = nats.run(fields).go();
    let ended: Vec<(u64, u64)> = outcome.all().iter().map(|step| (step.succeeded, step.failed)).collect();
    assert_eq!(ended, [(100, 0); 3], "{:?}", outcome.steps);
    assert_eq!(outcome.tracks["orders"][..3], [100, 100, 100]);
    assert_eq!(outcome.steps[1].checks.values().copied().collect::<Vec<_>>(), [(100, 0)]);
    assert!(outcome.steps[0].of(Series::Service).summary().max_ns < 5_000_000_000);
}

#[test]
fn what_goes_wrong_is_named_and_ends_the_iteration() {
    let nats = Nats::start_with("max_payload: 1024");
    let cases: &[(&str, FailureKind, &str)] = &[
        ("{nats: {request: nobody.there, timeout: 1s}}", FailureKind::Refused, "nobody listens"),
        ("{nats: {publish: lost, jetstream: true, timeout: 1s}}", FailureKind::Refused, "no stream takes"),
        ("{nats: {publish: big, body: '{{ random_string(2000) }}'}}", FailureKind::Refused, "max_payload"),
        ("{nats: {publish: 'a..{{ iteration() }} b'}}", FailureKind::Template, "no subject"),
        ("{nats: {wait: []}}", FailureKind::Closed, "no subscription of this name"),
        ("{nats: {consume: {stream: NONE, consumer: none}, timeout: 1s}}", FailureKind::Connect, "no such stream"),
        ("{nats: {server: 'nats://127.0.0.1:1', publish: x, timeout: 1s}}", FailureKind::Connect, "no connection"),
    ];
    for (steps, kind, text) in cases {
        let outcome = nats.once(&format!("steps: [{steps}, {{name: never, nats: {{publish: x}}}}]"));
        let (found, count, sample) = outcome.all()[0].failure();
        assert_eq!((found, count), (*kind, 1), "{steps}: {sample}");
        assert!(sample.contains(text), "{steps}: {sample}");
    }
    let outcome = nats.once("steps: [{nats: {subscribe: quiet}}, {nats: {wait: [], timeout: 50ms}}]");
    assert_eq!(outcome.all()[1].failure().0, FailureKind::Timeout);
}

#[test]
fn a_server_that_wants_a_password_gets_that_of_the_url() {
    let nats = Nats::start_with("authorization: {user: me, password: \"p@ss\"}");
    let address = format!("127.0.0.1:{}", nats.server.port());
    let run = |login: &str| {
        let fields =
            format!("users: 1, iterations: 1, steps: [{{nats: {{server: 'nats://{login}{address}', publish: x}}}}]");
        nats.run(&fields).go()
    };
    assert_eq!(run("me:p%40ss@").all()[0].succeeded, 1);
    let (kind, _, sample) = run("me:wrong@").all()[0].failure();
    assert_eq!(kind, FailureKind::Connect);
    assert!(sample.contains("neither user and password") && !sample.contains("wrong"), "{sample}");
}

#[test]
fn a_server_that_goes_away_in_mid_session_is_met_by_failures_and_used_again_when_it_is_back() {
    let mut nats = Nats::start();
    let fields = "users: 2, duration: 60s, think_time: 5ms, backoff: {first: 10ms, max: 50ms}, \
                  steps: [{nats: {publish: x, body: hello, timeout: 500ms}}]";
    let mut run = nats.run(fields);
    run.during = Box::new(move |control| {
        nats.wait_for("x", 50);
        nats.server.kill();
        // How long it is away: many times what passes between two messages of a user.
        std::thread::sleep(Duration::from_millis(500));
        let Nats { runtime, server } = &mut nats;
        runtime.block_on(server.restart()).unwrap();
        nats.wait_for("x", 50);
        control.stop(0);
    });
    let outcome = run.go();
    let step = &outcome.all()[0];
    assert!(step.succeeded >= 100 && step.failed > 0, "{step:?}");
}
