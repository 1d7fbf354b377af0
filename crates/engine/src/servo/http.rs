//! Events over HTTP/1.1: a POST on a connection that is kept open, of a pool that the servos of a thread share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::servo::ServoConnections;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::transport::{Order, Reply};
use crate::connect::connect;
use crate::http::response::{Progress, ResponseReader};
use crate::plan::{GroupPlan, Host, ServoPlan, Spread};
use crate::trouble::Trouble;

/// Most connections of a thread whose servos share them.
pub(super) const POOL_CONNECTIONS: usize = 64;
/// Longest answer, in bytes.
const ANSWER_MAX_BYTES: usize = 256 * 1024;
/// What a connection at rest may keep allocated, in bytes.
const BUFFER_KEPT_BYTES: usize = 4 * 1024;
const FIELDS_MAX: usize = 128;

struct Connection {
    host: usize,
    socket: TcpStream,
    buffer: Vec<u8>,
}

/// The connections of a thread.
pub(super) struct Http {
    hosts: Arc<[Host]>,
    spread: Spread,
    /// Events sent, which tells the host of the next one where servos share connections.
    events: Cell<u64>,
    permits: Semaphore,
    is_per_servo: bool,
    /// At rest, of each host; the one used last is used first.
    idle: RefCell<Vec<Vec<Connection>>>,
    /// At rest, each of its servo.
    own: RefCell<HashMap<u32, Connection>>,
    /// Everything of a head that is the same in all.
    prefix: String,
    fields: String,
}

impl Http {
    pub(super) fn new(plan: &ServoPlan, group: &GroupPlan, servos: usize) -> Self {
        let is_per_servo = plan.options.connections == ServoConnections::PerServo;
        let mut fields = String::new();
        for (name, value) in &plan.headers {
            fields.push_str(&format!("{name}: {value}\r\n"));
        }
        Self {
            hosts: Arc::clone(&group.hosts),
            spread: group.spread.clone(),
            events: Cell::new(0),
            permits: Semaphore::new(if is_per_servo { servos.max(1) } else { POOL_CONNECTIONS }),
            is_per_servo,
            idle: RefCell::new(group.hosts.iter().map(|_| Vec::new()).collect()),
            own: RefCell::new(HashMap::new()),
            prefix: plan.path.clone(),
            fields,
        }
    }

    /// Writes an event and reads its answer: status and body. `sent` is told once all of it is written.
    pub(super) async fn exchange(&self, order: &Order, sent: impl Fn()) -> Result<Reply, Trouble> {
        let closed = |problem: &str| Trouble::target(FailureKind::Closed, problem);
        let _permit = self.permits.acquire().await.map_err(|_| closed("the pool of connections is closed"))?;
        let host = self.host_of(order.servo);
        let mut connection = match self.take(order.servo, host) {
            Some(connection) => connection,
            None => self.open(host).await?,
        };
        let request = self.request(order);
        let written = connection.socket.write_all(request.as_bytes()).await;
        written.map_err(|error| Trouble::of_error(FailureKind::Closed, "write", &error))?;
        sent();
        if order.drops {
            return Err(closed("closed on purpose, before the answer"));
        }
        let (status, body, keeps) = read(&mut connection).await?;
        let reply =
            Reply { status, body, written_bytes: request.len() as u64, read_bytes: connection.buffer.len() as u64 };
        if keeps {
            self.rest(order.servo, connection);
        }
        Ok(reply)
    }

    /// A servo with a connection of its own stays with its host; the events of the others are shared over all.
    fn host_of(&self, servo: u32) -> usize {
        if self.is_per_servo {
            return self.spread.host(u64::from(servo));
        }
        let event = self.events.get();
        self.events.set(event.wrapping_add(1));
        self.spread.host(event)
    }

    fn take(&self, servo: u32, host: usize) -> Option<Connection> {
        loop {
            let connection = match self.is_per_servo {
                true => self.own.borrow_mut().remove(&servo),
                false => self.idle.borrow_mut().get_mut(host).and_then(Vec::pop),
            }?;
            // Nothing was asked for: bytes or an end mean that it cannot be used any more.
            if matches!(connection.socket.try_read(&mut [0u8; 1]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
            {
                return Some(connection);
            }
        }
    }

    fn rest(&self, servo: u32, mut connection: Connection) {
        connection.buffer.clear();
        connection.buffer.shrink_to(BUFFER_KEPT_BYTES);
        match self.is_per_servo {
            true => drop(self.own.borrow_mut().insert(servo, connection)),
            false => {
                let mut idle = self.idle.borrow_mut();
                if let Some(idle) = idle.get_mut(connection.host) {
                    idle.push(connection);
                }
            }
        }
    }

    async fn open(&self, index: usize) -> Result<Connection, Trouble> {
        let host = self.hosts.get(index);
        let Some(host) = host else { return Err(Trouble::target(FailureKind::Resolve, "no address")) };
        let socket = connect(host).await?;
        Ok(Connection { host: index, socket, buffer: Vec::new() })
    }

    fn request(&self, order: &Order) -> String {
        let trace = order.traceparent.as_ref().map_or(String::new(), |value| format!("traceparent: {value}\r\n"));
        format!(
            "POST {}{}/servo HTTP/1.1\r\n{}{trace}Content-Length: {}\r\n\r\n{}",
            self.prefix,
            order.app,
            self.fields,
            order.body.len(),
            order.body
        )
    }
}

/// Status and body of the answer, and whether the connection may be used again.
async fn read(connection: &mut Connection) -> Result<(u16, Vec<u8>, bool), Trouble> {
    let protocol = |problem: String| Trouble::Target(FailureKind::Protocol, problem);
    let mut reader = ResponseReader::new();
    let mut fed = 0;
    loop {
        let read = connection.socket.read_buf(&mut connection.buffer).await;
        let read = read.map_err(|error| Trouble::of_error(FailureKind::Closed, "read", &error))?;
        if read == 0 {
            if !connection.buffer.is_empty() && reader.close() {
                break;
            }
            return Err(Trouble::target(FailureKind::Closed, "closed by the peer before the answer was complete"));
        }
        let progress = reader.feed(connection.buffer.get(fed..).unwrap_or_default());
        fed = connection.buffer.len();
        match progress.map_err(|error| protocol(error.to_string()))? {
            Progress::Complete { .. } => break,
            Progress::Partial if fed > ANSWER_MAX_BYTES => {
                return Err(protocol(format!("the answer has more than {ANSWER_MAX_BYTES} bytes")));
            }
            Progress::Partial => {}
        }
    }
    let body = body_of(&connection.buffer).ok_or_else(|| protocol("the answer has no body".to_owned()))?;
    Ok((reader.status(), body, reader.keeps_alive()))
}

/// The body of a complete answer.
fn body_of(mut bytes: &[u8]) -> Option<Vec<u8>> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(length) = response.parse(bytes).ok()? else { return None };
        let is_final = response.code.is_some_and(|code| code >= 200);
        let find = |name: &str| response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        let is_chunked = find("transfer-encoding").is_some();
        let sized = find("content-length").and_then(|field| std::str::from_utf8(field.value).ok()?.trim().parse().ok());
        bytes = bytes.get(length..)?;
        if is_final {
            return match sized {
                _ if is_chunked => unchunked(bytes),
                Some(size) => bytes.get(..size).map(<[u8]>::to_vec),
                None => Some(bytes.to_vec()),
            };
        }
    }
}

fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let httparse::Status::Complete((at, size)) = httparse::parse_chunk_size(bytes).ok()? else { return None };
        if size == 0 {
            return Some(body);
        }
        let end = at.checked_add(usize::try_from(size).ok()?)?;
        body.extend_from_slice(bytes.get(at..end)?);
        // The line end after the data.
        let rest = bytes.get(end..)?;
        bytes = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_what_its_head_says_whole_or_in_chunks() {
        let body = |text: &str| body_of(text.as_bytes()).map(|body| String::from_utf8(body).unwrap());
        assert_eq!(body("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").as_deref(), Some("{}"));
        let chunked = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x\r\n}\r\n0\r\n\r\n";
        assert_eq!(body(chunked).as_deref(), Some("{}"));
        assert_eq!(body("HTTP/1.1 204 No\r\n\r\n").as_deref(), Some(""));
        assert_eq!(body("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"), None);
    }
}
