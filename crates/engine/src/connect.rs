//! Opening connections: which addresses of a host are tried, in which order, and what is said when none answers.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nuncius_schemas::fault::GeneratorFault;
use nuncius_schemas::metric::FailureKind;
use tokio::net::TcpStream;

use crate::failure::Failure;
use crate::host::Host;

/// How long an address has before the next one is tried beside it (RFC 8305, 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Every address has at least this long when a target is looked for before the start.
const REACH_MIN: Duration = Duration::from_millis(50);

/// Why no address of a host was reached: each that was tried, with what the system said.
#[derive(Debug, Default)]
pub(crate) struct ConnectError {
    tried: Vec<(SocketAddr, io::Error)>,
}

impl ConnectError {
    /// One more that was tried.
    pub(crate) fn add(&mut self, address: SocketAddr, error: io::Error) {
        self.tried.push((address, error));
    }

    /// How many addresses were tried.
    pub(crate) fn len(&self) -> usize {
        self.tried.len()
    }
}

impl From<ConnectError> for Failure {
    /// The generator's own fault where one of the attempts failed for it; a wait that ended where all of them did.
    fn from(error: ConnectError) -> Self {
        if let Some(fault) = error.tried.iter().find_map(|(_, error)| GeneratorFault::of_error(error)) {
            return Self::Unmade(fault);
        }
        let is_wait = error.tried.iter().all(|(_, error)| error.kind() == io::ErrorKind::TimedOut);
        Self::Failed(if is_wait { FailureKind::Timeout } else { FailureKind::Connect }, error.to_string())
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "connect ";
        for (address, error) in &self.tried {
            write!(f, "{separator}{address}: {error}")?;
            separator = ", then ";
        }
        Ok(())
    }
}

/// Opens a connection to a host: its addresses in their order, the next one as soon as one has failed or has not
/// answered for a while; the first that answers is used, and tried first from then on.
///
/// # Errors
/// All that were tried, once the last of them has failed.
pub(crate) async fn connect(host: &Host) -> Result<TcpStream, ConnectError> {
    let mut left = host.order();
    let mut under_way = FuturesUnordered::new();
    let mut failed = ConnectError::default();
    loop {
        match left.next() {
            Some(address) => under_way.push(attempt(address)),
            None if under_way.is_empty() => return Err(failed),
            None => {}
        }
        let has_more = left.len() > 0;
        let ended = tokio::select! {
            ended = under_way.next() => ended,
            () = tokio::time::sleep(STAGGER), if has_more => None,
        };
        match ended {
            Some((address, Ok(socket))) => {
                host.prefer(address);
                return Ok(socket);
            }
            Some((address, Err(error))) => failed.add(address, error),
            None => {}
        }
    }
}

/// Whether one of the hosts accepts a connection: those of one host in their order, then the next host. Blocks. A host
/// without addresses of another family is left as it is; of the others the address that answers is tried first from
/// then on.
///
/// # Errors
/// All that were tried.
pub(crate) fn reach(hosts: &[&Host], patience: Duration) -> Result<(), ConnectError> {
    let mut failed = ConnectError::default();
    let deadline = std::time::Instant::now() + patience;
    let mut left: usize = hosts.iter().map(|host| host.len()).sum();
    let mut is_reached = hosts.is_empty();
    for host in hosts {
        // Which family answers is found out for each host before load is offered.
        if is_reached && host.len() == 1 {
            continue;
        }
        for address in host.order() {
            let time =
                deadline.saturating_duration_since(std::time::Instant::now()) / u32::try_from(left).unwrap_or(1).max(1);
            left = left.saturating_sub(1);
            match std::net::TcpStream::connect_timeout(&address, time.max(REACH_MIN)) {
                Ok(_) => {
                    host.prefer(address);
                    is_reached = true;
                    break;
                }
                Err(error) => failed.add(address, error),
            }
        }
    }
    if is_reached { Ok(()) } else { Err(failed) }
}

async fn attempt(address: SocketAddr) -> (SocketAddr, io::Result<TcpStream>) {
    let opened = async {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    };
    (address, opened.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed_address() -> SocketAddr {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn the_other_family_is_tried_and_remembered_and_an_error_names_all_that_were_tried() {
        let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
        let (dead, alive) = (closed_address(), listener.local_addr().unwrap());
        let host = Host::new(dead, vec![alive], 1);
        assert_eq!(connect(&host).await.unwrap().peer_addr().unwrap(), alive);
        assert_eq!(host.order().next(), Some(alive));
        drop(listener);
        let error = connect(&host).await.unwrap_err().to_string();
        assert!(error.contains(&dead.to_string()) && error.contains(&alive.to_string()), "{error}");
    }
}
