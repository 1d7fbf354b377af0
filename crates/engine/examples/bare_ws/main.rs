//! The baseline of the WebSocket cells of `scripts/bench`, tokio-tungstenite alone: a server that sends back what it
//! gets, and a client whose connections each send a message, wait for it and send the next.
//!
//! `bare_ws serve` listens on a free port of this machine, says where, and says `open=N` whenever N connections are
//! open, for each hundred. `bare_ws echo ADDRESS CONNECTIONS SECONDS` is the client. Each is one thread, as a node with
//! `--threads 1` is.
#![allow(clippy::print_stdout, reason = "it is a program")]

mod echo;
mod serve;

use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args_os().skip(1).filter_map(|text| text.into_string().ok()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = async {
        match *arguments.as_slice() {
            ["serve"] => serve::run().await,
            ["echo", address, connections, seconds] => {
                echo::run(address, connections.parse()?, Duration::from_secs(seconds.parse()?)).await
            }
            _ => Err("usage: bare_ws serve | echo ADDRESS CONNECTIONS SECONDS".into()),
        }
    };
    tokio::task::LocalSet::new().run_until(run).await
}
