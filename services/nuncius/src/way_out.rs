//! Carrying the telemetry of this process to the bus: by the connection that was made last, for as long as it is kept.
//!
//! Nothing waits for it but the end, and that not for long, and only where there is a server to hear it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nuncius_bus::Bus;
use nuncius_telemetry::{OutBox, Signal};
use tokio::task::AbortHandle;

/// How long the last of it may take.
const FLUSH_PATIENCE: Duration = Duration::from_millis(500);

struct Carrier {
    bus: Bus,
    out_box: Arc<OutBox>,
    task: AbortHandle,
}

/// Messages that were published, by signal.
static PUBLISHED: [AtomicU64; Signal::ALL.len()] = [const { AtomicU64::new(0) }; Signal::ALL.len()];

/// How many messages of a signal were published so far.
pub(crate) fn published(signal: Signal) -> u64 {
    PUBLISHED.get(signal as usize).map_or(0, |count| count.load(Ordering::Relaxed))
}

/// Shows the connection by which telemetry leaves, if there is one.
pub(crate) fn with_bus(show: impl FnOnce(&Bus)) {
    let bus = carrier().as_ref().map(|carrier| carrier.bus.clone());
    if let Some(bus) = bus {
        show(&bus);
    }
}

/// Who carries at present.
static CARRIER: Mutex<Option<Carrier>> = Mutex::new(None);

fn carrier() -> MutexGuard<'static, Option<Carrier>> {
    CARRIER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on telemetry leaves by this connection.
pub(crate) fn by(bus: &Bus) {
    let Some(out_box) = nuncius_telemetry::out_box() else { return };
    let task = tokio::spawn(carry(bus.clone(), Arc::clone(&out_box))).abort_handle();
    if let Some(before) = carrier().replace(Carrier { bus: bus.clone(), out_box, task }) {
        before.task.abort();
    }
}

async fn carry(bus: Bus, out_box: Arc<OutBox>) {
    loop {
        bus.connected().await;
        tokio::select! {
            biased;
            () = bus.closed() => return,
            parcel = out_box.next() => {
                if bus.publish_otlp(parcel.signal, parcel.message.clone()).await.is_err() {
                    nuncius_telemetry::lose(parcel.signal);
                } else if let Some(count) = PUBLISHED.get(parcel.signal as usize) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// Sends what there is, before the connection is closed or the process ends; at once where there is none.
pub(crate) async fn flush() {
    let Some((bus, out_box)) = carrier().as_ref().map(|carrier| (carrier.bus.clone(), Arc::clone(&carrier.out_box)))
    else {
        return;
    };
    if bus.connected_for().is_zero() {
        return;
    }
    let all = async {
        nuncius_telemetry::flush().await;
        out_box.emptied().await;
    };
    let _ = tokio::time::timeout(FLUSH_PATIENCE, all).await;
}
