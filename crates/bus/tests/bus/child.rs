use std::time::Duration;

use nuncius_bus::kv::BucketWanted;
use nuncius_bus::server::{ChildServer, ServerError, ServerOptions, ServerState};
use nuncius_bus::{ConnectOptions, connect};
use nuncius_testkit::{TempDir, eventually};

use crate::support::{bytes, soon};

fn alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

async fn killed_and_running_again(child: &ChildServer) -> u32 {
    let old = child.pid().unwrap();
    let mut state = child.state();
    child.kill();
    soon(state.wait_for(|state| matches!(state, ServerState::Running { pid } if *pid != old))).await.unwrap();
    child.pid().unwrap()
}

#[tokio::test]
async fn a_killed_child_comes_back_on_its_port_with_its_store_and_locks_it() {
    let dir = TempDir::new("child").unwrap();
    let mut options = ServerOptions::new(dir.path().join("nats"));
    options.http_port = Some(0);
    let child = ChildServer::start(options.clone()).await.unwrap();
    let url = child.url().to_owned();
    assert!(child.monitoring_url().unwrap().starts_with("http://127.0.0.1:"));
    let bus = connect(ConnectOptions { urls: vec![url.clone()], ..ConnectOptions::default() }).await.unwrap();
    let kv = bus.ensure_bucket(&BucketWanted { name: "b".into(), ..BucketWanted::default() }).await.unwrap();
    kv.put("a", bytes("1")).await.unwrap();
    let store = options.store_dir.canonicalize().unwrap();
    assert_eq!(ChildServer::start(options.clone()).await.unwrap_err(), ServerError::StoreInUse(store));
    let pid = killed_and_running_again(&child).await;
    assert_eq!(child.url(), url);
    let value = eventually(Duration::from_secs(10), || async { kv.get("a").await.ok().flatten() }).await;
    assert_eq!(value.unwrap().value, "1");
    soon(child.stop()).await;
    assert!(!alive(pid));
    // Free again.
    let child = ChildServer::start(options).await.unwrap();
    let pid = child.pid().unwrap();
    drop(child);
    let gone = eventually(Duration::from_secs(10), || async { (!alive(pid)).then_some(()) });
    assert_eq!(gone.await, Some(()));
}

#[tokio::test]
async fn a_child_that_keeps_ending_is_given_up_with_the_reason() {
    let dir = TempDir::new("child").unwrap();
    let options = ServerOptions::new(dir.path());
    let child = ChildServer::start(options).await.unwrap();
    let port = child.url().rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let (pid, mut state) = (child.pid().unwrap(), child.state());
    child.kill();
    let gone = eventually(Duration::from_secs(5), || async { (!alive(pid)).then_some(()) });
    assert_eq!(gone.await, Some(()));
    // Somebody else is quicker to take the port.
    let squatter =
        eventually(Duration::from_secs(5), || async { std::net::TcpListener::bind(("127.0.0.1", port)).ok() });
    let squatter = squatter.await.unwrap();
    soon(state.wait_for(|state| matches!(state, ServerState::Failed { .. }))).await.unwrap();
    let ServerState::Failed { reason } = state.borrow().clone() else { panic!() };
    assert!(reason.contains("address already in use"), "{reason}");
    drop(squatter);
}

#[tokio::test]
async fn a_child_that_cannot_start_says_why() {
    let dir = TempDir::new("child").unwrap();
    let mut options = ServerOptions::new(dir.path());
    options.config_extra = "no_such_option: 1".into();
    let error = ChildServer::start(options).await.unwrap_err();
    assert!(matches!(&error, ServerError::Start { .. }), "{error}");
    assert!(error.to_string().contains("nats-server.log"), "{error}");
}
