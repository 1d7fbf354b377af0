//! A network of its own from which one address can be reached, and nothing else.

use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Proxy;

type Order = (Command, mpsc::SyncSender<io::Result<Child>>);

/// A network namespace with a loopback and no other interface: what listens on it outside does not exist in here, but
/// for one address, which is relayed. Needs root.
#[derive(Debug)]
pub struct Island {
    way_out: Proxy,
    orders: mpsc::Sender<Order>,
    /// Holds the namespace.
    holder: Child,
}

impl Island {
    /// A network from which only `target`, which is outside, can be reached.
    ///
    /// # Errors
    /// Without the right to make one, and where a program is missing (`unshare`, `ip`).
    pub fn with_way_to(target: SocketAddr) -> io::Result<Self> {
        let mut holder = Command::new("unshare")
            .args(["-n", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = holder.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        if line.trim() != "up" {
            let _ = holder.wait();
            return Err(io::Error::other("there is no network of its own to be had: be root, have unshare and ip"));
        }
        let network = std::fs::File::open(format!("/proc/{}/ns/net", holder.id()))?;
        let (orders, received) = mpsc::channel::<Order>();
        let (bound, listener) = mpsc::sync_channel(1);
        // A thread of its own moves there; what it starts is there, too.
        std::thread::Builder::new().name("island".to_owned()).spawn(move || {
            let moved = move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network));
            let listener = moved.map_err(io::Error::from).and_then(|()| TcpListener::bind(("127.0.0.1", 0)));
            let is_there = listener.is_ok();
            let _ = bound.send(listener);
            while let (true, Ok((mut command, answer))) = (is_there, received.recv()) {
                let _ = answer.send(command.spawn());
            }
        })?;
        let listener = listener.recv().map_err(io::Error::other)??;
        // A socket stays in the network that it was made in; the relay dials from outside.
        let way_out = Proxy::on(listener, target)?;
        Ok(Self { way_out, orders, holder })
    }

    /// Where the way out begins, for those in here.
    pub fn address(&self) -> SocketAddr {
        self.way_out.address()
    }

    /// Starts a program in here.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn spawn(&self, command: Command) -> io::Result<Child> {
        let (answer, started) = mpsc::sync_channel(1);
        self.orders.send((command, answer)).map_err(|_| io::Error::other("the island is gone"))?;
        started.recv().map_err(io::Error::other)?
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
