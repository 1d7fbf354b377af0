//! Whose fault: what the generator runs out of is never told as a failure of the target's. Each test runs once more in
//! a process of its own, where what it needs is short.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{CLIENTS, Client, Outcome, Run, SECOND_NS};
use nuncius_engine::FinishReason;
use nuncius_schemas::fault::GeneratorFault;
use nuncius_schemas::metric::FailureKind;

const ALONE: &str = "NUNCIUS_TEST_ALONE";

/// Whether this is the process in which `shell` has come first; otherwise runs the test of this name there, which must
/// pass.
fn is_alone(name: &str, shell: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let itself = std::env::current_exe().unwrap();
    let script = format!("{shell} && exec \"$0\" --exact limits::{name} --nocapture");
    // Who is root already needs no users of its own, which cannot be had within a chroot.
    let own_network = if rustix::process::geteuid().is_root() { "-n" } else { "-rn" };
    let enter = if shell.contains("ip ") { vec!["unshare", own_network, "sh", "-c"] } else { vec!["sh", "-c"] };
    let output = Command::new(enter[0]).args(&enter[1..]).arg(script).arg(itself).env(ALONE, "1").output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

const FEW_DESCRIPTORS: &str = "ulimit -n 48";
const FEW_PORTS: &str = "ip link set lo up && echo 61000 61019 >/proc/sys/net/ipv4/ip_local_port_range";

/// Takes connections, as far as the kernel does by itself, and never answers.
fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Every descriptor that is left.
fn all_descriptors() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// What had no descriptor or port is censored and counted as that; what had one waited in vain, and that alone is a
/// failure.
fn check(outcome: &Outcome, fault: GeneratorFault) {
    let planned: u64 = outcome.step().planned;
    let missing = outcome.faults.get(&fault).copied().unwrap_or(0);
    assert_eq!(outcome.faults.len(), 1, "{:?}", outcome.faults);
    assert!(missing > 0 && missing < planned, "{missing} of {planned}");
    assert_eq!((outcome.step().censored, outcome.step().failed), (missing, planned - missing));
    assert!(outcome.step().failures.iter().all(|failure| failure.kind == FailureKind::Timeout));
}

const OPEN: &str = r#""rate": "500/s", "iterations": 100, "timeout": "300ms""#;

#[test]
fn requests_without_a_descriptor_are_censored_and_not_failures_of_the_target() {
    if !is_alone("requests_without_a_descriptor_are_censored_and_not_failures_of_the_target", FEW_DESCRIPTORS) {
        return;
    }
    for client in CLIENTS {
        let (_listener, address) = silent();
        check(&Run::new(client, address, OPEN).go(), GeneratorFault::Descriptors);
    }
}

#[test]
fn requests_without_a_local_port_are_censored_and_not_failures_of_the_target() {
    if !is_alone("requests_without_a_local_port_are_censored_and_not_failures_of_the_target", FEW_PORTS) {
        return;
    }
    for client in CLIENTS {
        let (_listener, address) = silent();
        check(&Run::new(client, address, OPEN).go(), GeneratorFault::Ports);
    }
}

#[test]
fn users_without_a_descriptor_pause_and_are_not_failures_of_the_target() {
    if !is_alone("users_without_a_descriptor_pause_and_are_not_failures_of_the_target", FEW_DESCRIPTORS) {
        return;
    }
    for client in CLIENTS {
        let (_listener, address) = silent();
        let outcome = Run::new(client, address, r#""users": 60, "duration": "250ms", "timeout": "200ms""#).go();
        let step = outcome.step();
        let missing = outcome.faults[&GeneratorFault::Descriptors];
        assert!(step.censored >= missing && step.failures.iter().all(|failure| failure.kind == FailureKind::Timeout));
        // 10, 20, 40, 80 ms …, each shortened by up to half.
        assert!((20..=60 * 9).contains(&missing), "{missing}");
        assert!(step.backed_off > 0 && step.backed_off <= missing);
    }
}

#[test]
fn servos_without_a_descriptor_do_not_fail() {
    if !is_alone("servos_without_a_descriptor_do_not_fail", FEW_DESCRIPTORS) {
        return;
    }
    check_servos(GeneratorFault::Descriptors);
}

#[test]
fn servos_without_a_local_port_do_not_fail() {
    if !is_alone("servos_without_a_local_port_do_not_fail", FEW_PORTS) {
        return;
    }
    check_servos(GeneratorFault::Ports);
}

fn check_servos(fault: GeneratorFault) {
    let (_listener, address) = silent();
    let group = r#""target": "http://ADDRESS/", "engine": "servo", "users": 60, "duration": "500ms", "timeout": "5s",
        "servo": {"connections": "per_servo", "start_spread": "50ms"}"#;
    let mut run = Run::new(Client::Plain, address, group);
    run.options.drain_ns = SECOND_NS / 20;
    let outcome = run.go();
    assert!(outcome.faults[&fault] >= 10, "{:?}", outcome.faults);
    assert_eq!(outcome.faults.len(), 1);
    let failed: u64 = outcome.steps.iter().map(|step| step.failed).sum();
    let censored: u64 = outcome.steps.iter().take(outcome.steps.len() - 1).map(|step| step.censored).sum();
    assert_eq!(failed, 0);
    assert!(censored >= outcome.faults[&fault]);
}

#[test]
fn messages_without_a_descriptor_for_the_connection_are_censored() {
    if !is_alone("messages_without_a_descriptor_for_the_connection_are_censored", FEW_DESCRIPTORS) {
        return;
    }
    // As in a node, whose runtime has what the whole process needs of signals before any load.
    let _of_node = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Refuses at first: the failures of that time are its own.
    let (listener, address) = silent();
    drop(listener);
    let group = r#""engine": "amqp", "target": "amqp://ADDRESS/%2f", "rate": "200/s", "iterations": 200, "timeout": "5s",
        "steps": [{"publish": {"routing_key": "q", "body": "x"}}]"#;
    let mut taken = Vec::new();
    let mut run = Run::new(Client::General, address, group);
    // Again and again: what the attempt before gave back, too.
    run.during = Box::new(|_| {
        let until = Instant::now() + Duration::from_millis(600);
        while Instant::now() < until {
            taken.extend(all_descriptors());
            std::thread::yield_now();
        }
    });
    let outcome = run.go();
    drop(taken);
    let missing = outcome.faults.get(&GeneratorFault::Descriptors).copied().unwrap_or(0);
    if outcome.reasons.iter().any(|reason| matches!(reason, nuncius_engine::FinishReason::Failed(_))) {
        // They were taken before the engine had what itself needs: told as such, and no failure of the target.
        assert!(missing >= 1 && outcome.step().failed == 0, "{:?} {:?}", outcome.faults, outcome.reasons);
        return;
    }
    assert!(missing >= 50, "{:?} {:?} {:?}", outcome.faults, outcome.step().failures, outcome.reasons);
    assert!(outcome.step().censored == missing, "{:?}", outcome.faults);
    assert!(outcome.step().failures.iter().all(|failure| failure.kind == FailureKind::Connect));
}

#[test]
fn an_engine_that_cannot_even_start_says_what_was_missing() {
    if !is_alone("an_engine_that_cannot_even_start_says_what_was_missing", FEW_DESCRIPTORS) {
        return;
    }
    let (_listener, address) = silent();
    let groups = [
        (Client::Plain, OPEN.to_owned()),
        (Client::General, OPEN.to_owned()),
        (
            Client::General,
            r#""engine": "amqp", "target": "amqp://ADDRESS/%2f", "rate": "10/s", "iterations": 5,
            "steps": [{"publish": {"routing_key": "q", "body": "x"}}]"#
                .to_owned(),
        ),
        (Client::General, r#""engine": "servo", "target": "http://ADDRESS/", "users": 5, "duration": "1s""#.to_owned()),
    ];
    for (client, group) in groups {
        let run = Run::new(client, address, &group);
        let mut kept = all_descriptors();
        // One for the thread's bell.
        kept.pop();
        let outcome = run.go();
        drop(kept);
        assert_eq!(outcome.faults, [(GeneratorFault::Descriptors, 1)].into(), "{group}");
        assert!(matches!(&outcome.reasons[..], [FinishReason::Failed(reason)] if reason.starts_with("cannot ")));
    }
}

#[test]
fn a_thread_that_cannot_be_started_is_told_with_what_to_do() {
    // Room for the test's own threads, and none for a stack of 64 GiB.
    if !is_alone("a_thread_that_cannot_be_started_is_told_with_what_to_do", "RUST_MIN_STACK=2000000 ulimit -v 4000000")
    {
        return;
    }
    // The system says what it lacks for a thread in one way only, whatever that is: EAGAIN.
    let error = std::thread::Builder::new().stack_size(64 << 30).spawn(|| ()).unwrap_err();
    assert_eq!(GeneratorFault::of_spawn(&error), GeneratorFault::Threads, "{error}");
    assert_eq!(GeneratorFault::of_error(&error), None);
}
