//! Listening, connections, and those that stall.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper::{Request, Version, body::Incoming};
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use nuncius_serve::watched::Watched;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::answer::Stub;
use super::error::StubError;

/// Between two looks at who stalls.
const SWEEP: Duration = Duration::from_secs(1);
/// After an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// How often a silent HTTP/2 connection is pinged.
const PING_PERIOD: Duration = Duration::from_secs(30);

/// Nothing of a request has been read.
const IDLE: u64 = 0;
/// A request has been read and is being answered.
const BUSY: u64 = u64::MAX;

/// A connection as the sweep sees it. A timer for each request's head would cost every request; one number does not.
struct Connection {
    stub: Arc<Stub>,
    /// [`IDLE`], [`BUSY`], or the sweep in which the first bytes of a head were read.
    reading_since: AtomicU64,
    /// The number of the current sweep, shared by all.
    sweep: Arc<AtomicU64>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stub.counters.connections.down();
    }
}

impl Connection {
    fn has_read(&self) {
        if self.reading_since.load(Ordering::Relaxed) == IDLE {
            self.reading_since.store(self.sweep.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

async fn talk(stream: TcpStream, connection: Arc<Connection>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let told = Arc::clone(&connection);
    let watched = Watched::new(stream, move || told.has_read());
    let service = service_fn(move |request: Request<Incoming>| {
        let connection = Arc::clone(&connection);
        async move {
            let has_streams = request.version() == Version::HTTP_2;
            connection.reading_since.store(BUSY, Ordering::Relaxed);
            let response = connection.stub.answer(request).await;
            // What is read of HTTP/2 need not be the beginning of a request: its pings tell who is gone.
            if !has_streams {
                connection.reading_since.store(IDLE, Ordering::Relaxed);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let streams = Streams(CancellationToken::new());
    let _ended = streams.0.clone().drop_guard();
    let mut builder = auto::Builder::new(streams);
    // Without a timer hyper sets none for the head; the sweep looks after that.
    builder.http1().header_read_timeout(None);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING_PERIOD);
    if let Err(error) = builder.serve_connection(watched, service).await {
        tracing::debug!(%error, "connection ended");
    }
}

/// Runs the streams of one HTTP/2 connection, each as a task that ends with the connection.
#[derive(Debug, Clone)]
struct Streams(CancellationToken);

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let ended = self.0.clone();
        tokio::spawn(async move { ended.run_until_cancelled(stream).await.map(drop) });
    }
}

/// Accepts until `shutdown`, then closes everything.
pub(crate) async fn serve(
    listener: TcpListener,
    stub: Arc<Stub>,
    shutdown: CancellationToken,
) -> Result<(), StubError> {
    // Tasks of their own: a wake-up of the clock must not drag the listener along.
    let mut timers = JoinSet::new();
    let clock = Arc::clone(&stub);
    timers.spawn(async move { clock.clock.drive().await });
    let wall = Arc::clone(&stub);
    timers.spawn(async move { wall.wall.drive().await });
    let freezes = Arc::clone(&stub);
    timers.spawn(async move {
        freezes.keep_freezes().await;
        Ok(())
    });
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        ended = timers.join_next() => Err(match ended {
            Some(Ok(Err(error))) => StubError::Timer(error),
            _ => StubError::Ended("a timer's task ended".to_owned()),
        }),
        () = accept(&listener, &stub) => Ok(()),
    }
}

async fn accept(listener: &TcpListener, stub: &Arc<Stub>) {
    // Dropped with this future, which ends every connection.
    let mut tasks = JoinSet::new();
    let mut connections: HashMap<Id, (Arc<Connection>, AbortHandle)> = HashMap::new();
    let sweep = Arc::new(AtomicU64::new(1));
    let patience = stub.config.read_timeout.as_secs().max(1);
    let mut sweeps = tokio::time::interval(SWEEP);
    sweeps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let counters = &stub.counters;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    counters.connections_accepted.fetch_add(1, Ordering::Relaxed);
                    if connections.len() as u64 >= u64::from(stub.config.max_connections) {
                        if counters.connections_refused.fetch_add(1, Ordering::Relaxed) == 0 {
                            let max_connections = stub.config.max_connections;
                            tracing::warn!(max_connections, "the stub closes connections beyond its limit max_connections");
                        }
                        continue;
                    }
                    counters.connections.up();
                    let connection = Arc::new(Connection {
                        stub: Arc::clone(stub),
                        reading_since: AtomicU64::new(IDLE),
                        sweep: Arc::clone(&sweep),
                    });
                    let abort = tasks.spawn(talk(stream, Arc::clone(&connection)));
                    connections.insert(abort.id(), (connection, abort));
                }
                Err(error) => {
                    tracing::warn!(%error, "the stub could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = tasks.join_next_with_id() => {
                let id = match &ended {
                    Ok((id, ())) => *id,
                    Err(error) => error.id(),
                };
                connections.remove(&id);
            }
            _ = sweeps.tick() => {
                let now = sweep.fetch_add(1, Ordering::Relaxed) + 1;
                for (connection, abort) in connections.values() {
                    let since = connection.reading_since.load(Ordering::Relaxed);
                    if since != IDLE && since != BUSY && now.saturating_sub(since) > patience {
                        abort.abort();
                    }
                }
            }
        }
    }
}
