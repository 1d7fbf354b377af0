use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nuncius_bus::streams::ensure_streams;
use nuncius_bus::{Bus, ConnectOptions, Headers, connect};
use nuncius_emulator::resource::{self, Ready, ResourceConfig, ResourceError};
use nuncius_schemas::codec;
use nuncius_schemas::node::{NodeInfo, Role};
use nuncius_schemas::resource::{ResourceKind, ResourcePhase, ResourceReply, ResourceRequest, ResourceState};
use nuncius_schemas::subjects::HEADER_CONTENT_TYPE;
use nuncius_testkit::{TempDir, TestServer, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

mod compat;
mod disturbed;

const SOON: Duration = Duration::from_secs(20);
const MIB: u64 = 1 << 20;

/// Fails the test instead of hanging it.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("in time")
}

struct Running {
    ready: Ready,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ResourceError>>,
    data: TempDir,
}

fn config() -> ResourceConfig {
    ResourceConfig { http: "127.0.0.1:0".to_owned(), floor_bytes: Some(0), ..ResourceConfig::new("node-1", "lab") }
}

impl Running {
    async fn start(config: ResourceConfig, bus: Option<Bus>) -> Self {
        let data = TempDir::new("resource").unwrap();
        let config = match config.data_directory.to_str() {
            Some(".") => ResourceConfig { data_directory: data.path().to_owned(), ..config },
            _ => config,
        };
        let shutdown = CancellationToken::new();
        let (sender, ready) = oneshot::channel();
        let task = tokio::spawn(resource::run(config, bus, shutdown.clone(), Some(sender)));
        Self { ready: soon(ready).await.unwrap(), shutdown, task, data }
    }

    async fn stop(self) -> TempDir {
        self.shutdown.cancel();
        soon(self.task).await.unwrap().unwrap();
        self.data
    }

    async fn send(&self, line: &str, headers: &str, body: &str) -> Reply {
        let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let request = format!("{line} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n{headers}{length}\r\n{body}");
        exchange(self.ready.address, request.as_bytes()).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path}"), "", "").await
    }

    async fn post(&self, kind: &str, body: &str) -> Reply {
        self.send(&format!("POST /v1/{kind}"), "", body).await
    }

    async fn state(&self, kind: &str) -> ResourceState {
        serde_json::from_str(&self.get(&format!("/v1/{kind}")).await.body).unwrap()
    }

    /// Waits until a kind stands like that.
    async fn until(&self, kind: &str, wanted: impl Fn(&ResourceState) -> bool) -> ResourceState {
        let found = eventually(SOON, || async {
            let state = self.state(kind).await;
            wanted(&state).then_some(state)
        });
        match found.await {
            Some(state) => state,
            None => panic!("{kind} stands otherwise: {:?}", self.state(kind).await),
        }
    }

    async fn until_phase(&self, kind: &str, phase: ResourcePhase) -> ResourceState {
        self.until(kind, |state| state.phase == phase).await
    }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    body: String,
}

async fn exchange(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Refusals may come before all is written.
    let _ = stream.write_all(request).await;
    let mut bytes = Vec::new();
    let _ = soon(stream.read_to_end(&mut bytes)).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Reply { status, body: body.to_owned() }
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}

fn is_empty(path: &Path) -> bool {
    std::fs::read_dir(path).unwrap().next().is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_resident_while_it_is_held_and_returned_when_it_is_released() {
    let node = Running::start(config(), None).await;
    let before = resident_bytes();
    let taken = node.post("memory", r#"{"amount": "200MiB"}"#).await;
    assert_eq!(taken.status, 202, "{taken:?}");
    let state = node.until_phase("memory", ResourcePhase::Holding).await;
    assert_eq!((state.wanted_bytes, state.actual_bytes, state.progress), (Some(200 * MIB), Some(200 * MIB), 1.0));
    assert!(state.id > 1_600_000_000_000_000_000 && state.limit_bytes > Some(200 * MIB));
    // Other tests take and give back a little meanwhile.
    assert!(resident_bytes() > before + 170 * MIB);
    assert_eq!(node.send("DELETE /v1/memory", "", "").await.status, 202);
    let state = node.until_phase("memory", ResourcePhase::Idle).await;
    assert_eq!((state.actual_bytes, state.wanted_bytes), (Some(0), Some(0)));
    let fallen = eventually(SOON, || async { (resident_bytes() < before + 10 * MIB).then_some(()) }).await;
    assert!(fallen.is_some(), "{} of {before}", resident_bytes());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_a_time_is_released_when_that_has_passed() {
    let node = Running::start(config(), None).await;
    for kind in ["memory", "disk", "cpu"] {
        let amount = if kind == "cpu" { "5%" } else { "2MiB" };
        let taken = node.post(kind, &format!(r#"{{"amount": "{amount}", "for": "500ms"}}"#)).await;
        let state: ResourceState = serde_json::from_str(&taken.body).unwrap();
        assert!(state.ends_at_unix_ms.is_some(), "{state:?}");
    }
    for kind in ["memory", "disk", "cpu"] {
        let state = node.until_phase(kind, ResourcePhase::Idle).await;
        assert_eq!((state.actual_bytes.unwrap_or(0), state.ends_at_unix_ms), (0, None));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ramp_climbs_and_a_profile_is_followed_to_its_end() {
    let node = Running::start(config(), None).await;
    node.post("memory", r#"{"amount": "20MiB", "ramp": "1500ms"}"#).await;
    let state = node.until("memory", |state| state.actual_bytes > Some(0)).await;
    assert!(state.actual_bytes < Some(20 * MIB) && state.phase == ResourcePhase::Working, "{state:?}");
    node.until("memory", |state| state.actual_bytes == Some(20 * MIB) && state.phase == ResourcePhase::Holding).await;
    let steps =
        r#"{"profile": [{"for": "300ms", "amount": "3MiB"}, {"for": "600ms", "amount": "9MiB", "ramp": true}]}"#;
    assert_eq!(node.post("disk", steps).await.status, 202);
    node.until("disk", |state| state.actual_bytes >= Some(3 * MIB)).await;
    node.until("disk", |state| state.actual_bytes > Some(5 * MIB)).await;
    node.until_phase("disk", ResourcePhase::Idle).await;
    assert!(is_empty(node.data.path()));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_request_takes_the_place_of_one_that_is_under_way_and_reading_waits_for_neither() {
    let node = Running::start(config(), None).await;
    node.post("disk", r#"{"amount": "1GiB"}"#).await;
    node.until("disk", |state| state.actual_bytes > Some(0)).await;
    let asked = Instant::now();
    assert_eq!(node.state("disk").await.phase, ResourcePhase::Working);
    assert!(asked.elapsed() < Duration::from_secs(1));
    node.post("disk", r#"{"amount": "1MiB"}"#).await;
    let state = node.until_phase("disk", ResourcePhase::Holding).await;
    assert_eq!((state.actual_bytes, state.error), (Some(MIB), None));
    let data = node.stop().await;
    assert!(is_empty(data.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_removed_at_the_end_even_in_the_midst_of_writing() {
    let node = Running::start(config(), None).await;
    node.post("disk", r#"{"amount": "2GiB"}"#).await;
    node.until("disk", |state| state.actual_bytes > Some(MIB)).await;
    assert!(!is_empty(node.data.path()));
    let data = node.stop().await;
    assert!(is_empty(data.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_is_removed_at_the_next_start() {
    let data = TempDir::new("orphan").unwrap();
    let left = data.path().join("nuncius-resource-0123456789abcdef");
    std::fs::create_dir_all(left.join("d-524288")).unwrap();
    std::fs::write(left.join("d-524288/f-1"), b"left").unwrap();
    std::fs::write(left.join(".nuncius-resource"), "nuncius-resource 1\npid 1\nstart 0\nboot gone\n").unwrap();
    std::fs::write(data.path().join("mine"), b"mine").unwrap();
    let node = Running::start(ResourceConfig { data_directory: data.path().to_owned(), ..config() }, None).await;
    assert!(!left.exists() && data.path().join("mine").exists());
    node.stop().await;
}

/// A small file system, there until it is dropped.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn of_4_mib(path: &'a Path) -> Option<Self> {
        let options = ["-t", "tmpfs", "-o", "size=4m", "tmpfs"];
        let done = std::process::Command::new("mount").args(options).arg(path).output();
        done.is_ok_and(|output| output.status.success()).then_some(Self(path))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_released() {
    let data = TempDir::new("full").unwrap();
    let Some(mounted) = Mounted::of_4_mib(data.path()) else {
        // What the write to a full device becomes is tested without rights, too.
        println!("no mount is possible here");
        return;
    };
    let node = Running::start(ResourceConfig { data_directory: data.path().to_owned(), ..config() }, None).await;
    let refused = node.post("disk", r#"{"amount": "5MiB"}"#).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(node.post("disk", r#"{"amount": "100%"}"#).await.status, 202);
    node.until("disk", |state| state.phase != ResourcePhase::Working).await;
    node.send("DELETE /v1/disk", "", "").await;
    node.until_phase("disk", ResourcePhase::Idle).await;
    // Somebody else takes what the request was accepted for.
    std::fs::write(data.path().join("filler"), vec![1; 1 << 20]).unwrap();
    assert_eq!(node.post("disk", r#"{"amount": "2900KiB", "ramp": "500ms"}"#).await.status, 202);
    std::fs::write(data.path().join("other"), vec![1; 2 << 20]).unwrap();
    let state = node.until_phase("disk", ResourcePhase::Failed).await;
    assert!(state.error.as_ref().is_some_and(|error| error.contains("free") || error.contains("space")), "{state:?}");
    node.send("DELETE /v1/disk", "", "").await;
    let state = node.until_phase("disk", ResourcePhase::Idle).await;
    assert_eq!((state.actual_bytes, state.error), (Some(0), None));
    node.stop().await;
    drop(mounted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_what_is_all_floor_is_refused_with_the_figures() {
    let node = Running::start(ResourceConfig { floor_bytes: Some(1 << 60), ..config() }, None).await;
    for kind in ["disk", "memory"] {
        let refused = node.post(kind, r#"{"amount": "90%"}"#).await;
        assert_eq!(refused.status, 409, "{refused:?}");
        assert!(refused.body.contains(&(1u64 << 60).to_string()) && refused.body.contains("free"), "{refused:?}");
        assert_eq!(node.post(kind, r#"{"amount": "0%"}"#).await.status, 202);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_that_goes_away_is_told_in_the_state() {
    let data = TempDir::new("gone").unwrap();
    let directory = data.path().join("here");
    std::fs::create_dir(&directory).unwrap();
    let node = Running::start(ResourceConfig { data_directory: directory.clone(), ..config() }, None).await;
    std::fs::remove_dir(&directory).unwrap();
    let refused = node.post("disk", r#"{"amount": "1MiB"}"#).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains(directory.to_str().unwrap()), "{refused:?}");
    node.stop().await;
    let missing = ResourceConfig { data_directory: directory, ..config() };
    let error = resource::run(missing, None, CancellationToken::new(), None).await.unwrap_err().to_string();
    assert!(error.contains("DATADIR"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_load_reads_and_writes_at_its_rates_while_it_is_held() {
    let node = Running::start(config(), None).await;
    let began = Instant::now();
    node.post("disk", r#"{"amount": "4MiB", "write_rate": "8MiB/s", "read_rate": "4MiB/s"}"#).await;
    let state = node.until("disk", |state| state.written_bytes >= Some(16 * MIB)).await;
    // 4 MiB of files, 12 of load: a second and a half.
    let seconds = began.elapsed().as_secs_f64();
    assert!(seconds > 1.2, "{seconds} s");
    assert!(state.read_bytes > Some(MIB) && state.actual_bytes == Some(4 * MIB), "{state:?}");
    node.send("DELETE /v1/disk", "", "").await;
    node.until_phase("disk", ResourcePhase::Idle).await;
    assert!(is_empty(node.data.path()));
    assert_eq!(node.post("memory", r#"{"amount": 1, "write_rate": 1}"#).await.status, 400);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processor_load_is_measured_and_stops() {
    let node = Running::start(config(), None).await;
    assert_eq!(node.post("cpu", r#"{"amount": "0.3"}"#).await.status, 202);
    let state = node.until("cpu", |state| state.measured_percent.is_some_and(|percent| percent > 15.0)).await;
    assert_eq!((state.wanted_percent, state.phase), (Some(30.0), ResourcePhase::Holding));
    node.send("DELETE /v1/cpu", "", "").await;
    node.until("cpu", |state| state.measured_percent == Some(0.0)).await;
    assert_eq!(node.post("cpu", r#"{"amount": "9999999%"}"#).await.status, 409);
    assert_eq!(node.post("cpu", r#"{"amount": "1MiB"}"#).await.status, 400);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_address_is_named_with_its_flag() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = TempDir::new("taken").unwrap();
    let config = ResourceConfig { http: address.clone(), data_directory: data.path().to_owned(), ..config() };
    let error = resource::run(config, None, CancellationToken::new(), None).await.unwrap_err().to_string();
    assert!(error.contains(&address) && error.contains("--http"), "{error}");
    assert!(is_empty(data.path()));
}

async fn server_and_bus() -> (TestServer, Bus) {
    let server = TestServer::start().await.unwrap();
    let options = ConnectOptions { urls: vec![server.url()], name: "test".into(), ..ConnectOptions::default() };
    let bus = connect(options).await.unwrap();
    ensure_streams(&bus).await.unwrap();
    (server, bus)
}

async fn ask(bus: &Bus, node: &str, kind: ResourceKind, payload: &[u8]) -> (ResourceReply, String) {
    let subject = bus.namespace().resource(node, kind);
    let answer = bus.request(&subject, &Headers::new(), Bytes::copy_from_slice(payload), SOON).await.unwrap();
    let form = answer.headers.get(HEADER_CONTENT_TYPE).unwrap_or_default().to_owned();
    (answer.decode().unwrap(), form)
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_bus_it_is_found_by_its_labels_and_answers_in_the_form_it_was_asked() {
    let (_server, bus) = server_and_bus().await;
    let mut config = config();
    config.labels.insert("zone".to_owned(), "edge".to_owned());
    let node = Running::start(config, Some(bus.clone())).await;
    let name = node.ready.node.clone().unwrap();
    let nodes = bus.kv(&bus.namespace().bucket_node()).await.unwrap();
    let info: NodeInfo = codec::decode(&nodes.get(&name).await.unwrap().unwrap().value).unwrap();
    assert_eq!(
        (info.role, info.labels["zone"].as_str(), info.labels["emulated"].as_str()),
        (Role::Emulator, "edge", "resource")
    );

    for payload in [&b""[..], b"{}"] {
        let (reply, form) = ask(&bus, &name, ResourceKind::Memory, payload).await;
        assert_eq!((reply.node.as_str(), reply.error, form.as_str()), ("node-1", None, "application/json"));
        assert_eq!(reply.state.unwrap().phase, ResourcePhase::Idle);
    }
    let request = ResourceRequest { amount: Some("2MiB".parse().unwrap()), ..ResourceRequest::default() };
    let (reply, form) = ask(&bus, &name, ResourceKind::Memory, &codec::encode(&request).unwrap()).await;
    assert_eq!((reply.state.unwrap().wanted_bytes, form.as_str()), (Some(2 * MIB), "application/msgpack"));
    node.until_phase("memory", ResourcePhase::Holding).await;
    for (payload, problem) in [
        (&b"{\"amount\": \"9999TiB\"}"[..], "over the limit"),
        (b"{\"amount\": \"-1\"}", "amount"),
        (b"please", "not a request"),
        (b"\x81\xa1", "not a request"),
        (b"\xc1", "not a request"),
    ] {
        let (reply, _) = ask(&bus, &name, ResourceKind::Memory, payload).await;
        assert!(reply.error.as_ref().is_some_and(|error| error.contains(problem)), "{reply:?}");
    }
    ask(&bus, &name, ResourceKind::Memory, b"{\"amount\": 0}").await;
    node.until_phase("memory", ResourcePhase::Idle).await;
    node.stop().await;
    assert!(nodes.get(&name).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_of_one_name_each_has_its_own_subject_and_a_token_is_heeded() {
    let (mut server, bus) = server_and_bus().await;
    let first = Running::start(config(), Some(bus.clone())).await;
    let guarded = ResourceConfig { token: Some("s3cret".to_owned()), ..config() };
    let second = Running::start(guarded, Some(bus.clone())).await;
    assert_eq!(second.ready.node.as_deref(), Some("node-1-2"));
    let (reply, _) = ask(&bus, "node-1-2", ResourceKind::Cpu, b"{}").await;
    assert!(reply.state.is_none() && reply.error.is_some_and(|error| error.contains("token")));
    let (reply, _) = ask(&bus, "node-1-2", ResourceKind::Cpu, b"{\"token\": \"s3cret\"}").await;
    assert_eq!(reply.state.unwrap().kind, ResourceKind::Cpu);
    let (reply, _) = ask(&bus, "node-1", ResourceKind::Cpu, b"").await;
    assert!(reply.state.is_some());
    second.stop().await;
    // Without a server, it still ends when told to.
    server.kill();
    first.stop().await;
}
