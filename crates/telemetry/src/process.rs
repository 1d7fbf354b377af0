//! The telemetry of this process, for whoever has something to hand on, or carries it away.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use nuncius_schemas::subjects::Signal;

use crate::export::{ExportQueue, Losses};
use crate::out_box::OutBox;
use crate::settings::{Destination, Settings};

/// What [`crate::init`] has set up; empty for ever where nothing is to leave.
static PROCESS: OnceLock<Process> = OnceLock::new();

pub(crate) struct Process {
    pub(crate) settings: Settings,
    pub(crate) queue: Arc<ExportQueue>,
    pub(crate) out_box: Arc<OutBox>,
    pub(crate) resource: Vec<(String, String)>,
}

pub(crate) fn install(process: Process) {
    // A second cannot come: the subscriber is set once, and before this.
    let _ = PROCESS.set(process);
}

/// Hands in a message, the bytes of an `Export…ServiceRequest`: into the out-box, or to the receiver that the
/// environment names for this signal. False where it goes nowhere, or where there is no room, which is counted. Never
/// waits.
pub fn send(signal: Signal, message: Bytes) -> bool {
    let Some(process) = PROCESS.get() else { return false };
    match process.settings.of(signal) {
        Destination::Nowhere => false,
        Destination::OutBox => {
            let has_room = process.out_box.push(signal, message);
            if !has_room {
                process.queue.lose(signal, 1);
            }
            has_room
        }
        Destination::Endpoint(_) => process.queue.push_message(signal, message),
    }
}

/// Counts a message that was taken from the out-box and lost on its way.
pub fn lose(signal: Signal) {
    if let Some(process) = PROCESS.get() {
        process.queue.lose(signal, 1);
    }
}

/// Whether what is told of this kind leaves the process: ask before making it.
pub fn is_wanted(signal: Signal) -> bool {
    PROCESS.get().is_some_and(|process| process.settings.of(signal) != &Destination::Nowhere)
}

/// What waits to be carried to the bus; none where nothing leaves by it.
pub fn out_box() -> Option<Arc<OutBox>> {
    let process = PROCESS.get()?;
    let is_used = Signal::ALL.into_iter().any(|signal| process.settings.of(signal) == &Destination::OutBox);
    is_used.then(|| Arc::clone(&process.out_box))
}

/// What this process calls itself: the attributes of its resource, `service.name` first.
pub fn resource() -> &'static [(String, String)] {
    PROCESS.get().map_or(&[], |process| process.resource.as_slice())
}

/// What was lost in this process since its start.
pub fn losses() -> Losses {
    PROCESS.get().map_or_else(Losses::default, |process| process.queue.losses())
}

/// Waits until all that was recorded so far is in the out-box, or with its receiver, or lost.
pub async fn flush() {
    if let Some(process) = PROCESS.get() {
        process.queue.flush().await;
    }
}
