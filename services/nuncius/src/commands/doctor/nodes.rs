//! Who is there, and whether they answer.

use anyhow::Result;
use nuncius_bus::Bus;
use nuncius_bus::clock::measure_offset;
use nuncius_clock::monotonic_ns;
use nuncius_schemas::node::{NodeInfo, Role};

use super::findings::Findings;
use crate::args::REQUEST_TIMEOUT;

/// Round trips of the clock measurement.
const CLOCK_SAMPLES: usize = 16;

pub(super) async fn check(findings: &mut Findings, bus: &Bus) -> Result<()> {
    let names = bus.namespace();
    for bucket in [names.bucket_run(), names.bucket_route(), names.bucket_app(), names.bucket_queue()] {
        check_entries(findings, bus, &bucket).await?;
    }
    let decoded = bus.kv(&names.bucket_node()).await?.decoded::<NodeInfo>(">").await?;
    for unreadable in &decoded.unreadable {
        findings.warn("entries", &unreadable.to_string(), "");
    }
    let nodes: Vec<NodeInfo> = decoded.entries.into_iter().map(|entry| entry.value).collect();
    for role in [Role::Experimentd, Role::Client] {
        let count = nodes.iter().filter(|node| node.role == role).count();
        match count {
            0 => {
                let advice = "`nuncius up` starts one, `nuncius run` brings one along";
                findings.warn("nodes", &format!("no {} is there", role.name()), advice);
            }
            count => findings.good("nodes", &format!("{count} {}", role.name())),
        }
    }
    for node in nodes.iter().filter(|node| node.role == Role::Client) {
        if node.version != env!("CARGO_PKG_VERSION") {
            let text =
                format!("node {} has version {}, this is {}", node.name, node.version, env!("CARGO_PKG_VERSION"));
            findings.warn("node_versions", &text, "use the same version everywhere");
        }
        let subject = bus.namespace().node_ping(&node.name);
        match measure_offset(bus, &subject, CLOCK_SAMPLES, monotonic_ns, REQUEST_TIMEOUT).await {
            Ok(offset) => {
                let bound = nuncius_report::text::duration(offset.error_ns);
                findings.good("node", &format!("node {} answers; its clock is known to ± {bound}", node.name));
            }
            Err(error) => {
                let text = format!("node {} is in the registry and does not answer: {error}", node.name);
                findings.bad("node", &text, "start it again; one that is gone leaves the registry after 10 s");
            }
        }
    }
    Ok(())
}

/// Names the entries of a bucket that cannot be read.
async fn check_entries(findings: &mut Findings, bus: &Bus, bucket: &str) -> Result<()> {
    use nuncius_schemas::bundle::AppRecord;
    use nuncius_schemas::codec;
    use nuncius_schemas::queue::QueueDefinition;
    use nuncius_schemas::route::Route;
    use nuncius_schemas::run::RunRecord;
    let names = bus.namespace();
    let kv = bus.kv(bucket).await?;
    for entry in kv.entries(">").await? {
        let read = if *bucket == names.bucket_run() {
            codec::decode::<RunRecord>(&entry.value).map(drop)
        } else if *bucket == names.bucket_route() {
            codec::decode::<Route>(&entry.value).map(drop)
        } else if *bucket == names.bucket_app() {
            codec::decode::<AppRecord>(&entry.value).map(drop)
        } else if !entry.key.contains('.') {
            codec::decode::<QueueDefinition>(&entry.value).map(drop)
        } else {
            // Totals and the like, which belong to a queue.
            Ok(())
        };
        if let Err(error) = read {
            findings.warn("entries", &kv.unreadable(&entry, &error).to_string(), "");
        }
    }
    Ok(())
}
