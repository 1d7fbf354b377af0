//! A service that books appointments, with a login, an API and rooms over real Socket.IO: a process of Node.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Child;
use std::time::Duration;

use crate::{TestkitError, node};

/// Where it serves Socket.IO.
pub const SOCKETIO_PATH: &str = "/api/v1/socket.io";

/// Which server of Socket.IO it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketIoVersion {
    /// Version 2: Engine.IO 3.
    V2,
    /// Version 4: Engine.IO 4.
    V4,
}

/// A service on a free port of 127.0.0.1; killed when it is dropped.
#[derive(Debug)]
pub struct Booking {
    process: Child,
    address: SocketAddr,
}

impl Booking {
    /// Starts one.
    ///
    /// # Errors
    /// There is no Node, or none of the packages that `scripts/setup --test` gets.
    pub fn start(version: SocketIoVersion) -> Result<Self, TestkitError> {
        let package = match version {
            SocketIoVersion::V2 => "socket.io-2",
            SocketIoVersion::V4 => "socket.io-4",
        };
        let mut process = node::start("booking.js", &[package, SOCKETIO_PATH])?;
        let mut line = String::new();
        let read = process.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
        let port = line.trim().parse::<u16>().ok().filter(|_| matches!(read, Some(Ok(_))));
        let Some(port) = port else {
            let _ = process.kill();
            let _ = process.wait();
            return Err(TestkitError::Start(format!("booking.js told no port: {line}")));
        };
        Ok(Self { process, address: ([127, 0, 0, 1], port).into() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has counted, as JSON.
    ///
    /// # Errors
    /// It does not answer.
    pub fn counts(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /counts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
