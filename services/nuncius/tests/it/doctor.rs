//! What `nuncius doctor` finds, each made to happen.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nuncius_bus::streams::{Discard, StreamLimits, StreamWanted, ensure_streams_with};
use nuncius_bus::{ConnectOptions, connect};
use nuncius_testkit::{TempDir, TestCluster, TestServer, find_binary, free_port};
use serde_json::Value;

use crate::harness::{Process, System, beside_others, nuncius, until};

/// What a doctor says, as programs read it.
fn findings(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// The findings of a kind, each as `level: text (advice)`.
fn of(output: &Output, check: &str) -> Vec<String> {
    let word = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let all = findings(output);
    let found = all.iter().filter(|finding| finding["check"] == check);
    found.map(|one| format!("{}: {} ({})", word(one, "level"), word(one, "text"), word(one, "advice"))).collect()
}

fn assert_found(output: &Output, check: &str, parts: &[&str]) {
    let found = of(output, check);
    assert!(found.iter().any(|text| parts.iter().all(|part| text.contains(part))), "{check} {parts:?}: {found:#?}");
}

fn doctor(server: &str, data: &TempDir) -> Command {
    let mut command = nuncius();
    command.arg("--nats").arg(server).arg("--data").arg(data.path()).args(["doctor", "--json"]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_system_has_nothing_bad_and_what_is_looked_at_is_named() {
    let _turn = beside_others().await;
    let system = System::start(1).await;
    let output = system.output(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for check in ["data_directory", "disk", "disk_space", "store", "server_binary", "open_files", "ports", "run_delay"]
    {
        assert_eq!(of(&output, check).len(), 1, "{check}: {output:?}");
    }
    for check in ["server_version", "max_payload", "jetstream", "streams", "clock", "node"] {
        assert!(of(&output, check)[0].starts_with("ok: "), "{check}: {output:?}");
    }
    assert_found(&output, "store", &["ok", "tables of version"]);
    let words = system.output(&["doctor"]);
    assert!(String::from_utf8_lossy(&words.stdout).lines().any(|line| line.starts_with("ok ")), "{words:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_too_small_are_told_with_the_figure_that_is_needed() {
    let _turn = beside_others().await;
    let (server, data) = (TestServer::start_with("max_payload: 1024").await.unwrap(), TempDir::new("doctor").unwrap());
    let output = doctor(&server.url(), &data).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_found(&output, "max_payload", &["bad", "1024 bytes", "8192", "max_payload: 266240"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_a_cluster_that_take_messages_of_different_sizes_are_told() {
    let _turn = beside_others().await;
    let lines = |number| if number == 1 { "max_payload: 9000".to_owned() } else { String::new() };
    let (cluster, data) = (TestCluster::start_each(3, lines).await.unwrap(), TempDir::new("doctor").unwrap());
    let output = doctor(&cluster.servers[0].url(), &data).output().unwrap();
    assert_found(&output, "servers", &["warn", "max_payload is not the same", "9000", "1048576", "smallest"]);
    assert_found(&output, "max_payload", &["warn", "9000 bytes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_is_not_behind_the_server_is_told_with_the_one_that_is() {
    let _turn = beside_others().await;
    let server = TestServer::start_in_domain(Some("hub"), "").await.unwrap();
    let data = TempDir::new("doctor").unwrap();
    let output = doctor(&server.url(), &data).args(["--js-domain", "hub"]).output().unwrap();
    assert_found(&output, "jetstream", &["ok", "domain hub"]);
    let output = doctor(&server.url(), &data).args(["--js-domain", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let advice = "the domain of this server itself is hub";
    assert_found(&output, "jetstream", &["bad", "domain nowhere (--js-domain)", advice, "leafnodes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_jetstream_or_without_room_is_told() {
    let _turn = beside_others().await;
    let data = TempDir::new("doctor").unwrap();
    let port = free_port().unwrap();
    let mut bare = Command::new(find_binary().unwrap());
    bare.args(["-a", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null());
    let _bare = Process::start(&mut bare, &data.path().join("bare.log"));
    until("it listens", async || std::net::TcpStream::connect(("127.0.0.1", port)).ok()).await;
    let output = doctor(&format!("nats://127.0.0.1:{port}"), &data).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_found(&output, "jetstream", &["bad", "nats-server -js"]);

    let configuration =
        "accounts: { A: { jetstream: { max_file: 1GB, max_mem: 64MB }, users: [{user: a, password: b}] } }";
    let config = format!(
        "listen: \"127.0.0.1:-1\"\njetstream {{ store_dir: {:?} }}\nports_file_dir: {:?}\n{configuration}\n",
        data.path().join("js"),
        data.path()
    );
    std::fs::write(data.path().join("small.conf"), config).unwrap();
    let mut small = Command::new(find_binary().unwrap());
    small.arg("--config").arg(data.path().join("small.conf")).stdout(Stdio::null());
    let small = Process::start(&mut small, &data.path().join("small.log"));
    let ports = data.path().join(format!("nats-server_{}.ports", small.child.id()));
    let port = until("it tells its port", async || {
        let ports: Value = serde_json::from_slice(&std::fs::read(&ports).ok()?).ok()?;
        ports["nats"][0].as_str()?.rsplit(':').next()?.parse::<u16>().ok()
    })
    .await;
    let output = doctor(&format!("nats://a:b@127.0.0.1:{port}"), &data).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_found(&output, "streams", &["bad", "more room"]);
    assert_found(&output, "jetstream_storage", &["GiB"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_otherwise_than_wanted_is_told_field_by_field_and_left_as_it_is() {
    let _turn = beside_others().await;
    let (server, data) = (TestServer::start().await.unwrap(), TempDir::new("doctor").unwrap());
    let options = ConnectOptions { urls: vec![server.url()], name: "test".into(), ..ConnectOptions::default() };
    let bus = connect(options).await.unwrap();
    ensure_streams_with(&bus, &StreamLimits { event_bytes: 1 << 20, ..StreamLimits::default() }).await.unwrap();
    let names = bus.namespace().clone();
    bus.delete_stream(&names.stream_dead()).await.unwrap();
    let wrong = StreamWanted {
        name: names.stream_dead(),
        subjects: vec![names.experiment_dead()],
        discard: Discard::Old,
        storage: nuncius_bus::streams::Storage::Memory,
        max_age: Some(Duration::from_secs(60)),
        ..StreamWanted::default()
    };
    bus.ensure_stream(&wrong).await.unwrap();
    for _ in 0..2 {
        let output = doctor(&server.url(), &data).output().unwrap();
        assert_eq!(output.status.code(), Some(5), "{output:?}");
        assert_found(&output, "streams", &["bad", &names.stream_event(), "max_bytes", "1048576"]);
        assert_found(&output, "streams", &["bad", &names.stream_dead(), "storage", "nats stream rm"]);
    }
}

#[test]
fn a_machine_and_a_disk_that_give_too_little_are_told() {
    let data = TempDir::new("doctor").unwrap();
    let wanted = doctor("nats://127.0.0.1:1", &data);
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 0; ulimit -n 100; exec \"$@\"", "sh"]).arg(wanted.get_program());
    let credentials = data.path().join("nats.creds");
    std::fs::write(&credentials, "secret").unwrap();
    std::fs::set_permissions(&credentials, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(data.path().join("nuncius.db"), "no database at all, but a letter".repeat(50)).unwrap();
    let output = limited.args(wanted.get_args()).arg("--nats-credentials").arg(&credentials).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_found(&output, "disk", &["bad", "cannot be written", "--data"]);
    assert_found(&output, "open_files", &["warn", "100 open files", "ulimit -n"]);
    assert_found(&output, "store", &["bad", "not a database"]);
    assert_found(&output, "store_permissions", &["warn", "chmod 600"]);
    assert_found(&output, "credentials", &["warn", "nats.creds", "chmod 600"]);
    assert_found(&output, "server", &["bad", "--nats"]);
    assert!(
        !data
            .path()
            .read_dir()
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with(".doctor") })
    );
}
