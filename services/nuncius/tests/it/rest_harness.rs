//! A gateway as a process, and a plain HTTP client of its REST interface.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{PATIENCE, Process, System};

/// A gateway.
pub(crate) struct Face {
    pub(crate) process: Process,
    pub(crate) address: String,
    /// Of Galileo's interface.
    pub(crate) galileo: String,
}

impl Face {
    pub(crate) fn start(system: &System, arguments: &[&str]) -> Self {
        Self::start_at(system, "127.0.0.1:0", arguments)
    }

    /// The same where another one was.
    pub(crate) fn start_at(system: &System, listen: &str, arguments: &[&str]) -> Self {
        let mut command = system.command(&["gateway", "--listen", listen, "--galileo", "127.0.0.1:0"]);
        command.args(arguments).stdout(Stdio::piped());
        let log = system.directory.path().join(format!("gateway-{}.log", fastrand::u32(..)));
        let mut process = Process::start(&mut command, &log);
        let mut lines = BufReader::new(process.child.stdout.take().unwrap()).lines();
        let mut place = |what: &str| {
            let line = lines.next().unwrap_or_else(|| panic!("{}", std::fs::read_to_string(&log).unwrap())).unwrap();
            line.strip_prefix(what).unwrap_or_else(|| panic!("{line}")).split('/').next().unwrap().to_owned()
        };
        place("metrics at http://");
        Self { address: place("open http://"), galileo: place("Galileo's interface at http://"), process }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, Value) {
        ask(&self.address, method, path, headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, "", "")
    }
}

/// The status, and the body as JSON; as text where it is none.
pub(crate) fn ask(address: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, Value) {
    let (status, _, body) = exchange(address, method, path, headers, body.as_bytes());
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    (status, serde_json::from_slice(&body).unwrap_or_else(|_| text()))
}

/// The status, the head and the body.
pub(crate) fn exchange(address: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\nhost: {address}\r\ncontent-length: {length}\r\n{headers}\r\n").unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("{method} {path}: {:?}", String::from_utf8_lossy(&answer)));
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    (status, head, answer[end + 4..].to_vec())
}

/// An event of a live stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// Reads a live stream while `wanted` says so; the events, the last one included. The end of the connection ends it,
/// too.
pub(crate) fn follow(
    address: &str,
    path: &str,
    after: Option<&str>,
    mut wanted: impl FnMut(&Told) -> bool,
) -> Vec<Told> {
    let Ok(mut stream) = TcpStream::connect(address) else { return Vec::new() };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let after = after.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n{after}\r\n").unwrap();
    let (mut all, mut id, mut name) = (Vec::new(), String::new(), String::new());
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if let Some(value) = line.strip_prefix("id: ") {
            value.clone_into(&mut id);
        } else if let Some(value) = line.strip_prefix("event: ") {
            value.clone_into(&mut name);
        } else if let Some(value) = line.strip_prefix("data: ") {
            let told = Told { id: id.clone(), name: name.clone(), data: serde_json::from_str(value).unwrap() };
            let goes_on = wanted(&told);
            all.push(told);
            if !goes_on {
                break;
            }
        }
    }
    all
}
