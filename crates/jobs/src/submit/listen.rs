//! What goes on beside submissions: results received, and the presence of the client.

use std::sync::Arc;
use std::time::Duration;

use nuncius_bus::Subscription;
use nuncius_schemas::codec;
use nuncius_schemas::job::JobResult;
use nuncius_schemas::subjects::{HEADER_TRACEPARENT, client_lease};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Inner;
use crate::spans;

/// Pause before a presence that was lost is claimed again.
const PRESENCE_PAUSE: Duration = Duration::from_millis(500);
/// How often is looked for results that a slow subscription lost.
const LOST_CHECK: Duration = Duration::from_secs(1);

/// Receives results; looks for lost ones when the connection was made anew or the subscription was too slow.
pub(super) async fn listen(inner: &Arc<Inner>, mut results: Subscription) {
    let mut link = inner.bus.link();
    let mut dropped = 0;
    let mut check = tokio::time::interval(LOST_CHECK);
    loop {
        tokio::select! {
            message = results.next() => {
                let Some(message) = message else { return };
                match codec::decode::<JobResult>(&message.payload) {
                    // What is published here was stored before: where two workers had it, it is the record that counts.
                    Ok(result) => {
                        let parent = message.headers.get(HEADER_TRACEPARENT);
                        let span = spans::receive_record(&inner.bus, &result.queue, &result.job, parent);
                        if !inner.deliver(result) {
                            // Told once more: it was received before.
                            span.forget();
                        }
                    }
                    Err(error) => tracing::warn!(%error, "a result cannot be read"),
                }
            }
            changed = link.changed() => {
                if changed.is_err() {
                    return;
                }
                if link.borrow_and_update().since.is_some() {
                    inner.recover().await;
                }
            }
            _ = check.tick() => {
                let now = inner.bus.events().slow_consumer.load(std::sync::atomic::Ordering::Relaxed);
                if now != dropped {
                    dropped = now;
                    inner.recover().await;
                }
                inner.look_again().await;
            }
        }
    }
}

/// Holds the lease that says that this client is there, until stopped.
pub(super) async fn be_present(inner: Arc<Inner>, stop: CancellationToken, told: oneshot::Sender<()>) {
    let bucket = inner.bus.namespace().bucket_lease();
    let key = client_lease(&inner.options.client);
    let mut told = Some(told);
    let mut has_warned = false;
    loop {
        let acquired = tokio::select! {
            () = stop.cancelled() => return,
            acquired = nuncius_bus::lease::acquire(&inner.bus, &bucket, &key, &inner.options.queue) => acquired,
        };
        match acquired {
            Ok(Some(lease)) => {
                if let Some(told) = told.take() {
                    let _ = told.send(());
                }
                tokio::select! {
                    () = stop.cancelled() => {
                        if let Err(error) = lease.release().await {
                            tracing::debug!(%error, "presence not given back: it runs out");
                        }
                        return;
                    }
                    () = lease.lost() => {}
                }
            }
            Ok(None) if has_warned => {}
            Ok(None) => {
                has_warned = true;
                let client = &inner.options.client;
                tracing::warn!(
                    client,
                    "another client has this name: waiting until it ends (10 s, where it crashed), or choose another name"
                );
            }
            Err(error) => tracing::debug!(%error, key, "presence not claimed yet"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PRESENCE_PAUSE) => {}
        }
    }
}
