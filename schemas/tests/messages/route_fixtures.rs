//! A route, and the command to go by it.

use nuncius_schemas::node::{NodeCommand, Reroute};
use nuncius_schemas::route::{Route, RouteHost, Weight};

pub(crate) fn route() -> Route {
    Route {
        service: "shop".into(),
        hosts: vec![
            RouteHost { address: "10.0.0.1:80".into(), weight: Weight::whole(3) },
            RouteHost { address: "[::1]:80".into(), weight: Weight::default() },
        ],
        owner: Some("up-4711".into()),
    }
}

pub(crate) fn reroute() -> NodeCommand {
    NodeCommand::Reroute(Box::new(Reroute {
        experiment: "e-1".into(),
        token: 42,
        attempt: 2,
        number: 1,
        routes: vec![route()],
    }))
}
