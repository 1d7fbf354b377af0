//! Keeps a message under way on each of its connections.

use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};

use crate::Failure;

/// What is read at once, as sessions of the engine do.
const READ_BYTES: usize = 4 * 1024;

/// Runs for `duration` and tells how many messages came back.
pub(crate) async fn run(address: &str, connections: u32, duration: Duration) -> Result<(), Failure> {
    let end = Instant::now() + duration;
    let mut tasks = Vec::new();
    for number in 0..connections {
        let address = address.to_owned();
        tasks.push(tokio::task::spawn_local(async move {
            let exchanged = exchange(&address, number, end).await;
            exchanged.map_err(|error| error.to_string())
        }));
    }
    let mut messages = 0;
    for ended in try_join_all(tasks).await? {
        messages += ended?;
    }
    println!("messages={messages} rate={:.0}", f64::from(messages) / duration.as_secs_f64());
    Ok(())
}

/// One connection, one message after another; how many came back.
async fn exchange(address: &str, number: u32, end: Instant) -> Result<u32, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BYTES).write_buffer_size(0);
    let request = format!("ws://{address}/");
    let (mut socket, _) = client_async_with_config(request, stream, Some(config)).await?;
    let mut messages = 0;
    while Instant::now() < end {
        // As large as what the sessions beside it send, and made anew each time as theirs is.
        socket.send(Message::text(format!(r#"{{"say":"hello","user":"{number}"}}"#))).await?;
        match socket.next().await {
            Some(Ok(Message::Text(_))) => messages += 1,
            Some(Ok(other)) => return Err(format!("the server sent {other:?}").into()),
            Some(Err(error)) => return Err(error.into()),
            None => return Err("the server closed the connection".into()),
        }
    }
    Ok(messages)
}
