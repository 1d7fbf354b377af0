use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use nuncius_bus::streams::ensure_streams;
use nuncius_bus::{Bus, BusError, ConnectOptions, Headers, Message, connect};
use nuncius_emulator::device::{self, DeviceConfig, DeviceError};
use nuncius_schemas::codec;
use nuncius_schemas::node::{NodeInfo, Role};
use nuncius_schemas::subjects::{HEADER_CONTENT_TYPE, HEADER_SCHEMA};
use nuncius_schemas::worker::{DeviceReply, DeviceRequest, NodeSample};
use nuncius_testkit::{TestServer, eventually};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(15);

/// Fails the test instead of hanging it.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("in time")
}

struct Running {
    node: String,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), DeviceError>>,
}

impl Running {
    async fn start(config: DeviceConfig, bus: &Bus) -> Self {
        let shutdown = CancellationToken::new();
        let (sender, ready) = oneshot::channel();
        let task = tokio::spawn(device::run(config, bus.clone(), shutdown.clone(), Some(sender)));
        Self { node: soon(ready).await.unwrap(), shutdown, task }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        soon(self.task).await.unwrap().unwrap();
    }
}

async fn client(server: &TestServer) -> Bus {
    let options = ConnectOptions { urls: vec![server.url()], name: "test".into(), ..ConnectOptions::default() };
    connect(options).await.unwrap()
}

async fn server_and_bus() -> (TestServer, Bus) {
    let server = TestServer::start().await.unwrap();
    let bus = client(&server).await;
    ensure_streams(&bus).await.unwrap();
    (server, bus)
}

fn config(name: &str, work: &str) -> DeviceConfig {
    DeviceConfig { work: work.parse().unwrap(), ..DeviceConfig::new(name, "lab.example.org") }
}

async fn ask(bus: &Bus, device: &str, work_seconds: Option<f64>) -> DeviceReply {
    let subject = bus.namespace().device_run(device);
    bus.request_message(&subject, "device-request.v1", &DeviceRequest { work_seconds }, SOON).await.unwrap()
}

async fn ask_bytes(bus: &Bus, device: &str, payload: &'static [u8]) -> Message {
    let subject = bus.namespace().device_run(device);
    bus.request(&subject, &Headers::new(), Bytes::from_static(payload), SOON).await.unwrap()
}

/// Waits until a device says that this many run.
async fn busy(bus: &Bus, node: &str, jobs: u32) -> NodeSample {
    let mut samples = bus.subscribe(&bus.namespace().sample(node)).await.unwrap();
    soon(async {
        loop {
            let message = samples.next().await.unwrap();
            assert_eq!(message.headers.get(HEADER_SCHEMA), Some("node-sample.v1"));
            let sample: NodeSample = message.decode().unwrap();
            if sample.busy == jobs {
                return sample;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lanes_run_two_and_the_others_wait_in_their_order() {
    let (_server, bus) = server_and_bus().await;
    let device = Running::start(DeviceConfig { lanes: 2, ..config("gpu-0", "200ms") }, &bus).await;
    let begun = Instant::now();
    let asked = (0..5).map(|_| async {
        let reply = ask(&bus, "gpu-0", None).await;
        (reply, begun.elapsed().as_secs_f64())
    });
    let answers = join_all(asked).await;
    for ((reply, answered_seconds), waves) in answers.iter().zip([0.0, 0.0, 1.0, 1.0, 2.0]) {
        assert_eq!((reply.device.as_str(), reply.error.as_ref()), ("gpu-0", None));
        assert!((reply.work_seconds - 0.2).abs() < 1e-9 && (reply.run_seconds - 0.2).abs() < 1e-9, "{reply:?}");
        // The requests come within a moment of each other.
        let early_seconds = waves * 0.2 - reply.wait_seconds;
        assert!((-1e-9..0.1).contains(&early_seconds), "{reply:?}");
        assert!(*answered_seconds >= reply.wait_seconds + reply.run_seconds, "answered early: {answered_seconds}");
    }
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_as_text_is_answered_in_json_and_what_cannot_be_read_with_an_error() {
    let (_server, bus) = server_and_bus().await;
    let device = Running::start(config("gpu-0", "1ms"), &bus).await;
    let json = ask_bytes(&bus, "gpu-0", b"{\"work_seconds\": 0.002}").await;
    assert_eq!(json.headers.get(HEADER_CONTENT_TYPE), Some("application/json"));
    assert_eq!(json.headers.get(HEADER_SCHEMA), Some("device-reply.v1"));
    assert!(json.payload.starts_with(b"{"));
    let reply: DeviceReply = json.decode().unwrap();
    assert_eq!((reply.work_seconds, reply.error), (0.002, None));

    for (garbage, content_type, problem) in [
        (&b"\x81\xa1"[..], "application/msgpack", "MessagePack"),
        (b"\xc1", "application/msgpack", "MessagePack"),
        (b"please", "application/json", "work_seconds"),
        (b"", "application/json", "empty"),
        (b"{\"work_seconds\": \"long\"}", "application/json", "work_seconds"),
        (b"{\"work_seconds\": -1}", "application/json", "out of range"),
    ] {
        let answer = ask_bytes(&bus, "gpu-0", garbage).await;
        assert_eq!(answer.headers.get(HEADER_CONTENT_TYPE), Some(content_type), "{garbage:?}");
        let reply: DeviceReply = answer.decode().unwrap();
        assert!(reply.error.as_ref().is_some_and(|error| error.contains(problem)), "{garbage:?}: {reply:?}");
        assert_eq!(reply.run_seconds, 0.0);
    }
    assert_eq!(ask(&bus, "gpu-0", None).await.error, None);
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_line_is_told_at_once_and_shutting_down_answers_all_that_is_left() {
    let (_server, bus) = server_and_bus().await;
    let device = Running::start(DeviceConfig { queue: 2, ..config("gpu-0", "1h") }, &bus).await;
    let asked: Vec<_> = (0..3)
        .map(|_| {
            let bus = bus.clone();
            tokio::spawn(async move { ask(&bus, "gpu-0", None).await })
        })
        .collect();
    busy(&bus, &device.node, 1).await;
    // Whichever of the four is one too many.
    let full = eventually(SOON, || async {
        let reply = bus
            .request_message::<_, DeviceReply>(
                &bus.namespace().device_run("gpu-0"),
                "device-request.v1",
                &DeviceRequest::default(),
                Duration::from_millis(200),
            )
            .await;
        reply.ok().and_then(|reply| reply.error)
    });
    assert!(full.await.unwrap().contains("2 requests wait"));
    device.stop().await;
    let mut ran = 0;
    for asked in asked {
        let reply = soon(asked).await.unwrap();
        let error = reply.error.unwrap();
        if error.contains("2 requests wait") {
            continue;
        }
        assert_eq!(error, "the device was shut down");
        ran += usize::from(reply.run_seconds > 0.0);
    }
    assert_eq!(ran, 1);
    let subject = bus.namespace().device_run("gpu-0");
    let gone = bus.request(&subject, &Headers::new(), Bytes::from_static(b"{}"), SOON).await;
    assert!(matches!(gone, Err(BusError::NoResponders { .. })), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_seen_in_the_registry_by_the_service_api_and_in_its_samples_and_leaves() {
    let (_server, bus) = server_and_bus().await;
    let device = Running::start(DeviceConfig { lanes: 4, ..config("gpu-0", "1h") }, &bus).await;
    assert_eq!(device.node, "gpu-0");
    let nodes = bus.kv(&bus.namespace().bucket_node()).await.unwrap();
    let entry = nodes.get("gpu-0").await.unwrap().unwrap();
    let info: NodeInfo = codec::decode(&entry.value).unwrap();
    assert_eq!((info.name.as_str(), info.role, info.host.as_str()), ("gpu-0", Role::Emulator, "lab.example.org"));
    assert_eq!(info.labels["emulated"], "true");
    assert_eq!(info.labels["device"], "gpu-0");
    assert_eq!(info.worker, None);
    let pong = bus.request("$SRV.PING.nuncius-emulator", &Headers::new(), Bytes::new(), SOON).await.unwrap();
    assert!(String::from_utf8_lossy(&pong.payload).contains("gpu-0"));

    let asking = bus.clone();
    let asked = tokio::spawn(async move { ask(&asking, "gpu-0", None).await });
    let sample = busy(&bus, "gpu-0", 1).await;
    assert_eq!((sample.node.as_str(), sample.slots, sample.finished), ("gpu-0", 4, 0));
    assert!(sample.unix_ms > 1_700_000_000_000);
    let figures = &sample.devices[0];
    assert!(figures.emulated && figures.name == "gpu-0");
    assert!(figures.utilization.is_some_and(|share| (0.0..=0.26).contains(&share)), "{figures:?}");
    assert_eq!(figures.memory_used_bytes, Some((512 << 20) + (64 << 20)));

    device.stop().await;
    assert!(soon(asked).await.unwrap().error.is_some());
    assert!(nodes.get("gpu-0").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_devices_of_one_name_each_request_goes_to_one() {
    let (_server, bus) = server_and_bus().await;
    let first = Running::start(config("gpu-0", "1ms"), &bus).await;
    let second = Running::start(config("gpu-0", "1ms"), &bus).await;
    assert_eq!(second.node, "gpu-0-2");
    let answers = join_all((0..20).map(|_| ask(&bus, "gpu-0", None))).await;
    assert!(answers.iter().all(|reply| reply.error.is_none()));
    first.stop().await;
    assert_eq!(ask(&bus, "gpu-0", None).await.error, None);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_never_early_and_seldom_late() {
    let (server, bus) = server_and_bus().await;
    let device = Running::start(config("gpu-0", "5ms"), &bus).await;
    let other = client(&server).await;
    let mut seconds = Vec::new();
    for _ in 0..31 {
        let sent = Instant::now();
        ask(&other, "gpu-0", None).await;
        seconds.push(sent.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    assert!(seconds[0] >= 0.005, "{} s", seconds[0]);
    // The round trip included.
    assert!(seconds[15] < 0.007, "median {} s", seconds[15]);
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_requests_at_once_are_all_answered() {
    let (server, bus) = server_and_bus().await;
    let device = Running::start(DeviceConfig { lanes: 8, alpha: 0.1, ..config("gpu-0", "100us") }, &bus).await;
    let other = client(&server).await;
    let answers = soon(join_all((0..5000).map(|_| ask(&other, "gpu-0", None)))).await;
    assert!(answers.iter().all(|reply| reply.error.is_none()));
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_it_still_ends_when_told_to() {
    let (mut server, bus) = server_and_bus().await;
    let device = Running::start(config("gpu-0", "1h"), &bus).await;
    server.kill();
    device.stop().await;
}
