use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::{Bus, ConnectOptions, Headers, connect};
use nuncius_testkit::TestServer;

pub(crate) const SOON: Duration = Duration::from_secs(15);

pub(crate) async fn server_and_bus() -> (TestServer, Bus) {
    let server = TestServer::start().await.unwrap();
    let bus = client(&server).await;
    (server, bus)
}

pub(crate) async fn client(server: &TestServer) -> Bus {
    connect(ConnectOptions { urls: vec![server.url()], name: "test".into(), ..ConnectOptions::default() })
        .await
        .unwrap()
}

pub(crate) fn none() -> Headers {
    Headers::new()
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Fails the test instead of hanging it.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("in time")
}
