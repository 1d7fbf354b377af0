//! Waiting for a state instead of sleeping.

use std::fs::File;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Asks `probe` every 5 ms until it gives something or `deadline` (from now) has passed; then `None`.
pub async fn eventually<T, F>(deadline: Duration, mut probe: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    let until = Instant::now() + deadline;
    loop {
        if let Some(found) = probe().await {
            return Some(found);
        }
        if Instant::now() >= until {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The ports that [`free_port`] gives: below those that the kernel gives to whoever connects or asks for any.
const KEPT_PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A TCP port of 127.0.0.1 that is free and stays so for whoever asked, while nobody listens there, too: a server that
/// was killed finds it again. No other process of tests gets it for as long as this one lives.
///
/// # Errors
/// No file of locks can be written, or all are taken.
pub fn free_port() -> std::io::Result<u16> {
    static KEPT: Mutex<Vec<File>> = Mutex::new(Vec::new());
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let directory = std::env::temp_dir().join("nuncius-test-ports");
    std::fs::create_dir_all(&directory)?;
    let count = u32::from(KEPT_PORTS.end - KEPT_PORTS.start);
    for _ in 0..count {
        // Processes begin apart.
        let at = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count;
        let port = KEPT_PORTS.start + u16::try_from(at).unwrap_or(0);
        let file = File::options().create(true).append(true).open(directory.join(port.to_string()))?;
        // The lock ends with the process, however that ends.
        if file.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(file);
            return Ok(port);
        }
    }
    Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, format!("none of the ports {KEPT_PORTS:?} is free")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let ports: std::collections::BTreeSet<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 50);
    }

    #[tokio::test]
    async fn eventually_stops_at_the_first_answer_and_at_the_deadline() {
        let mut calls = 0;
        let found = eventually(Duration::from_secs(5), || {
            calls += 1;
            let answer = (calls == 3).then_some(calls);
            async move { answer }
        })
        .await;
        assert_eq!(found, Some(3));
        assert_eq!(eventually(Duration::from_millis(10), || async { None::<u8> }).await, None);
    }
}
