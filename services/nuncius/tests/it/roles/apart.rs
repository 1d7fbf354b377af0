//! Roles where JetStream is not one server's own: in a domain, and in a cluster of which one server dies.

use std::path::Path;
use std::process::{Command, Stdio};

use nuncius_bus::roles::UserRole;
use nuncius_testkit::{TempDir, TestCluster, TestServer};

use super::{environment, says, write_config};
use crate::harness::{Process, beside_others, nuncius, open_spec, spawn_stub};

/// Where the servers are, and the files that `nats-config` wrote for them.
struct Place {
    urls: String,
    directory: TempDir,
}

impl Place {
    fn command(&self, role: UserRole, arguments: &[&str]) -> Command {
        let mut command = nuncius();
        let data = self.directory.path().join(format!("data-{role}"));
        command.arg("--nats").arg(&self.urls).arg("--data").arg(data).args(arguments);
        command.envs(environment(&self.directory.path().join("keys"), role));
        command
    }

    fn start(&self, role: UserRole, arguments: &[&str]) -> (Process, std::path::PathBuf) {
        let log = self.directory.path().join(format!("{role}-{:08x}.log", fastrand::u32(..)));
        let mut command = self.command(role, arguments);
        (Process::start(command.stdout(Stdio::null()), &log), log)
    }

    fn run(&self, role: UserRole, arguments: &[&str]) -> String {
        let output = self.command(role, arguments).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{role} {arguments:?}: {out}\n{err}");
        out.into_owned()
    }

    /// Three experiments and a job, each process under its own role; something happens between the experiments.
    async fn works(&self, daemon_arguments: &[&str], meanwhile: impl FnOnce()) {
        let (_stub, address) = spawn_stub(self.directory.path(), &[]);
        let (_daemon, log) = self.start(UserRole::Experimentd, &[&["experimentd"], daemon_arguments].concat());
        says(&log, "taking experiments").await;
        let (_frontend, frontend) =
            self.start(UserRole::Frontend, &[&["frontend", "q", "--maddr", "127.0.0.1:0"], daemon_arguments].concat());
        let (_client, client) = self.start(UserRole::Client, &["client", "--name", "n1"]);
        let (_worker, worker) = self.start(UserRole::Worker, &["worker", "--queue", "q", "/bin/true"]);
        for log in [&frontend, &client, &worker] {
            says(log, "joined").await;
        }
        let spec = self.directory.path().join("spec.yaml");
        std::fs::write(&spec, open_spec("e1", &address, "200", "2s", "records: all")).unwrap();
        let spec = spec.to_str().unwrap();
        self.run(UserRole::Submitter, &["submit", spec]);
        self.run(UserRole::Submitter, &["watch", "e1"]);
        self.run(UserRole::Operator, &["queue", "submit", "q"]);
        meanwhile();
        // What it needs goes the same way, and comes to the node.
        let shop = self.directory.path().join("shop");
        std::fs::create_dir_all(&shop).unwrap();
        std::fs::copy(spec, shop.join("experiment.yaml")).unwrap();
        std::fs::write(shop.join("users.csv"), vec![b'x'; 300_000]).unwrap();
        self.run(UserRole::Submitter, &["submit", shop.to_str().unwrap(), "--id", "e2"]);
        self.run(UserRole::Submitter, &["watch", "e2"]);
        for id in ["e1", "e2"] {
            let report = self.run(UserRole::Observer, &["report", id, "--json"]);
            let report: serde_json::Value = serde_json::from_str(&report).unwrap();
            assert_eq!((&report["verdict"], &report["offered"]), (&"pass".into(), &400.into()), "{report}");
        }
        assert!(self.run(UserRole::Observer, &["app", "ls"]).contains("shop"));
        self.run(UserRole::Submitter, &["submit", "app:shop", "--id", "e3"]);
        self.run(UserRole::Submitter, &["watch", "e3"]);
        self.run(UserRole::Operator, &["app", "rm", "shop"]);
    }
}

/// What a server has refused, of its own log.
fn refused(server: &TestServer) -> Vec<String> {
    let log = std::fs::read_to_string(server.directory().join("nats.log")).unwrap();
    log.lines().filter(|line| line.contains("Violation")).map(str::to_owned).collect()
}

fn accounts(directory: &Path, more: &[&str]) -> String {
    let keys = directory.join("keys");
    write_config(&keys, more);
    std::fs::read_to_string(keys.join("accounts.conf")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_do_all_of_their_work_in_a_domain_and_nothing_is_refused() {
    let _turn = beside_others().await;
    let directory = TempDir::new("roles").unwrap();
    let accounts = accounts(directory.path(), &["--js-domain", "hub"]);
    let server = TestServer::start_in_domain(Some("hub"), &accounts).await.unwrap();
    let place = Place { urls: server.url(), directory };
    place.works(&[], || {}).await;
    assert_eq!(refused(&server), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_do_all_of_their_work_in_a_cluster_of_which_a_server_dies_and_nothing_is_refused() {
    let _turn = beside_others().await;
    let directory = TempDir::new("roles").unwrap();
    let accounts = accounts(directory.path(), &[]);
    let mut cluster = TestCluster::start_each(3, |_| accounts.clone()).await.unwrap();
    let place = Place { urls: cluster.url(), directory };
    place.works(&["--replicas", "3"], || cluster.servers[0].kill()).await;
    let all: Vec<String> = cluster.servers.iter().flat_map(refused).collect();
    assert_eq!(all, Vec::<String>::new());
}
