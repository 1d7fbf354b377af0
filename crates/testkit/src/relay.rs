//! A relay between two queues of a broker that loses, doubles and turns messages around: a process of Node.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout};

use crate::{TestkitError, node};

/// A relay from queue `in` to queue `out`; killed when it is dropped.
#[derive(Debug)]
pub struct Relay {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Relay {
    /// Starts one at the broker of this URL, for so many messages. The queues are there when this returns.
    ///
    /// # Errors
    /// There is no Node, or none of the packages that `scripts/setup --test` gets; or no broker.
    pub fn start(url: &str, messages: u64) -> Result<Self, TestkitError> {
        let mut process = node::start("relay.js", &[url, &messages.to_string()])?;
        let output = process.stdout.take();
        let Some(output) = output else { return Err(TestkitError::Start("relay.js: no output".to_owned())) };
        let mut relay = Self { process, output: BufReader::new(output) };
        match relay.line().trim() {
            "ready" => Ok(relay),
            other => Err(TestkitError::Start(format!("relay.js: {other}"))),
        }
    }

    /// What it has done, as JSON, once all messages have passed it.
    pub fn done(&mut self) -> String {
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.output.read_line(&mut line);
        line
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
