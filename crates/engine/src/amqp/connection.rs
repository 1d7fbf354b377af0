//! Connections to a broker, to whichever of its addresses answers, and what their errors are to a run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::ErrorKind;
use lapin::uri::AMQPUri;
use nuncius_amqp::{Link, OpenError, Socket, describe};
use nuncius_schemas::fault::GeneratorFault;
use nuncius_schemas::metric::FailureKind;
use tokio_rustls::TlsConnector;

use crate::connect::ConnectError;
use crate::failure::Failure;
use crate::plan::upstream::Upstream;
use crate::tls::{self, Tls};

/// How a broker is reached.
pub(crate) struct Access {
    uri: AMQPUri,
    upstream: Arc<Upstream>,
    tls: Option<Tls>,
    timeout: Duration,
    name: String,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address that lapin is given holds the password.
        f.debug_struct("Access").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

impl Access {
    /// Of a group that has this name.
    pub(crate) fn of(
        (uri, upstream, tls): (AMQPUri, Arc<Upstream>, Option<Tls>),
        timeout_ns: u64,
        group: &str,
    ) -> Self {
        Self { uri, upstream, tls, timeout: Duration::from_nanos(timeout_ns), name: format!("nuncius {group}") }
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
    let Some(host) = access.upstream.now().get(host).cloned() else {
        return Err(Failure::new(FailureKind::Resolve, "no address"));
    };
    let address = host.address;
    let problem = Arc::new(Mutex::new(Problem::default()));
    let (its_access, its_problem) = (Arc::clone(access), Arc::clone(&problem));
    let connector = async move |socket: &Socket| {
        let noted = || its_problem.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failed = ConnectError::default();
        let mut opened = None;
        for address in host.order() {
            match nuncius_amqp::connect(address).await {
                Ok(stream) => {
                    host.prefer(address);
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
        socket.keep(&stream)?;
        let Some(tls) = &its_access.tls else { return Ok(stream.into()) };
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        let secured = connector.connect(tls.server_name.clone(), stream).await.inspect_err(|error| {
            // What is missing for a session is no problem of the session.
            if GeneratorFault::of_error(error).is_none() {
                noted().tls = Some(tls::in_words(error));
            }
        })?;
        Ok(secured.into())
    };
    match nuncius_amqp::open(access.uri.clone(), &access.name, access.timeout, connector).await {
        Ok(link) => Ok(link),
        Err(OpenError::Failed(error)) => {
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
        Err(OpenError::Timeout) => {
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
