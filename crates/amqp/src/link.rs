//! A connection that ends when it is told to, whatever its library does.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::tcp::AsyncTcpStream;
use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::runtime::{self, Stream};

/// Code of a connection that is closed because its work is done (AMQP 0-9-1, 1.2).
const REPLY_SUCCESS: u16 = 200;

/// An open connection, and its socket once more: lapin drives it on a thread that ends with the socket only.
#[derive(Debug)]
pub struct Link {
    /// What lapin makes of it.
    pub connection: Connection,
    socket: Socket,
}

/// The socket of a connection, once it has one.
#[derive(Debug, Clone, Default)]
pub struct Socket(Arc<Mutex<Option<OwnedFd>>>);

impl Socket {
    /// Keeps another handle of the socket, by which the connection can be ended.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn keep(&self, stream: &TcpStream) -> std::io::Result<()> {
        let copy = stream.as_fd().try_clone_to_owned()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
        Ok(())
    }

    fn shut(&self) {
        if let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
        }
    }
}

impl Link {
    /// Whether it has not ended yet.
    pub fn is_alive(&self) -> bool {
        self.connection.status().connected()
    }

    /// Ends it now; what waits on it fails.
    pub fn cut(&self) {
        self.socket.shut();
    }

    /// Takes leave of the broker.
    pub async fn close(&self) {
        let _ = self.connection.close(REPLY_SUCCESS, ShortString::default()).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
    }
}

/// Shuts the socket of an attempt that is given up.
struct Attempt(Socket);

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.shut();
    }
}

/// Why no connection came about.
#[derive(Debug)]
pub enum OpenError {
    /// What lapin says; [`crate::describe`] has words for it.
    Failed(lapin::Error),
    /// Nothing answered in time.
    Timeout,
}

/// Opens a connection within `patience`, over what `connect` makes; that is to give the socket to [`Socket::keep`]. The
/// broker shows `name`. Host and port of `uri` are not used.
///
/// # Errors
/// [`OpenError`]; what `connect` said is not in it.
pub async fn open<C>(uri: AMQPUri, name: &str, patience: Duration, connect: C) -> Result<Link, OpenError>
where
    C: AsyncFn(&Socket) -> lapin::Result<Stream> + Send + Sync + 'static,
{
    let socket = Socket::default();
    let attempt = Attempt(socket.clone());
    let its_socket = socket.clone();
    let connector = async move |_: AMQPUri, _| Ok(AsyncTcpStream::Plain(connect(&its_socket).await?));
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connecting = Connection::connector(uri, runtime::current(), connector, properties);
    match timeout(patience, connecting).await {
        Ok(Ok(connection)) => {
            std::mem::forget(attempt);
            Ok(Link { connection, socket })
        }
        Ok(Err(error)) => Err(OpenError::Failed(error)),
        Err(_) => Err(OpenError::Timeout),
    }
}
