//! A TCP link that can be cut, mended, held up and slowed down, between whatever a test puts at its two ends.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Chunks on their way in one direction of a connection: what more comes waits at its sender, as on a real link.
const CHUNKS_MAX: usize = 4096;

/// What the link does now.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    is_cut: bool,
    is_stalled: bool,
    /// One way.
    delay: Duration,
    /// Counts cuts: connections of before the last one are gone, also where it was mended at once.
    cuts: u64,
}

/// A TCP link to `target`, listening on a free port of 127.0.0.1 until it is dropped. It has a thread of its own, so
/// that it works while a test waits for a child process.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
}

impl Proxy {
    /// Starts a link to `target`; nobody need listen there yet.
    ///
    /// # Errors
    /// When no port or no thread is to be had.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        Self::on(std::net::TcpListener::bind(("127.0.0.1", 0))?, target)
    }

    /// The same where a listener is there already.
    ///
    /// # Errors
    /// When no thread is to be had.
    pub fn on(listener: std::net::TcpListener, target: SocketAddr) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (state, seen) = watch::channel(State::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || runtime.block_on(accept(listener, target, seen)))?;
        Ok(Self { address, state })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as `nats://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Ends all connections at once, and new ones as soon as they are made.
    pub fn cut(&self) {
        self.state.send_modify(|state| {
            state.is_cut = true;
            state.cuts += 1;
        });
    }

    /// Ends all connections; new ones are taken at once.
    pub fn drop_connections(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Connections stay open and nothing passes, as where a cable is pulled.
    pub fn stall(&self) {
        self.state.send_modify(|state| state.is_stalled = true);
    }

    /// Mends what was cut, lets pass what was held up.
    pub fn restore(&self) {
        self.state.send_modify(|state| {
            state.is_cut = false;
            state.is_stalled = false;
        });
    }

    /// Every byte takes this long one way, from now on; a round trip takes twice as long.
    pub fn set_delay(&self, one_way: Duration) {
        self.state.send_modify(|state| state.delay = one_way);
    }
}

async fn accept(listener: std::net::TcpListener, target: SocketAddr, state: watch::Receiver<State>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut ended = state.clone();
    loop {
        tokio::select! {
            // The sender is gone: the link goes with it, and its connections with the runtime.
            () = async { drop(ended.wait_for(|_| false).await) } => return,
            accepted = listener.accept() => {
                let Ok((near, _)) = accepted else { continue };
                let seen = state.borrow().to_owned();
                if !seen.is_cut {
                    tokio::spawn(carry(near, target, seen.cuts, state.clone()));
                }
            }
        }
    }
}

async fn carry(near: TcpStream, target: SocketAddr, cuts: u64, state: watch::Receiver<State>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (from_near, to_near) = near.into_split();
    let (from_far, to_far) = far.into_split();
    let mut cut = state.clone();
    tokio::select! {
        _ = cut.wait_for(|state| state.is_cut || state.cuts != cuts) => {}
        () = pass(from_near, to_far, state.clone()) => {}
        () = pass(from_far, to_near, state) => {}
    }
}

/// One direction, until either end closes it.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: watch::Receiver<State>) {
    let (sender, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let delays = state.clone();
    let read = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + delays.borrow().delay;
            let chunk = buffer.get(..count).unwrap_or_default().to_vec();
            if sender.send((due, chunk)).await.is_err() {
                return;
            }
        }
    };
    let mut stalled = state;
    let write = async move {
        while let Some((due, chunk)) = chunks.recv().await {
            tokio::time::sleep_until(due).await;
            if stalled.wait_for(|state| !state.is_stalled).await.is_err() || to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// Sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
            }
        });
        address
    }

    fn connect(proxy: &Proxy) -> std::net::TcpStream {
        let stream = std::net::TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn answers(stream: &mut std::net::TcpStream) -> bool {
        let mut answer = [0; 4];
        stream.write_all(b"ping").is_ok() && stream.read_exact(&mut answer).is_ok() && answer == *b"ping"
    }

    #[test]
    fn a_link_is_cut_and_mended() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = connect(&proxy);
        assert!(answers(&mut stream));
        proxy.cut();
        assert!(!answers(&mut stream), "the connection is gone");
        assert!(!answers(&mut connect(&proxy)), "and no other is to be had");
        proxy.restore();
        assert!(answers(&mut connect(&proxy)));
        let mut stream = connect(&proxy);
        assert!(answers(&mut stream));
        proxy.drop_connections();
        assert!(!answers(&mut stream) && answers(&mut connect(&proxy)));
    }

    #[test]
    fn what_is_held_up_comes_once_the_link_is_mended_and_a_delay_counts_both_ways() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = connect(&proxy);
        assert!(answers(&mut stream));
        proxy.stall();
        stream.write_all(b"ping").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut answer = [0; 4];
        assert!(stream.read_exact(&mut answer).is_err());
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        proxy.restore();
        stream.read_exact(&mut answer).unwrap();
        proxy.set_delay(Duration::from_millis(50));
        let asked = std::time::Instant::now();
        assert!(answers(&mut stream));
        assert!(asked.elapsed() >= Duration::from_millis(100));
    }
}
