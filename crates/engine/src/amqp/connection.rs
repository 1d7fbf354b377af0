//! Connections to a broker, with an end that can be relied on.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::tcp::AsyncTcpStream;
use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, ErrorKind};
use nuncius_schemas::fault::GeneratorFault;
use nuncius_schemas::metric::FailureKind;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::runtime;
use crate::connect::ConnectError;
use crate::failure::Failure;
use crate::host::Host;
use crate::tls::{self, Tls};

/// How a broker is reached.
pub(crate) struct Access {
    uri: AMQPUri,
    hosts: Arc<[Host]>,
    tls: Option<Tls>,
    timeout: Duration,
    name: String,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address that lapin is given holds the password.
        f.debug_struct("Access").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Access {
    /// Of a group that has this name.
    pub(crate) fn of((uri, hosts, tls): (AMQPUri, Arc<[Host]>, Option<Tls>), timeout_ns: u64, group: &str) -> Self {
        Self { uri, hosts, tls, timeout: Duration::from_nanos(timeout_ns), name: format!("nuncius {group}") }
    }
}

/// An open connection, and its socket once more: lapin drives it on a thread that ends with the socket only.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    socket: Socket,
}

type Socket = Arc<Mutex<Option<OwnedFd>>>;

fn shut(socket: &Socket) {
    if let Some(socket) = socket.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
    }
}

impl Link {
    pub(crate) fn is_alive(&self) -> bool {
        self.connection.status().connected()
    }

    /// Ends it now; what waits on it fails.
    pub(super) fn cut(&self) {
        shut(&self.socket);
    }

    pub(super) async fn close(&self) {
        let _ = self.connection.close(200, ShortString::default()).await;
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
        shut(&self.0);
    }
}

/// Why no connection came about, as far as lapin does not say it.
#[derive(Default)]
struct Problem {
    connect: Option<ConnectError>,
    tls: Option<String>,
}

/// Opens a connection to the host of this index, within the timeout.
pub(crate) async fn open(access: &Arc<Access>, host: usize) -> Result<Link, Failure> {
    let Some(address) = access.hosts.get(host).map(|host| host.address) else {
        return Err(Failure::new(FailureKind::Resolve, "no address"));
    };
    let socket = Socket::default();
    let attempt = Attempt(Arc::clone(&socket));
    let problem = Arc::new(Mutex::new(Problem::default()));
    let (its_access, its_socket, its_problem) = (Arc::clone(access), Arc::clone(&socket), Arc::clone(&problem));
    let connector = async move |_: AMQPUri, _| {
        let noted = || its_problem.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failed = ConnectError::default();
        let mut opened = None;
        let host = its_access.hosts.get(host);
        for address in host.into_iter().flat_map(Host::order) {
            match runtime::connect(address).await {
                Ok(stream) => {
                    host.into_iter().for_each(|host| host.prefer(address));
                    opened = Some(stream);
                    break;
                }
                Err(error) => failed.add(address, error),
            }
        }
        let Some(stream) = opened else {
            noted().connect = Some(failed);
            return Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into());
        };
        let copy = stream.as_fd().try_clone_to_owned()?;
        *its_socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
        let Some(tls) = &its_access.tls else { return Ok(AsyncTcpStream::Plain(stream.into())) };
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        let secured = connector.connect(tls.server_name.clone(), stream).await.inspect_err(|error| {
            // What is missing for a session is no problem of the session.
            if GeneratorFault::of_error(error).is_none() {
                noted().tls = Some(tls::in_words(error));
            }
        })?;
        Ok(AsyncTcpStream::Plain(secured.into()))
    };
    let properties = ConnectionProperties::default().with_connection_name(access.name.as_str().into());
    let connecting = Connection::connector(access.uri.clone(), runtime::current(), connector, properties);
    match timeout(access.timeout, connecting).await {
        Ok(Ok(connection)) => {
            std::mem::forget(attempt);
            Ok(Link { connection, socket })
        }
        Ok(Err(error)) => {
            let problem = std::mem::take(&mut *problem.lock().unwrap_or_else(PoisonError::into_inner));
            Err(match problem {
                Problem { tls: Some(problem), .. } => {
                    Failure::Failed(FailureKind::Tls, format!("tls {address}: {problem}"))
                }
                Problem { connect: Some(failed), .. } => failed.into(),
                Problem { connect: None, tls: None } => {
                    failure_of(FailureKind::Connect, format_args!("connect {address}"), &error)
                }
            })
        }
        Err(_) => {
            Err(Failure::Failed(FailureKind::Timeout, format!("connect {address}: no answer within the timeout")))
        }
    }
}

/// What an error at `what` means, which would be a `kind` of the broker's.
pub(crate) fn failure_of(kind: FailureKind, what: impl std::fmt::Display, error: &lapin::Error) -> Failure {
    match error.kind() {
        // The library starts a thread for each connection; nothing else that it hands on says EAGAIN.
        ErrorKind::IOError(error) if error.raw_os_error() == Some(rustix::io::Errno::AGAIN.raw_os_error()) => {
            Failure::Unmade(GeneratorFault::of_spawn(error))
        }
        ErrorKind::IOError(error) => Failure::of_error(kind, what, error),
        _ => Failure::Failed(kind, format!("{what}: {}", describe(error))),
    }
}

/// What went wrong, without a word of the broker's.
pub(crate) fn describe(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => format!("AMQP error {}", reply(error.get_id())),
        ErrorKind::IOError(error) => error.to_string(),
        ErrorKind::MissingHeartbeatError => "no heartbeat from the broker".to_owned(),
        ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_) => "what came is not AMQP 0-9-1".to_owned(),
        _ => "the connection has ended".to_owned(),
    }
}

/// A reply code and what it means (AMQP 0-9-1, 1.2, with RabbitMQ's use of it).
pub(crate) fn reply(code: u16) -> String {
    let meaning = match code {
        311 => "content too large",
        312 => "no route: no queue is bound for this exchange and routing key",
        313 => "no consumers",
        320 => "connection forced: the broker shuts down",
        402 => "invalid path",
        403 => "access refused: user, password or permissions",
        404 => "not found: exchange or queue",
        405 => "resource locked",
        406 => "precondition failed: it exists with other properties",
        501 => "frame error",
        504 => "channel error",
        530 => "not allowed: virtual host or limits",
        540 => "not implemented",
        541 => "internal error of the broker",
        _ => return code.to_string(),
    };
    format!("{code}, {meaning}")
}
