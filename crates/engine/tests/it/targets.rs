//! Whom requests go to: services by weight, names of several families, variables, and what a node may be sent at.

use crate::conformance::with_each;
use crate::support::{Client, Reply, Run, Server};
use nuncius_engine::PlanError;
use nuncius_load::ShardSet;
use nuncius_schemas::route::{Route, RouteHost, Weight};

fn route(hosts: &[(&Server, u32)]) -> [Route; 1] {
    let host =
        |server: &Server, weight| RouteHost { address: server.address.to_string(), weight: Weight::whole(weight) };
    let hosts = hosts.iter().map(|(server, weight)| host(server, *weight));
    [Route { service: "shop".to_owned(), hosts: hosts.collect(), owner: None }]
}

#[test]
fn services_are_spread_by_weight_exactly_over_threads_and_nodes() {
    with_each(|client| {
        for load in [r#""rate": "500/s", "iterations": 100"#, r#""users": 7, "iterations": 100"#] {
            let (heavy, light) = (Server::start(|_, _| Reply::ok()), Server::start(|_, _| Reply::ok()));
            let routes = route(&[(&heavy, 3), (&light, 1)]);
            let nodes =
                [true, false].map(|third| ShardSet::of(256, (0..256).filter(|shard| (shard % 3 == 0) == third)));
            let mut succeeded = 0;
            for shards in nodes {
                let group = format!(r#""target": "http://shop/", {load}"#);
                let mut run = Run::new(client, heavy.address, &group);
                (run.routes, run.shards, run.threads) = (&routes, shards, 2);
                succeeded += run.go().step().succeeded;
            }
            assert_eq!((succeeded, heavy.seen().len(), light.seen().len()), (100, 75, 25), "{client:?} {load}");
            assert_eq!(light.seen()[0].header("host"), Some("shop"));
        }
    });
}

#[test]
fn a_weight_opens_no_more_connections_than_another() {
    with_each(|client| {
        for weight in [1, 100, 1_000] {
            let server = Server::start(|_, _| Reply::ok());
            let routes = route(&[(&server, weight)]);
            let group = r#""target": "http://shop/", "users": 4, "iterations": 400"#;
            let mut run = Run::new(client, server.address, group);
            run.routes = &routes;
            assert_eq!(run.go().step().succeeded, 400);
            assert!(server.connections() <= 4, "{client:?}: {} connections", server.connections());
        }
    });
}

#[test]
fn a_name_whose_first_family_is_refused_is_reached_at_the_other() {
    with_each(|client| {
        let server = Server::start_on("[::1]:0", |_, _| Reply::ok());
        let group = format!(r#""target": "http://localhost:{}/", "users": 2, "iterations": 20"#, server.address.port());
        let outcome = Run::new(client, server.address, &group).go();
        assert_eq!(outcome.step().succeeded, 20, "{client:?} {:?}", outcome.step().failures);
    });
}

#[test]
fn variables_of_the_node_reach_the_target_and_missing_ones_are_named() {
    with_each(|client| {
        let server = Server::start(|_, _| Reply::ok());
        let group = r#""rate": "100/s", "iterations": 1, "headers": {"Authorization": "Bearer ${TOKEN}"},
            "steps": [{"method": "POST", "path": "/${TOKEN}", "body": "<${TOKEN}>"}]"#;
        let mut run = Run::new(client, server.address, group);
        assert!(run.plan().unwrap_err().missing_variable() == Some("TOKEN"));
        run.environment = |name| (name == "TOKEN").then(|| "s3cret".to_owned());
        assert_eq!(run.go().step().succeeded, 1);
        let seen = &server.seen()[0];
        assert_eq!((seen.header("authorization"), seen.body.as_str()), (Some("Bearer s3cret"), "<s3cret>"));
        assert!(seen.head.starts_with("POST /path/s3cret HTTP/1.1"), "{}", seen.head);
    });
}

#[test]
fn a_target_that_is_not_allowed_is_refused_before_anything_is_sent() {
    let run = Run::new(Client::Plain, "192.0.2.1:80".parse().unwrap(), r#""rate": "1/s", "iterations": 1"#);
    let error = run.plan().unwrap_err();
    assert!(matches!(&error, PlanError::Field { field, .. } if field == "groups[0].target"), "{error}");
    assert!(error.to_string().contains("--allow-target") && error.to_string().contains("192.0.2.1"));
}
