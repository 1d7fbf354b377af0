//! Roles: each process with the credentials of its own kind does all of its work, and nothing else is permitted.

mod apart;
mod minimal;
mod work;

use std::path::{Path, PathBuf};
use std::process::Command;

use nuncius_bus::roles::UserRole;
use nuncius_bus::{Bus, ConnectOptions, Credentials, connect};
use nuncius_testkit::{TempDir, TestServer};

use super::harness::{Process, nuncius, open_spec, spawn_stub, until};

/// Exit code where the server does not let a process do what it is for.
const EXIT_NOT_PERMITTED: i32 = 77;

/// A server that keeps roles apart, and the files that `nats-config` wrote for it.
struct Roles {
    server: TestServer,
    directory: TempDir,
}

impl Roles {
    async fn start(more: &[&str]) -> Self {
        let directory = TempDir::new("roles").unwrap();
        let keys = directory.path().join("keys");
        write_config(&keys, more);
        let accounts = std::fs::read_to_string(keys.join("accounts.conf")).unwrap();
        Self { server: TestServer::start_with(&accounts).await.unwrap(), directory }
    }

    fn keys(&self) -> PathBuf {
        self.directory.path().join("keys")
    }

    /// A command with the environment that `nats-config` wrote for a role.
    fn command(&self, role: UserRole, arguments: &[&str]) -> Command {
        let mut command = nuncius();
        let data = self.directory.path().join(format!("data-{role}"));
        command.arg("--nats").arg(self.server.url()).arg("--data").arg(data).args(arguments);
        command.envs(environment(&self.keys(), role));
        command
    }

    fn start_process(&self, role: UserRole, arguments: &[&str]) -> (Process, PathBuf) {
        let log = self.directory.path().join(format!("{role}-{:08x}.log", fastrand::u32(..)));
        let mut command = self.command(role, arguments);
        command.stdout(std::process::Stdio::null());
        (Process::start(&mut command, &log), log)
    }

    /// A connection as a role.
    async fn bus(&self, role: UserRole) -> Bus {
        let options = ConnectOptions {
            urls: vec![self.server.url()],
            name: "test".to_owned(),
            credentials: Credentials::NkeyFile(self.keys().join(format!("{role}.nk"))),
            role: Some(role),
            ..ConnectOptions::default()
        };
        connect(options).await.unwrap()
    }

    /// What the server has refused so far, of its own log.
    fn refused(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.server.directory().join("nats.log")).unwrap();
        log.lines().filter(|line| line.contains("Violation")).map(str::to_owned).collect()
    }
}

fn write_config(keys: &Path, more: &[&str]) {
    let output = nuncius().args(["nats-config", "--out"]).arg(keys).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The variables in a role's file.
fn environment(keys: &Path, role: UserRole) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(keys.join(format!("{role}.env"))).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn says(log: &Path, words: &str) {
    until(&format!("{} says {words}", log.display()), async || {
        std::fs::read_to_string(log).unwrap_or_default().contains(words).then_some(())
    })
    .await;
}

#[test]
fn seeds_are_their_owners_alone_and_stay_when_the_configuration_is_written_again() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new("keys").unwrap();
    let keys = directory.path().join("keys");
    write_config(&keys, &[]);
    let mode = |name: &str| std::fs::metadata(keys.join(name)).unwrap().permissions().mode() & 0o777;
    let read = |name: &str| std::fs::read_to_string(keys.join(name)).unwrap();
    assert_eq!(std::fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o700);
    let worker = read("worker.nk");
    for role in UserRole::ALL {
        assert_eq!((mode(&format!("{role}.nk")), mode(&format!("{role}.env"))), (0o600, 0o600), "{role}");
        let seed = read(&format!("{role}.nk")).lines().find(|line| line.starts_with("SU")).unwrap().to_owned();
        for name in ["accounts.conf", "nats-server.conf", &format!("{role}.env")] {
            assert!(!read(name).contains(&seed), "the seed of {role} is in {name}");
        }
    }
    std::fs::set_permissions(keys.join("worker.nk"), PermissionsExt::from_mode(0o644)).unwrap();
    write_config(&keys, &["--roles", "worker,client", "--queue", "q1"]);
    assert_eq!(read("worker.nk"), worker);
    assert_eq!(mode("worker.nk"), 0o600);
    assert!(read("accounts.conf").contains("nuncius_job_q1") && !read("accounts.conf").contains("observer"));
    let mut server = Command::new(nuncius_testkit::find_binary().unwrap());
    let checked = server.arg("-t").arg("-c").arg(keys.join("nats-server.conf")).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let refused = nuncius().args(["nats-config", "--roles", "admin", "--out"]).arg(&keys).output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_and_jobs_run_with_each_process_under_its_own_role_and_nothing_is_refused() {
    let _turn = super::harness::beside_others().await;
    let roles = Roles::start(&[]).await;
    let (stub, address) = spawn_stub(roles.directory.path(), &[]);
    let mut running = vec![stub];
    let mut start = |role: UserRole, arguments: &[&str]| {
        let (process, log) = roles.start_process(role, arguments);
        running.push(process);
        log
    };
    // Who does not make streams waits for who does.
    let client = start(UserRole::Client, &["client", "--name", "n1"]);
    let worker = start(UserRole::Worker, &["worker", "--queue", "q", "--slots", "2", "/bin/true"]);
    says(&client, "experimentd").await;
    let daemon = start(UserRole::Experimentd, &["experimentd"]);
    let frontend = start(UserRole::Frontend, &["frontend", "q", "--maddr", "127.0.0.1:0"]);
    let device = start(UserRole::Emulator, &["emulator", "device", "d1", "--work", "1ms"]);
    let resource = start(UserRole::Emulator, &["emulator", "resource", "--http", "127.0.0.1:0"]);
    let oco = start(UserRole::Emulator, &["emulator", "oco", "--http", "127.0.0.1:0"]);
    says(&daemon, "taking experiments").await;
    for log in [&client, &worker, &frontend, &device, &resource] {
        says(log, "joined").await;
    }
    says(&oco, "the OCO emulator listens").await;
    let spec = roles.directory.path().join("spec.yaml");
    std::fs::write(&spec, open_spec("e1", &address, "200", "2s", "records: all")).unwrap();
    let spec = spec.to_str().unwrap().to_owned();
    let run = |role: UserRole, arguments: &[&str]| {
        let output = roles.command(role, arguments).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{role} {arguments:?}: {out}\n{err}\n{:?}", roles.refused());
        out.into_owned()
    };
    run(UserRole::Submitter, &["submit", &spec]);
    run(UserRole::Submitter, &["watch", "e1"]);
    let report: serde_json::Value =
        serde_json::from_str(&run(UserRole::Observer, &["report", "e1", "--json"])).unwrap();
    assert_eq!(report["verdict"], "pass", "{report}");
    for role in [UserRole::Observer, UserRole::Operator] {
        for arguments in [&["ps", "--all"][..], &["nodes"], &["route", "ls"], &["queue", "ls"], &["queue", "info", "q"]]
        {
            run(role, arguments);
        }
    }
    for _ in 0..3 {
        run(UserRole::Operator, &["queue", "submit", "q"]);
    }
    run(UserRole::Operator, &["run", &spec, "--id", "e2", "--quiet"]);
    run(UserRole::Operator, &["watch", "e2"]);
    for arguments in [
        &["route", "set", "shop", "127.0.0.1:80"][..],
        &["route", "rm", "shop"],
        &["doctor"],
        &["queue", "create", "r", "--qmax", "10"],
        &["queue", "submit", "r", "--no-wait"],
        &["queue", "pause", "r"],
        &["queue", "resume", "r"],
        &["queue", "purge", "r"],
        &["queue", "drain", "r"],
        &["queue", "dead", "ls", "r"],
        &["queue", "rm", "r"],
        &["rm", "e2"],
    ] {
        run(UserRole::Operator, arguments);
    }
    let (mut jobs, _) = roles
        .start_process(UserRole::QueueClient, &["client", "--queue", "q", "--req-now", "2", "--caddr", "127.0.0.1:0"]);
    let operator = roles.bus(UserRole::Operator).await;
    let queues = nuncius_jobs::Queues::open(&operator).await.unwrap();
    until("jobs of the client have ended", async || {
        let info = queues.info("q").await.ok()?;
        (info.totals.succeeded > 20).then_some(())
    })
    .await;
    jobs.signal(rustix::process::Signal::TERM);
    assert!(jobs.child.wait().unwrap().success());
    drop(running);
    assert_eq!(roles.refused(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_its_grant_says_so_at_once_and_a_deaf_service_ends_with_its_exit_code() {
    let _turn = super::harness::beside_others().await;
    let mut roles = Roles::start(&["--queue", "q"]).await;
    let (_daemon, daemon) = roles.start_process(UserRole::Experimentd, &["experimentd"]);
    let (_frontend, frontend) = roles.start_process(UserRole::Frontend, &["frontend", "q", "--maddr", "127.0.0.1:0"]);
    says(&daemon, "taking experiments").await;
    says(&frontend, "joined").await;
    let accounts = roles.keys().join("accounts.conf");
    let whole = std::fs::read_to_string(&accounts).unwrap();
    let without = |subject: &str| {
        let fewer: Vec<&str> = whole.lines().filter(|line| !line.contains(subject)).collect();
        assert!(fewer.len() < whole.lines().count(), "{subject} is granted to nobody");
        fewer.join("\n")
    };
    // It cannot take jobs: that is said, and again.
    roles.server.reload_with(&without("CONSUMER.MSG.NEXT.nuncius_job_q.*\"")).unwrap();
    says(&roles.server.directory().join("nats.log"), "Reloaded server configuration").await;
    let (worker, log) = roles.start_process(UserRole::Worker, &["worker", "--queue", "q", "/bin/true"]);
    let since = std::time::Instant::now();
    says(&log, "joined").await;
    says(&log, "not permitted to publish").await;
    says(&log, "CONSUMER.MSG.NEXT.nuncius_job_q.priority-0").await;
    says(&log, "role worker").await;
    assert!(since.elapsed() < std::time::Duration::from_secs(20));
    drop(worker);
    // It cannot hear commands: it ends.
    let (mut client, log) = {
        roles.server.reload_with(&without("nuncius.node.*.command\"          ")).unwrap();
        until("the server has read it again", async || {
            let log = std::fs::read_to_string(roles.server.directory().join("nats.log")).unwrap();
            (log.matches("Reloaded server configuration").count() >= 2).then_some(())
        })
        .await;
        roles.start_process(UserRole::Client, &["client", "--name", "n1"])
    };
    let status = until("the client has ended", async || client.child.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(EXIT_NOT_PERMITTED));
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("subscribe to `nuncius.node.n1.command`") && text.contains("role client"), "{text}");
    // And a command.
    let output = roles.command(UserRole::Observer, &["cancel", "e1"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(EXIT_NOT_PERMITTED), "{text}");
    assert!(text.contains("nuncius.experiment.e1.control") && text.contains("role observer"), "{text}");
}
