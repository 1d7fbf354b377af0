//! What a run says of a target whose behaviour is known.

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::run::{RunStatus, Verdict};

use crate::harness::{System, open_spec};

#[tokio::test(flavor = "multi_thread")]
async fn one_message_in_one_verdict_out() {
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("first", &address, "200/s", "3s", "gates: ['failures < 1%']").as_bytes()).await;
    let record = system.wait_for_end("first").await;
    let report = system.report("first").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    assert_eq!((report.scheduled, report.offered, report.deficit), (600, 600, 0));
    let step = &report.groups[0].steps[0];
    assert_eq!((step.planned, step.succeeded, step.failed, step.censored), (600, 600, 0, 0));
    assert_eq!(step.quantities[&Quantity::Response].count, 600);
    assert!(report.nodes.iter().all(|node| node.offered > 200), "both nodes took part: {:?}", report.nodes);
}
