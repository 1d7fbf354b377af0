//! Whether a nats-server answers, asked over a plain socket: no client, no runtime, no credentials.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether INFO comes from `address` (`host:port`).
pub(crate) fn info_answers(address: &str) -> bool {
    connected(address).is_ok_and(|mut lines| first_is_info(&mut lines))
}

/// Whether INFO comes and JetStream answers.
pub(crate) fn jetstream_answers(address: &str) -> bool {
    ask_jetstream(address).unwrap_or(false)
}

fn connected(address: &str) -> std::io::Result<BufReader<TcpStream>> {
    let mut last = std::io::Error::other("no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PROBE_TIMEOUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
                return Ok(BufReader::new(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn first_is_info(lines: &mut BufReader<TcpStream>) -> bool {
    let mut line = String::new();
    lines.read_line(&mut line).is_ok() && line.starts_with("INFO ")
}

fn ask_jetstream(address: &str) -> std::io::Result<bool> {
    let mut lines = connected(address)?;
    if !first_is_info(&mut lines) {
        return Ok(false);
    }
    lines.get_mut().write_all(
        b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n\
          SUB probe 1\r\nPUB $JS.API.INFO probe 0\r\n\r\nPING\r\n",
    )?;
    // PONG and PING may come in between.
    for line in lines.lines().take(8) {
        let line = line?;
        if line.starts_with("MSG probe") {
            return Ok(true);
        }
        if line.starts_with("HMSG") || line.starts_with("-ERR") {
            return Ok(false);
        }
    }
    Ok(false)
}
