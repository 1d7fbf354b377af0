//! Request records: from the trace stream into the store.

use nuncius_bus::tail::Start;
use nuncius_schemas::codec;
use nuncius_schemas::record::RecordBatch;

use nuncius_store::StepNames;

use crate::plan::Plan;
use crate::run::Running;
use crate::watch::Offered;

/// Reads every node's records up to the batch that says it is the last; the error is for the verdict.
pub(crate) async fn gather(running: &Running, plan: &Plan, offered: &Offered) -> Result<(), String> {
    let id = running.journal.record.id.clone();
    let spec = &running.journal.record.spec;
    let names = StepNames::of(spec);
    let namespace = running.daemon.bus.namespace().clone();
    let mut tail = running
        .daemon
        .bus
        .tail(&namespace.stream_trace(), &namespace.trace_all(&id), Start::All)
        .await
        .map_err(|error| format!("request records cannot be read: {error}"))?;
    let mut waiting: Vec<(&str, u64)> = plan
        .nodes
        .iter()
        .filter(|node| !offered.lost.contains_key(&node.name))
        .map(|node| (node.name.as_str(), node.epoch))
        .collect();
    while !waiting.is_empty() {
        let message = tail.next().await.map_err(|error| format!("request records cannot be read: {error}"))?;
        let batch: RecordBatch = codec::decode(&message.payload)
            .map_err(|error| format!("a batch of request records is damaged: {error}"))?;
        if batch.last {
            waiting.retain(|(node, epoch)| *node != batch.node || *epoch != batch.epoch);
        }
        let stored = running.daemon.store.add_records(&batch, &names).await;
        stored.map_err(|error| format!("request records cannot be stored: {error}"))?;
    }
    Ok(())
}
