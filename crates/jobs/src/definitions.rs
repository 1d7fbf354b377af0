//! A queue's definition as it stands, followed in the bucket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nuncius_bus::BusError;
use nuncius_bus::kv::{KvEvent, Operation};
use nuncius_schemas::codec;
use nuncius_schemas::queue::{QueueDefinition, check_queue_name};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{JobError, Queues};

/// A definition that is kept up to date; none while there is no such queue. Ends its task when dropped.
#[derive(Debug)]
pub struct Definition {
    current: watch::Receiver<Option<Arc<QueueDefinition>>>,
    removals: Arc<AtomicU64>,
    _stop: DropGuard,
}

impl Definition {
    /// Follows the definition of a queue, which need not be there yet.
    ///
    /// # Errors
    /// [`JobError::Queue`] for what cannot be a queue's name.
    pub async fn follow(queues: &Queues, queue: &str) -> Result<Self, JobError> {
        check_queue_name(queue)?;
        let mut watch = queues.bucket().watch(queue).await?;
        let (sender, current) = watch::channel(None);
        let removals = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let (stopped, removed) = (stop.clone(), Arc::clone(&removals));
        let name = queue.to_owned();
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    () = stopped.cancelled() => return,
                    event = watch.next() => event,
                };
                match event {
                    Ok(KvEvent::Entry(entry)) if entry.operation == Operation::Put => {
                        match codec::decode::<QueueDefinition>(&entry.value) {
                            Ok(definition) => {
                                sender.send_replace(Some(Arc::new(definition)));
                            }
                            Err(error) => tracing::warn!(queue = name, %error, "its definition cannot be read"),
                        }
                    }
                    Ok(KvEvent::Entry(_)) => {
                        removed.fetch_add(1, Ordering::Relaxed);
                        sender.send_replace(None);
                    }
                    Ok(KvEvent::Current) => {}
                    Err(BusError::Closed) => return,
                    // The watch waits by itself before it tries again.
                    Err(error) => tracing::debug!(queue = name, %error, "definition not followed at present"),
                }
            }
        });
        Ok(Self { current, removals, _stop: stop.drop_guard() })
    }

    /// How often the queue was seen to be removed: jobs taken before the last time are not those of the queue there is
    /// now, although their sequences may be the same.
    pub fn removals(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.removals)
    }

    /// The definition now, and its changes.
    pub fn changes(&self) -> watch::Receiver<Option<Arc<QueueDefinition>>> {
        self.current.clone()
    }
}
