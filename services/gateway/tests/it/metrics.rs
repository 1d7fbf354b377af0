//! The page of metrics under pressure: of readers, and of strangers who tell nonsense.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nuncius_bus::{Bus, ConnectOptions, connect};
use nuncius_gateway::{GatewayConfig, MetricsSettings};
use nuncius_metrics::Families;
use nuncius_metrics::names::{emulator, queue};
use nuncius_metrics::otlp::{INSTANCE, SERVICE, Sender, encode};
use nuncius_schemas::subjects::Signal;
use nuncius_testkit::TestServer;
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test says that it did not happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Running {
    _server: TestServer,
    pub(crate) bus: Bus,
    pub(crate) address: SocketAddr,
    shutdown: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), nuncius_gateway::GatewayError>>,
}

impl Running {
    pub(crate) async fn start(metrics: MetricsSettings) -> Self {
        let server = TestServer::start().await.unwrap();
        let options = ConnectOptions { urls: vec![server.url()], name: "test".into(), ..ConnectOptions::default() };
        let bus = connect(options).await.unwrap();
        nuncius_bus::streams::ensure_streams(&bus).await.unwrap();
        let config =
            GatewayConfig { listen: "127.0.0.1:0".to_owned(), metrics, ..GatewayConfig::new("gateway", "test") };
        let shutdown = CancellationToken::new();
        let (told, ready) = tokio::sync::oneshot::channel();
        let ended = tokio::spawn(nuncius_gateway::run(config, bus.clone(), shutdown.clone(), Some(told)));
        let address = ready.await.unwrap().http;
        Self { _server: server, bus, address, shutdown, ended }
    }

    async fn tell(&self, instance: &str, families: &Families) {
        let resource = vec![(INSTANCE.to_owned(), instance.to_owned()), (SERVICE.to_owned(), "test".to_owned())];
        let sender = Sender { resource, start_unix_ns: 1, message_max_bytes: 900 * 1024 };
        let (messages, left_out) = encode(families, &sender, 2, Duration::from_secs(60));
        assert_eq!(left_out, 0);
        for message in messages {
            self.bus.publish_otlp(Signal::Metrics, message).await.unwrap();
        }
    }

    async fn page(&self) -> String {
        let address = self.address;
        tokio::task::spawn_blocking(move || read(ask(address))).await.unwrap()
    }

    /// Waits until a line is on the page.
    pub(crate) async fn wait_for(&self, line: &str) -> String {
        self.wait_until(line, |page| page.lines().any(|found| found == line)).await
    }

    async fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let page = self.page().await;
            if is_so(&page) {
                return page;
            }
            assert!(Instant::now() < deadline, "{what}: not on\n{page}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.ended.await.unwrap().unwrap();
    }
}

fn ask(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /metrics HTTP/1.0\r\nhost: {address}\r\n\r\n").unwrap();
    stream
}

fn read(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    body.to_owned()
}

const SCRAPES: &str = "nuncius_gateway_scrapes_total{format=\"text\"}";

fn many(node: &str, count: u64) -> Families {
    let mut families = Families::new();
    for number in 0..count {
        families.count(&emulator::OCO_EVENTS, &[node, &format!("event-{number}")], 1);
    }
    families
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_readers_and_hundreds_who_do_not_read_keep_nobody_out() {
    // Both ends of each connection are in this process.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let running = Running::start(MetricsSettings::default()).await;
    for number in 0..20 {
        running.tell(&format!("p{number}"), &many(&format!("n{number}"), 1_000)).await;
    }
    running.wait_for("nuncius_gateway_processes 20").await;
    let address = running.address;
    // A page of more than a megabyte, which their sockets do not hold.
    let slow: Vec<TcpStream> =
        tokio::task::spawn_blocking(move || (0..300).map(|_| ask(address)).collect()).await.unwrap();
    let readers = tokio::task::spawn_blocking(move || {
        let asked: Vec<TcpStream> = (0..1_000).map(|_| ask(address)).collect();
        asked.into_iter().map(read).map(|page| page.len()).collect::<Vec<_>>()
    });
    let lengths = readers.await.unwrap();
    assert_eq!(lengths.len(), 1_000);
    assert!(lengths.iter().all(|length| *length > 1 << 20), "{:?}", lengths.iter().min());
    // Made once a second at most, however many ask.
    // The count on a page is that of the moment in which it was made.
    let page = running.wait_until("all are counted", |page| value(page, SCRAPES) >= 1_300.0).await;
    assert_eq!(value(&page, "nuncius_gateway_refused_scrapes_total"), 0.0);
    drop(slow);
    running.stop().await;
}

fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is not in\n{page}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_metrics_are_bounded_and_counted_and_displace_nobody() {
    let running = Running::start(MetricsSettings { processes_max: 50, ..MetricsSettings::default() }).await;
    let mut honest = Families::new();
    honest.count(&queue::WAITING_JOBS, &["sleep"], 7);
    running.tell("honest", &honest).await;
    running.wait_for("nuncius_queue_waiting_jobs{queue=\"sleep\"} 7").await;
    // No message, strangers' names, too many values of a label, too many processes.
    running.bus.publish_otlp(Signal::Metrics, b"\xff\xff nonsense".to_vec().into()).await.unwrap();
    for number in 0..10 {
        let mut hostile = Families::new();
        for event in 0..5_000 {
            hostile.count(&emulator::OCO_EVENTS, &["n", &format!("{number}-{event}-\"\\\n{{}}")], 1);
        }
        running.tell(&format!("hostile{number}"), &hostile).await;
    }
    for number in 0..500 {
        running.tell(&format!("one-of-many-{number}"), &many(&format!("n{number}"), 1)).await;
    }
    running.tell("honest", &honest).await;
    let page = running.wait_for("nuncius_gateway_refused_metrics_total{reason=\"too_many_processes\"} 461").await;
    assert_eq!(value(&page, "nuncius_gateway_refused_metrics_total{reason=\"undecodable\"}"), 1.0);
    assert_eq!(value(&page, "nuncius_gateway_processes"), 50.0);
    assert_eq!(value(&page, "nuncius_queue_waiting_jobs{queue=\"sleep\"}"), 7.0);
    assert_eq!(value(&page, "nuncius_gateway_folded_series{family=\"nuncius_oco_events_total\"}"), 40_000.0);
    assert_eq!(value(&page, "nuncius_oco_events_total{node=\"other\",event=\"other\"}"), 40_000.0);
    let events = page.lines().filter(|line| line.starts_with("nuncius_oco_events_total{")).count();
    assert_eq!(events, 10 * 1_000 + 39 + 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_tell_of_a_queue_the_later_one_counts_and_both_are_seen() {
    let running = Running::start(MetricsSettings::default()).await;
    let told = |waiting| {
        let mut families = Families::new();
        families.count(&queue::WAITING_JOBS, &["sleep"], waiting);
        families
    };
    running.tell("first", &told(1)).await;
    running.tell("second", &told(2)).await;
    let page = running.wait_for("nuncius_queue_waiting_jobs{queue=\"sleep\"} 2").await;
    assert_eq!(value(&page, "nuncius_queue_holders{queue=\"sleep\"}"), 2.0);
    running.tell("first", &told(3)).await;
    running.wait_for("nuncius_queue_waiting_jobs{queue=\"sleep\"} 3").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_consumers_of_the_account_are_shown_without_any_port_of_the_server() {
    let metrics = MetricsSettings { nats_period: Duration::from_millis(200), ..MetricsSettings::default() };
    let running = Running::start(metrics).await;
    let names = running.bus.namespace().clone();
    running
        .bus
        .publish_acked(&names.experiment_submit(), &nuncius_bus::Headers::new(), "x".into(), None, None)
        .await
        .unwrap();
    let mut work = running
        .bus
        .work_queue(&names.stream_submit(), "experimentd", &names.experiment_submit(), Duration::from_secs(30))
        .await
        .unwrap();
    let item = work.next().await.unwrap();
    let own = "{stream=\"nuncius_experiment_submit\"";
    let page = running
        .wait_for(&format!("nuncius_nats_consumer_ack_pending_messages{own},consumer=\"experimentd\"}} 1"))
        .await;
    assert_eq!(value(&page, &format!("nuncius_nats_stream_messages{own}}}")), 1.0);
    assert!(value(&page, "nuncius_nats_stream_limit_bytes{stream=\"nuncius_experiment_second\"}") > 0.0);
    assert_eq!(value(&page, "nuncius_nats_scrape_errors_total{what=\"streams\"}"), 0.0);
    item.ack().await.unwrap();
    running.wait_for(&format!("nuncius_nats_stream_messages{own}}} 0")).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_asked_over_the_system_account() {
    let extra = "accounts { A { jetstream: enabled, users: [ {user: a, password: a} ] }, \
                 SYS { users: [ {user: sys, password: sys} ] } }\nsystem_account: SYS\n";
    let server = TestServer::start_with(extra).await.unwrap();
    let as_user = |name: &str| ConnectOptions {
        urls: vec![server.url().replace("nats://", &format!("nats://{name}:{name}@"))],
        name: "test".into(),
        ..ConnectOptions::default()
    };
    let bus = connect(as_user("a")).await.unwrap();
    nuncius_bus::streams::ensure_streams(&bus).await.unwrap();
    let metrics = MetricsSettings {
        nats_period: Duration::from_millis(200),
        system: Some(as_user("sys")),
        ..MetricsSettings::default()
    };
    let config = GatewayConfig { listen: "127.0.0.1:0".to_owned(), metrics, ..GatewayConfig::new("gateway", "test") };
    let shutdown = CancellationToken::new();
    let (told, ready) = tokio::sync::oneshot::channel();
    let ended = tokio::spawn(nuncius_gateway::run(config, bus.clone(), shutdown.clone(), Some(told)));
    let running = Running { _server: server, bus, address: ready.await.unwrap().http, shutdown, ended };
    let page = running.wait_until("the server answers", |page| page.contains("nuncius_nats_server_connections{")).await;
    let of_server = |name: &str| {
        let line = page.lines().find(|line| line.starts_with(&format!("nuncius_nats_server_{name}{{"))).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    assert!(of_server("connections") >= 2.0);
    assert!(of_server("in_messages_total") > 0.0 && of_server("memory_bytes") > 0.0);
    assert!(of_server("start_time_seconds") > 1.7e9);
    assert_eq!(of_server("slow_consumers_total"), 0.0);
    assert_eq!(of_server("pending_bytes"), 0.0);
    assert_eq!(of_server("info"), 1.0);
    running.stop().await;
}
