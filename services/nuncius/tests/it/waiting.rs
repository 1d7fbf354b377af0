//! Services and commands that are there before their server is.

use std::path::{Path, PathBuf};
use std::process::Command;

use nuncius_testkit::{TempDir, TestServer, free_port};

use crate::harness::{Process, beside_others, nuncius, until};

/// Every service, and what it says when it is on the bus.
const SERVICES: [(&[&str], &str); 9] = [
    (&["client"], "joined"),
    (&["experimentd"], "taking experiments"),
    (&["frontend", "q", "--maddr", "127.0.0.1:0"], "metrics at"),
    (&["worker", "--queue", "q", "sleep"], "joined"),
    (&["client", "--queue", "q", "--caddr", "127.0.0.1:0"], "control page at"),
    (&["emulator", "stub", "--listen", "127.0.0.1:0", "--register", "shop"], "registered"),
    (&["emulator", "device", "d1"], "emulated device"),
    (&["emulator", "oco", "--http", "127.0.0.1:0", "--register", "oco"], "registered"),
    (&["emulator", "resource", "--http", "127.0.0.1:0"], "joined"),
];

/// A service with all that it says in one file.
struct Service {
    words: &'static [&'static str],
    joined: &'static str,
    log: PathBuf,
    _process: Process,
}

impl Service {
    fn start(words: &'static [&'static str], joined: &'static str, directory: &Path, more: &[&str]) -> Self {
        let log = directory.join(format!("{}.log", words.join("-").replace('/', "_")));
        let out = std::fs::File::create(&log).unwrap();
        let mut command: Command = nuncius();
        command.arg("--data").arg(directory.join("data")).args(more).args(words).current_dir(directory);
        let child = command.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        Self { words, joined, log, _process: Process { child } }
    }

    fn says(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    async fn wait_for(&self, sign: &str) {
        let what = format!("{:?} says `{sign}`", self.words);
        until(&what, async || self.says().contains(sign).then_some(())).await;
    }
}

/// Starts all of them while there is no server, or none that answers, and waits until each has said whom it tries and
/// that it goes on.
async fn start_all(server: &TestServer, directory: &Path) -> Vec<Service> {
    let url = server.url();
    let start = |(words, joined)| Service::start(words, joined, directory, &["--nats", &url]);
    let services: Vec<Service> = SERVICES.into_iter().map(start).collect();
    for service in &services {
        service.wait_for("still trying").await;
        assert!(service.says().contains(&url), "{:?} says whom it tries: {}", service.words, service.says());
        assert!(!service.says().contains(service.joined), "{:?}: {}", service.words, service.says());
    }
    services
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_are_there_before_the_server_say_whom_they_try_and_join_when_it_comes() {
    let _turn = beside_others().await;
    let directory = TempDir::new("before").unwrap();
    let mut server = TestServer::start().await.unwrap();
    server.kill();
    let services = start_all(&server, directory.path()).await;
    server.restart().await.unwrap();
    for service in &services {
        service.wait_for(service.joined).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_whose_server_goes_away_while_they_start_join_when_it_is_back() {
    let _turn = beside_others().await;
    let directory = TempDir::new("meanwhile").unwrap();
    let mut server = TestServer::start().await.unwrap();
    // It takes connections, and says nothing.
    server.pause();
    let services = start_all(&server, directory.path()).await;
    server.kill();
    server.restart().await.unwrap();
    for service in &services {
        service.wait_for(service.joined).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn up_and_emulators_typed_at_once_find_each_other_and_a_command_may_wait_for_them() {
    let _turn = beside_others().await;
    let directory = TempDir::new("pasted").unwrap();
    let data = directory.path().join("data");
    let emulator: &[&str] = &["emulator", "resource", "--http", "127.0.0.1:0", "--label", "zone=a"];
    let before = Service::start(emulator, "joined", directory.path(), &[]);
    before.wait_for("HTTP alone until there is one").await;
    let wait = |arguments: &[&str]| {
        let mut command = nuncius();
        command.arg("--data").arg(&data).args(arguments);
        command
    };
    // None of them can know where the server will be.
    let set = ["resource", "set", "--wait", "60s", "--nodes", "zone=a", "--memory", "1MiB", "--for", "1m"];
    let setting = wait(&set).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let listen = format!("127.0.0.1:{}", free_port().unwrap());
    let mut up = wait(&["up", "--no-stub", "--clients", "0", "--listen", &listen]);
    let _up = Process::start(up.stdout(std::process::Stdio::null()), &directory.path().join("up.log"));
    let output = tokio::task::spawn_blocking(|| setting.wait_with_output()).await.unwrap().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.contains("memory"), "{told}\n{}", before.says());
    assert!(before.says().contains("joined"), "{}", before.says());
}

#[test]
fn a_command_without_a_server_says_so_once_and_in_words() {
    let directory = TempDir::new("alone").unwrap();
    let port = free_port().unwrap();
    let mut command = nuncius();
    command.args(["nodes", "--nats", &format!("nats://127.0.0.1:{port}"), "--data"]).arg(directory.path());
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{told}");
    assert_eq!(told.matches("refused").count(), 1, "{told}");
    assert!(!told.contains("os error") && told.lines().count() == 1, "{told}");
}
