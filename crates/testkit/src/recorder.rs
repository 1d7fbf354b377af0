//! A target that remembers every request: what a load generator says it sent is compared with this.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What has come.
#[derive(Debug, Default)]
struct Seen {
    /// Requests by their `traceparent`.
    traces: BTreeMap<String, u64>,
    /// Requests by their path.
    paths: BTreeMap<String, u64>,
}

/// Answers every GET with an empty 200, and counts requests by their `traceparent` and by their path.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Recorder {
    /// Listens on a free port of 127.0.0.1 until the process ends.
    ///
    /// # Errors
    /// The port or the thread.
    pub fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let counted = Arc::clone(&seen);
        std::thread::Builder::new().name("recorder".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = Arc::clone(&counted);
                // One that cannot be served is closed, which the other side sees.
                let _ = std::thread::Builder::new().spawn(move || serve(&stream, &counted));
            }
        })?;
        Ok(Self { address, seen })
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// How many requests have come.
    pub fn requests(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).paths.values().sum()
    }

    /// How many requests have come for this path.
    pub fn requests_for(&self, path: &str) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).paths.get(path).copied().unwrap_or(0)
    }

    /// Traces that came more than once, and how often.
    pub fn repeated(&self) -> Vec<(String, u64)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.traces.iter().filter(|(_, count)| **count > 1).map(|(trace, count)| (trace.clone(), *count)).collect()
    }
}

fn serve(stream: &TcpStream, seen: &Mutex<Seen>) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let (mut trace, mut path) = (String::new(), String::new());
    loop {
        line.clear();
        if !matches!(reader.read_line(&mut line), Ok(read) if read > 0) {
            return;
        }
        let text = line.trim_end();
        if let Some(rest) = text.strip_prefix("GET ") {
            rest.split(' ').next().unwrap_or_default().clone_into(&mut path);
        } else if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("traceparent")
        {
            value.trim().clone_into(&mut trace);
        }
        if text.is_empty() {
            let (of_request, of_path) = (std::mem::take(&mut trace), std::mem::take(&mut path));
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            *seen.traces.entry(of_request).or_default() += 1;
            *seen.paths.entry(of_path).or_default() += 1;
            drop(seen);
            if (&*stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    }
}
