//! The example with a broker, as a user runs it.

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_testkit::{RabbitMq, TempDir};

use crate::harness::nuncius;

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_example_measures_from_planned_publish_to_receipt() {
    let _machine = crate::harness::beside_others().await;
    let broker = RabbitMq::start().await.unwrap_or_else(|problem| panic!("{problem}"));
    let directory = TempDir::new("it-amqp").unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/examples/amqp.yaml");
    // What is judged here is not the health of the machine that runs tests.
    let text = format!(
        "lag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\n{}",
        std::fs::read_to_string(example).unwrap()
    );
    let (file, report) = (directory.path().join("amqp.yaml"), directory.path().join("report.json"));
    std::fs::write(&file, text).unwrap();
    let mut command = nuncius();
    command.arg("run").arg(&file).args(["--id", "through", "--quiet"]);
    command.arg("--service").arg(format!("broker={}", broker.address()));
    command.arg("--json").arg(&report).arg("--data").arg(directory.path().join("data"));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report: Report = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!((report.status, report.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{said}");
    assert_eq!((report.scheduled, report.offered, report.deficit), (500, 500, 0));
    let [send, receive, iteration] = report.groups[0].steps.as_slice() else { panic!("{:?}", report.groups) };
    assert_eq!((send.name.as_str(), receive.name.as_str()), ("send", "receive"));
    for step in [send, receive, iteration] {
        assert_eq!((step.planned, step.succeeded, step.failed, step.censored), (500, 500, 0, 0), "{}", step.name);
        assert_eq!(step.quantities[&Quantity::Response].count, 500, "{}", step.name);
    }
}
