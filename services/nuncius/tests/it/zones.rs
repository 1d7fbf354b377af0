//! The usual scenario of edge experiments: clients of each zone ask the service of their zone, in one run.

use std::collections::BTreeMap;

use nuncius_schemas::run::{RunStatus, Verdict};

use crate::harness::{System, beside_others, spawn_stub, stub_stats};

#[tokio::test(flavor = "multi_thread")]
async fn one_run_has_the_clients_of_two_zones_ask_two_services_and_its_records_tell_them_apart() {
    let _turn = beside_others().await;
    let mut system = System::start(0).await;
    for (node, zone) in [("a-1", "zone=A"), ("a-2", "zone=A"), ("b-1", "zone=B")] {
        system.start_client(node, &["--label", zone]);
    }
    system.wait_for_nodes(4).await;
    let first = system.start_stub(&[]);
    let (_second_stub, second) = spawn_stub(system.directory.path(), &[]);
    let spec = format!(
        "id: zones\nrecords: all\nlag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\n\
         services: {{detect-a: ['{first}'], detect-b: ['{second}']}}\ngates: ['failures < 10%']\ngroups:\n\
         - {{name: from-a, target: 'http://detect-a/', rate: 40/s, duration: 3s, nodes: {{labels: {{zone: A}}}}}}\n\
         - {{name: from-b, target: 'http://detect-b/', rate: 25/s, duration: 3s, nodes: {{labels: {{zone: B}}}}}}\n"
    );
    system.publish(spec.as_bytes()).await;
    let record = system.wait_for_end("zones").await;
    let report = system.report("zones").await;
    let ended = (record.status, record.verdict);
    assert_eq!(ended, (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    assert_eq!((stub_stats(&first).requests, stub_stats(&second).requests), (120, 75));

    let directory = system.directory.path().join("galileo");
    let exported = system.output(&["export", "zones", "--galileo", directory.to_str().unwrap()]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let traces = std::fs::read_to_string(directory.join("traces.csv")).unwrap();
    let mut lines = traces.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let heading = lines.next().unwrap();
    let column = |name: &str| heading.iter().position(|column| *column == name).unwrap();
    let (service, client, zone) = (column("service"), column("client"), column("origin_zone"));
    let mut rows: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    for line in lines {
        let node = line[client].split(':').next().unwrap();
        *rows.entry((line[service].to_owned(), line[zone].to_owned(), node.to_owned())).or_default() += 1;
    }
    let of = |group: &str| -> Vec<(&str, &str, usize)> {
        let of_group = rows.iter().filter(|((service, ..), _)| service == group);
        of_group.map(|((_, zone, node), count)| (zone.as_str(), node.as_str(), *count)).collect()
    };
    // Equal nodes of a zone share its load; nobody else has part in it.
    assert_eq!(of("from-a"), [("A", "a-1", 60), ("A", "a-2", 60)]);
    assert_eq!(of("from-b"), [("B", "b-1", 75)]);
}
