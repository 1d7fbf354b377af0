//! What thousands of silent connections cost the OCO emulator: no more than its cap.

use std::net::SocketAddr;
use std::time::Duration;

use nuncius_emulator::oco::{self, OcoConfig, servo_limits};
use nuncius_serve::HttpLimits;
use nuncius_testkit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(15);
const ASK: &[u8] = b"GET /stats HTTP/1.1\r\nhost: a\r\n\r\n";

/// Sends a request on a connection that stays open, and gives the beginning of the answer.
async fn ask(stream: &mut TcpStream) -> String {
    // One that is refused may be gone before it has asked.
    let _ = stream.write_all(ASK).await;
    let mut bytes = vec![0; 4_096];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap().unwrap_or(0);
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

/// Everything that comes on a connection that is closed from the other side.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn start(limits: HttpLimits) -> (SocketAddr, CancellationToken) {
    let config = OcoConfig { http: "127.0.0.1:0".to_owned(), limits, ..OcoConfig::default() };
    let (shutdown, (sender, ready)) = (CancellationToken::new(), oneshot::channel());
    tokio::spawn(oco::run(config, None, shutdown.clone(), Some(sender)));
    (ready.await.unwrap().address, shutdown)
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_cap_a_connection_is_answered_and_closed_and_those_within_it_go_on() {
    let (address, shutdown) = start(HttpLimits { connections_max: 20, ..servo_limits() }).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
        held.push(stream);
    }
    for _ in 0..50 {
        let said = rest(TcpStream::connect(address).await.unwrap()).await;
        assert!(said.starts_with("HTTP/1.1 503") && said.contains("connections_max"), "{said}");
    }
    for stream in &mut held {
        assert!(ask(stream).await.starts_with("HTTP/1.1 200"));
    }
    // Who goes makes room.
    drop(held.pop());
    eventually(PATIENCE, || async move {
        let mut stream = TcpStream::connect(address).await.ok()?;
        ask(&mut stream).await.starts_with("HTTP/1.1 200").then_some(())
    })
    .await
    .unwrap();
    shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_idle_for_too_long_is_closed_and_the_usual_limits_bound_both() {
    let idle_timeout = Some(Duration::from_millis(300));
    let limits = HttpLimits { idle_timeout, read_timeout: Duration::from_millis(100), ..servo_limits() };
    let (address, shutdown) = start(limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(stream).await, "");
    shutdown.cancel();
    let usual = servo_limits();
    assert!(usual.connections_max <= 8_192 && usual.idle_timeout.is_some(), "{usual:?}");
}
