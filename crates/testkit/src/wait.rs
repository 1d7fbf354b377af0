//! Waiting for a state instead of sleeping.

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

/// A TCP port of 127.0.0.1 that was free a moment ago. Prefer letting the server choose where it can.
pub fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

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
