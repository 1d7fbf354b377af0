//! Sends back what it gets.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};

use crate::Failure;

/// As many as come at once.
const BACKLOG: u32 = 4096;
/// How often it is told how many are open.
const TOLD_EACH: u32 = 100;
/// Thousands of connections have a buffer of this size each.
const READ_BYTES: usize = 4 * 1024;

/// Serves until it is killed.
pub(crate) async fn run() -> Result<(), Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(BACKLOG)?;
    println!("listens on {}", listener.local_addr()?);
    let open = Rc::new(Cell::new(0));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(answer(stream, Rc::clone(&open)));
    }
}

async fn answer(stream: TcpStream, open: Rc<Cell<u32>>) {
    let config = WebSocketConfig::default().read_buffer_size(READ_BYTES).write_buffer_size(0);
    let Ok(mut socket) = accept_async_with_config(stream, Some(config)).await else { return };
    open.set(open.get() + 1);
    if open.get().is_multiple_of(TOLD_EACH) {
        println!("open={}", open.get());
    }
    while let Some(Ok(message)) = socket.next().await {
        let is_sent_back = matches!(message, Message::Text(_) | Message::Binary(_));
        if is_sent_back && socket.send(message).await.is_err() {
            break;
        }
    }
    open.set(open.get() - 1);
}
