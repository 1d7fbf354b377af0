//! Waiting longer each time, never in step with the others.

use std::time::Duration;

/// Doubles from `first` to `most`, each time drawn between half and the whole of it.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    attempt: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, attempt: 0 }
    }

    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }

    pub(crate) async fn wait(&mut self) {
        let delay = jittered(self.first, self.most, self.attempt);
        self.attempt = self.attempt.saturating_add(1);
        tokio::time::sleep(delay).await;
    }
}

/// The delay before attempt `attempt` (0 is the first).
pub(crate) fn jittered(first: Duration, most: Duration, attempt: u32) -> Duration {
    let whole = first.saturating_mul(1_u32.checked_shl(attempt.min(20)).unwrap_or(u32::MAX)).min(most);
    whole.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_limit_and_differ() {
        let (first, most) = (Duration::from_millis(10), Duration::from_secs(4));
        let delays: Vec<Duration> = (0..40).map(|attempt| jittered(first, most, attempt)).collect();
        assert!(delays[0] <= first && delays[0] >= first / 2);
        assert!(delays.iter().all(|delay| *delay <= most));
        assert!(delays[39] >= most / 2);
        assert_ne!(jittered(first, most, 30), jittered(first, most, 30));
    }
}
