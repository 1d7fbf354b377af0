//! Request records: from the trace stream into the store, and whether they are all there.

use std::collections::{BTreeMap, BTreeSet};

use nuncius_bus::tail::Start;
use nuncius_schemas::codec;
use nuncius_schemas::metric::RecordsWritten;
use nuncius_schemas::record::RecordBatch;

use nuncius_store::StepNames;

use crate::plan::Plan;
use crate::run::Running;
use crate::watch::Offered;

/// What came of one node.
#[derive(Debug, Default, PartialEq, Eq)]
struct Received {
    batches: BTreeSet<u64>,
    rows: u64,
}

/// Stores every record that the stream has of this attempt; gives what is missing, for the verdict. A node stores its
/// last delta after its last batch, so that whatever it could store is in the stream by now.
///
/// # Errors
/// The stream cannot be read, a batch is damaged, or the store cannot be written.
pub(crate) async fn gather(running: &Running, plan: &Plan, offered: &Offered) -> Result<Vec<String>, String> {
    let record = &running.journal.record;
    let names = StepNames::of(&record.spec);
    let (bus, patience) = (&running.daemon.bus, running.daemon.timing.records_patience);
    let namespace = bus.namespace();
    let (stream, filter) = (namespace.stream_trace(), namespace.trace_all(&record.id));
    let unreadable = |error: nuncius_bus::BusError| format!("request records cannot be read: {error}");
    let mut received: BTreeMap<String, Received> = BTreeMap::new();
    if let Some(last) = bus.last_sequence_of(&stream, &filter).await.map_err(unreadable)? {
        let mut tail = bus.tail(&stream, &filter, Start::All).await.map_err(unreadable)?;
        loop {
            let message = tokio::time::timeout(patience, tail.next())
                .await
                .map_err(|_| format!("the next batch of request records did not come within {patience:?}"))?
                .map_err(unreadable)?;
            let batch: RecordBatch = codec::decode(&message.payload)
                .map_err(|error| format!("a batch of request records is damaged: {error}"))?;
            let is_ours = plan.nodes.iter().any(|node| node.name == batch.node && node.epoch == batch.epoch)
                && batch.attempt == record.attempt;
            if is_ours {
                let stored = running.daemon.store.add_records(&batch, &names).await;
                stored.map_err(|error| format!("request records cannot be stored: {error}"))?;
                let received = received.entry(batch.node.clone()).or_default();
                if received.batches.insert(batch.sequence) {
                    received.rows += batch.rows().unwrap_or(0) as u64;
                }
            }
            if message.sequence >= last {
                break;
            }
        }
        tail.close().await;
    }
    let nothing = Received::default();
    let missing = plan.nodes.iter().filter_map(|node| {
        let received = received.get(&node.name).unwrap_or(&nothing);
        match offered.totals.nodes.get(&node.name).and_then(|totals| totals.records) {
            Some(written) => missing(&node.name, written, received),
            None => Some(format!("node {} did not say how many request records it wrote", node.name)),
        }
    });
    Ok(missing.collect())
}

/// What a node wrote and nobody received.
fn missing(node: &str, written: RecordsWritten, received: &Received) -> Option<String> {
    let batches = (1..=written.batches).filter(|sequence| !received.batches.contains(sequence)).count();
    let rows = written.rows.saturating_sub(received.rows);
    (rows > 0 || batches > 0).then(|| {
        format!(
            "{rows} of {} request records of node {node} are missing ({batches} of {} batches)",
            written.rows, written.batches
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_in_the_batches_is_missed_wherever_it_is() {
        let written = RecordsWritten { batches: 3, rows: 2_500 };
        let received = |batches: &[u64], rows| Received { batches: batches.iter().copied().collect(), rows };
        assert_eq!(missing("n", written, &received(&[1, 2, 3], 2_500)), None);
        for (batches, rows, told) in [
            (&[1, 3][..], 1_500, "1000 of 2500 request records of node n are missing (1 of 3 batches)"),
            (&[1, 2][..], 2_000, "500 of 2500 request records of node n are missing (1 of 3 batches)"),
            (&[][..], 0, "2500 of 2500 request records of node n are missing (3 of 3 batches)"),
            (&[1, 2, 3][..], 2_499, "1 of 2500 request records of node n are missing (0 of 3 batches)"),
        ] {
            assert_eq!(missing("n", written, &received(batches, rows)).as_deref(), Some(told));
        }
        assert_eq!(missing("n", RecordsWritten { batches: 1, rows: 0 }, &received(&[1], 0)), None);
    }
}
