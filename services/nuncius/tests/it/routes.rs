//! The routing table: weights hold from the command line to the targets, and routes live as long as who serves them.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nuncius_schemas::codec;
use nuncius_schemas::route::{Route, Weight};

use crate::harness::{Process, System, open_spec, spawn_stub, stub_stats, until};

/// A closed group for the service `shop`.
fn shop_spec(id: &str, users: u32, iterations: u32) -> String {
    open_spec(id, "127.0.0.1:9", "1/s", "1s", "gates: ['failures < 1%']").replace(
        "- target: http://target/\n  rate: 1/s\n  duration: 1s\n",
        &format!("- target: http://shop/\n  users: {users}\n  iterations: {iterations}\n"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_of_weight_100_opens_as_few_connections_as_one_of_weight_1() {
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let mut before = stub_stats(&address).connections_accepted;
    for weight in [1, 100] {
        let set = system.output(&["route", "set", "shop", &format!("{address}={weight}")]);
        assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
        let id = format!("weight-{weight}");
        system.publish(shop_spec(&id, 4, 1_000).as_bytes()).await;
        system.wait_for_end(&id).await;
        let now = stub_stats(&address).connections_accepted;
        // One of each user, one to see whether anybody is there, one of each question for these numbers.
        assert!(now - before <= 4 + 1 + 2, "weight {weight}: {} connections", now - before);
        before = now;
        let record = system.record(&id).await.unwrap();
        assert_eq!(record.routes[0].hosts[0].weight, Weight::whole(weight));
    }
    assert_eq!(stub_stats(&address).requests, 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_of_a_route_hold_exactly_over_nodes_and_weight_0_gets_nothing() {
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    let (_light, light) = spawn_stub(system.directory.path(), &[]);
    let (_none, none) = spawn_stub(system.directory.path(), &[]);
    let hosts = [format!("{address}=300"), format!("{light}=100"), format!("{none}=0")];
    let set = system.output(&["route", "set", "shop", &hosts[0], &hosts[1], &hosts[2]]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    system.publish(shop_spec("weighted", 5, 400).as_bytes()).await;
    system.wait_for_end("weighted").await;
    let requests = [&address, &light, &none].map(|address| stub_stats(address).requests);
    assert_eq!(requests, [300, 100, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fractional_weights_hold_exactly_over_three_nodes_however_the_route_was_made() {
    let mut system = System::start(3).await;
    let first = system.start_stub(&[]);
    let (_second, second) = spawn_stub(system.directory.path(), &[]);
    let (_third, third) = spawn_stub(system.directory.path(), &[]);
    let third_host = format!("{third}=0.25");
    for arguments in [
        vec!["route", "append", "shop", &first],
        vec!["route", "append", "shop", &second, &third_host],
        vec!["route", "weights", "shop", "1", "2", "0.5"],
    ] {
        let done = system.output(&arguments);
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let refused = system.output(&["route", "weights", "shop", "1", "2"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("2 weights for 3 addresses"), "{said}");
    let before = [&first, &second, &third].map(|address| stub_stats(address).requests);
    system.publish(format!("records: all\n{}", shop_spec("fractions", 64, 7_000)).as_bytes()).await;
    system.wait_for_end("fractions").await;
    let after = [&first, &second, &third].map(|address| stub_stats(address).requests);
    let directory = system.directory.path().join("traces");
    let exported = system.output(&["export", "fractions", "--galileo", directory.to_str().unwrap()]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let traces = std::fs::read_to_string(directory.join("raw_traces.csv")).unwrap();
    let told = |address: &str| traces.lines().filter(|line| line.contains(&format!(",200,{address},"))).count() as u64;
    assert_eq!(
        [&first, &second, &third].map(|address| told(address)),
        [0, 1, 2].map(|host| after[host] - before[host])
    );
    for (index, wanted) in [2_000u64, 4_000, 1_000].into_iter().enumerate() {
        let counted = after[index] - before[index];
        // To one request for each node.
        assert!(counted.abs_diff(wanted) <= 3, "host {index} has {counted} of {wanted}");
    }
    assert_eq!(after.iter().sum::<u64>() - before.iter().sum::<u64>(), 7_000);
    let record = system.record("fractions").await.unwrap();
    assert_eq!(record.routes[0].hosts[2].weight.to_string(), "0.5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_without_any_weight_or_with_too_large_a_one_is_refused_by_name() {
    let system = System::start(0).await;
    for (hosts, words) in [
        (vec!["127.0.0.1:80=0"], "weight over 0"),
        (vec!["127.0.0.1:80=1000001"], "0 to 1000000"),
        (vec!["127.0.0.1:80=0.0000001"], "6 digits"),
        (vec!["127.0.0.1"], "HOST:PORT"),
    ] {
        let mut arguments = vec!["route", "set", "shop"];
        arguments.extend(hosts);
        let refused = system.output(&arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(64) && said.contains(words), "{arguments:?}: {said}");
    }
}

/// Starts a stub that registers itself as `shop`; its address.
fn registered_stub(system: &System, name: &str) -> (Process, String) {
    let mut command = system.command(&["emulator", "stub", "--listen", "127.0.0.1:0", "--register", "shop"]);
    command.stdout(Stdio::piped());
    let mut process = Process::start(&mut command, &system.directory.path().join(format!("{name}.log")));
    let mut line = String::new();
    BufReader::new(process.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().trim_start_matches("stub listens on http://").trim_end_matches('/').to_owned();
    (process, address)
}

/// Where `shop` is, as the routing table has it.
async fn shop_address(system: &System) -> Option<String> {
    let routes = system.bus.kv(&system.bus.namespace().bucket_route()).await.unwrap();
    let route: Route = codec::decode(&routes.get("shop").await.unwrap()?.value).unwrap();
    assert!(route.owner.is_some(), "{route:?}");
    route.hosts.into_iter().map(|host| host.address).next()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_service_of_a_name_does_not_take_it_and_the_route_of_a_killed_one_goes() {
    let system = System::start(0).await;
    let (mut first, first_address) = registered_stub(&system, "first");
    until("the first is registered", async || shop_address(&system).await.filter(|at| *at == first_address)).await;
    let (mut second, second_address) = registered_stub(&system, "second");
    let log = system.directory.path().join("second.log");
    let said = until("the second says whose the name is", async || {
        let said = std::fs::read_to_string(&log).unwrap();
        said.lines().find(|line| line.contains(&first_address)).map(str::to_owned)
    })
    .await;
    // Which name, who has it, who waits for it, and where to look.
    for word in ["service `shop`", "kept there by", &second_address, "nuncius route ls"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(shop_address(&system).await, Some(first_address));
    first.kill();
    until("the second has the name", async || shop_address(&system).await.filter(|at| *at == second_address)).await;
    second.signal(rustix::process::Signal::TERM);
    second.child.wait().unwrap();
    assert_eq!(shop_address(&system).await, None, "who leaves takes its route along");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_service_has_a_dead_address_names_the_service_and_where_to_look() {
    let system = System::start(1).await;
    let nobody = nuncius_testkit::free_port().unwrap();
    let set = system.output(&["route", "set", "shop", &format!("127.0.0.1:{nobody}")]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    system.publish(shop_spec("dead", 1, 10).as_bytes()).await;
    let record = system.wait_for_end("dead").await;
    let reason = record.reason.unwrap_or_default();
    for word in [&format!("127.0.0.1:{nobody}"), "service `shop`", "nuncius route ls"] {
        assert!(reason.contains(word), "{word}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_a_variable_names_is_found_in_the_routing_table() {
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let set = system.output(&["route", "set", "shop", &address]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let spec = open_spec("named", "127.0.0.1:9", "50/s", "1s", "")
        .replace("http://target/", "http://${NUNCIUS_VAR_NOBODY_SETS:-shop}/");
    system.publish(spec.as_bytes()).await;
    system.wait_for_end("named").await;
    let report = system.report("named").await;
    assert_eq!(report.groups[0].steps[0].succeeded, 50, "{:?}", report.reasons);
    assert_eq!(stub_stats(&address).requests, 50);
}
