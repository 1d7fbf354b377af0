use nuncius_schemas::route::{RouteHost, Weight};

use super::*;

fn spec(group: &str) -> ExperimentSpec {
    let text = format!(r#"{{"services": {{"shop": ["127.0.0.1:81", "127.0.0.2:82"]}}, "groups": [{{{group}}}]}}"#);
    nuncius_schemas::codec::decode(text.as_bytes()).unwrap()
}

fn plan_with(group: &str, routes: &[Route]) -> Result<GroupPlan, PlanError> {
    let spec = spec(group);
    let input = GroupInput {
        spec: &spec,
        group: 0,
        shards: ShardSet::all(256),
        nodes: 4,
        routes,
        run_key: 0,
        trace_id: 1,
        threads: 1,
        bundle: None,
        variables: None,
    };
    plan_group(&input, &TargetPolicy::default(), &|name| (name == "CRLF").then(|| "a\r\nb: c".to_owned()))
}

fn plan(group: &str) -> Result<GroupPlan, PlanError> {
    plan_with(group, &[])
}

const LOAD: &str = r#""rate": "1/s", "duration": "1s""#;

fn addresses(target: &str) -> Vec<String> {
    let plan = plan(&format!(r#""target": "{target}", {LOAD}"#)).unwrap();
    plan.addresses().iter().map(ToString::to_string).collect()
}

#[test]
fn a_target_is_a_service_or_an_address() {
    assert_eq!(addresses("http://shop/"), ["127.0.0.1:81", "127.0.0.2:82"]);
    assert_eq!(addresses("http://127.0.0.1"), ["127.0.0.1:80"]);
    assert_eq!(addresses("https://127.0.0.1/x"), ["127.0.0.1:443"]);
    assert_eq!(addresses("http://[::1]:8080?q"), ["[::1]:8080"]);
    assert!(addresses("http://localhost:9").contains(&"127.0.0.1:9".to_owned()));
    assert!(addresses("http://localhost").contains(&"127.0.0.1:80".to_owned()));
}

#[test]
fn an_amqp_target_has_its_own_port() {
    let group = format!(
        r#""engine": "amqp", "target": "amqp://u:p@127.0.0.1/%2f", {LOAD}, "steps": [{{"publish": {{"routing_key": "q"}}}}]"#
    );
    let plan = plan(&group).unwrap();
    assert_eq!(plan.addresses()[0].port(), 5_672);
    let Action::Amqp(amqp) = &plan.action else { panic!("{plan:?}") };
    assert_eq!((amqp.vhost.as_str(), amqp.credentials.as_deref()), ("%2f", Some("u:p")));
}

#[test]
fn routes_have_weights_and_services_of_the_specification_go_first() {
    let host = |address: &str, weight| RouteHost { address: address.to_owned(), weight: Weight::whole(weight) };
    let routes = [
        Route { service: "shop".to_owned(), hosts: vec![host("127.0.0.9:9", 1)], owner: None },
        Route { service: "cart".to_owned(), hosts: vec![host("127.0.0.1:1", 2), host("127.0.0.1:2", 0)], owner: None },
        Route { service: "void".to_owned(), hosts: vec![], owner: None },
        Route { service: "far".to_owned(), hosts: vec![host("192.0.2.1:1", 1)], owner: None },
    ];
    let of = |target: &str| plan_with(&format!(r#""target": "http://{target}/", {LOAD}"#), &routes);
    assert_eq!(of("shop").unwrap().addresses().len(), 2);
    assert_eq!(of("cart").unwrap().addresses().iter().map(|address| address.port()).collect::<Vec<_>>(), [1]);
    assert!(of("void").unwrap_err().to_string().contains("no address"));
    let forbidden = of("far").unwrap_err().to_string();
    assert!(forbidden.starts_with("groups[0].target:") && forbidden.contains("--allow-target"), "{forbidden}");
    assert!(matches!(of("nobody"), Err(PlanError::UnknownService { service, .. }) if service == "nobody"));
}

fn weights(hosts: Vec<RouteHost>) -> Result<Vec<(u16, u64)>, PlanError> {
    let routes = [Route { service: "cart".to_owned(), hosts, owner: None }];
    let plan = plan_with(&format!(r#""target": "http://cart/", {LOAD}"#), &routes)?;
    Ok(plan.upstream.now().used().map(|host| (host.address.port(), host.weight)).collect())
}

#[test]
fn equal_addresses_are_one_host_with_the_sum_of_their_weights_and_weight_0_is_none() {
    let host = |port: u16, weight| RouteHost { address: format!("127.0.0.1:{port}"), weight: Weight::whole(weight) };
    assert_eq!(weights(vec![host(1, 100)]).unwrap(), [(1, 1)]);
    assert_eq!(weights(vec![host(1, 1_000), host(2, 500)]).unwrap(), [(1, 2), (2, 1)]);
    assert_eq!(weights(vec![host(1, 2), host(2, 3), host(1, 4), host(3, 0)]).unwrap(), [(1, 2), (2, 1)]);
    let mapped = RouteHost { address: "[::ffff:127.0.0.1]:1".to_owned(), weight: Weight::default() };
    assert_eq!(weights(vec![host(1, 1), mapped]).unwrap(), [(1, 1)]);
    let error = weights(vec![host(1, u32::MAX), host(2, u32::MAX - 1)]).unwrap_err().to_string();
    assert!(error.starts_with("groups[0].target: ") && error.contains("at most"), "{error}");
}

#[test]
fn weights_that_are_fractions_have_the_shortest_cycle_there_is() {
    let host =
        |port: u16, weight: &str| RouteHost { address: format!("127.0.0.1:{port}"), weight: weight.parse().unwrap() };
    assert_eq!(weights(vec![host(1, "1"), host(2, "2"), host(3, "0.5")]).unwrap(), [(1, 2), (2, 4), (3, 1)]);
    assert_eq!(weights(vec![host(1, "0.1"), host(2, "0.3"), host(1, "0.2")]).unwrap(), [(1, 1), (2, 1)]);
    assert_eq!(weights(vec![host(1, "0.000001"), host(2, "0.000003")]).unwrap(), [(1, 1), (2, 3)]);
    let error = weights(vec![host(1, "999999.999999"), host(2, "1")]).unwrap_err().to_string();
    assert!(error.contains("common divisor"), "{error}");
}

#[test]
fn equal_addresses_of_a_specification_are_one_host() {
    let text = format!(
        r#"{{"services": {{"twice": ["127.0.0.1:81", "127.0.0.1:81", "127.0.0.1:82"]}},
        "groups": [{{"target": "http://twice/", {LOAD}}}]}}"#
    );
    let spec: ExperimentSpec = nuncius_schemas::codec::decode(text.as_bytes()).unwrap();
    let input = GroupInput {
        spec: &spec,
        group: 0,
        shards: ShardSet::all(256),
        nodes: 1,
        routes: &[],
        run_key: 0,
        trace_id: 1,
        threads: 1,
        bundle: None,
        variables: None,
    };
    let plan = plan_group(&input, &TargetPolicy::default(), &|_| None).unwrap();
    assert_eq!(
        plan.upstream.now().used().map(|host| (host.address.port(), host.weight)).collect::<Vec<_>>(),
        [(81, 2), (82, 1)]
    );
}

#[test]
fn refusals_name_the_field() {
    for (group, field) in [
        (format!(r#""target": "ftp://127.0.0.1/", {LOAD}"#), "groups[0].target: "),
        (format!(r#""target": "http://127.0.0.1:0/", {LOAD}"#), "groups[0].target: "),
        (format!(r#""target": "http://u:p@127.0.0.1/", {LOAD}"#), "groups[0].target: "),
        (format!(r#""target": "http://${{NOPE}}/", {LOAD}"#), "groups[0].target: "),
        (format!(r#""target": "http://127.0.0.1/", {LOAD}, "headers": {{"x": "${{CRLF}}"}}"#), "groups[0].headers.x: "),
        (
            format!(r#""target": "http://127.0.0.1/", {LOAD}, "steps": [{{"path": "/${{CRLF}}"}}]"#),
            "groups[0].steps[0].path: ",
        ),
        (r#""target": "http://127.0.0.1/""#.to_owned(), "groups[0].rate: "),
    ] {
        let error = plan(&group).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
        assert!(!error.contains("a\r\nb"), "{error}");
    }
}

#[test]
fn requests_are_rendered_once_with_and_without_a_trace() {
    let group = format!(
        r#""target": "http://127.0.0.1:81/base", {LOAD}, "headers": {{"X-A": "1", "user-agent": "me"}},
        "steps": [{{}}, {{"method": "POST", "path": "/p", "headers": {{"x-a": "2"}}}}, {{"method": "HEAD"}}]"#
    );
    let plan = plan(&group).unwrap();
    let Action::Http(http) = &plan.action else { panic!("{plan:?}") };
    let text = |index: usize| String::from_utf8(http.requests[index].plain.clone()).unwrap();
    assert_eq!(text(0), "GET /base HTTP/1.1\r\nHost: 127.0.0.1:81\r\nX-A: 1\r\nuser-agent: me\r\n\r\n");
    assert!(
        text(1).starts_with("POST /base/p HTTP/1.1\r\n") && text(1).ends_with("x-a: 2\r\nContent-Length: 0\r\n\r\n")
    );
    assert!(!text(1).contains("X-A"));
    assert!(http.requests[2].is_head && http.requests[2].idempotent && !http.requests[1].idempotent);
    let request = &http.requests[0];
    let mut sampled = request.sampled.clone();
    write_traceparent(&mut sampled[request.trace_at..request.trace_at + 55], 0xabc, 7);
    let line = "traceparent: 00-00000000000000000000000000000abc-0000000000000007-01\r\n";
    assert!(String::from_utf8(sampled).unwrap().contains(line));
    assert!([200, 302, 399].iter().all(|status| request.expected.contains(*status)));
    assert!([0, 100, 199, 400, 599, 999, u16::MAX].iter().all(|status| !request.expected.contains(*status)));
}

#[test]
fn a_rate_per_node_is_multiplied_by_the_nodes() {
    let of = |extra: &str| {
        let plan = plan(&format!(r#""target": "http://shop/", {LOAD}{extra}"#)).unwrap();
        match plan.load {
            Load::Open { schedule, .. } => schedule.total(),
            Load::Closed(_) => 0,
        }
    };
    assert_eq!((of(""), of(r#", "rate_per_node": true"#)), (1, 4));
}

/// Plans with these variables; the services are those of the group's text.
fn plan_where(services: &str, group: &str, routes: &[Route], known: &[(&str, &str)]) -> Result<GroupPlan, PlanError> {
    let text = format!(r#"{{"services": {services}, "groups": [{{{group}, "rate": "1/s", "duration": "1s"}}]}}"#);
    let spec: ExperimentSpec = nuncius_schemas::codec::decode(text.as_bytes()).unwrap();
    let shards = ShardSet::all(256);
    let input = GroupInput {
        spec: &spec,
        group: 0,
        shards,
        nodes: 1,
        routes,
        run_key: 0,
        trace_id: 1,
        threads: 1,
        bundle: None,
        variables: None,
    };
    let known: std::collections::BTreeMap<&str, &str> = known.iter().copied().collect();
    plan_group(&input, &TargetPolicy::default(), &|name| known.get(name).map(|value| (*value).to_owned()))
}

#[test]
fn variables_and_defaults_are_filled_in_before_anything_is_looked_up_in_every_field() {
    let group = r#""target": "http://${SHOP:-shop}${NONE:-/base}", "headers": {"X-A": "${A:-one}", "X-B": "$${A} $$1"},
        "steps": [{"path": "${ROOT:-/p}?q=${A}", "headers": {"X-C": "<${A}>"}, "body": "{${A}, ${NONE:-none}}"}]"#;
    let known = [("SHOP", "cart"), ("A", "two"), ("PORT", "82")];
    let services = r#"{"cart": ["127.0.0.1:${PORT:-81}", "${HOST:-127.0.0.2:83}"]}"#;
    let plan = plan_where(services, group, &[], &known).unwrap();
    let addresses: Vec<String> = plan.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["127.0.0.1:82", "127.0.0.2:83"]);
    let Action::Http(http) = &plan.action else { panic!("{plan:?}") };
    let request = String::from_utf8(http.requests[0].plain.clone()).unwrap();
    assert!(request.starts_with("GET /base/p?q=two HTTP/1.1\r\nHost: cart\r\n"), "{request}");
    assert!(request.contains("X-A: two\r\nX-B: ${A} $1\r\nX-C: <two>\r\n"), "{request}");
    assert!(request.ends_with("{two, none}"), "{request}");

    // The whole URL, and an address of the routing table.
    let host = RouteHost { address: "${HOST:-127.0.0.9}:9".to_owned(), weight: Weight::default() };
    let routes = [Route { service: "far".to_owned(), hosts: vec![host], owner: None }];
    let plan = plan_where("{}", r#""target": "${URL:-http://far/}""#, &routes, &[]).unwrap();
    assert_eq!(plan.addresses()[0].to_string(), "127.0.0.9:9");

    let amqp = r#""engine": "amqp", "target": "amqp://${USER:-u}:${PASSWORD}@127.0.0.1/${V:-v}", "steps": [{"publish":
        {"exchange": "${E:-e}", "routing_key": "${K:-k}", "body": "${B:-b}"}}, {"consume": {"queue": "${Q:-q}"}}]"#;
    let plan = plan_where("{}", amqp, &[], &[("PASSWORD", "p")]).unwrap();
    let Action::Amqp(amqp) = &plan.action else { panic!("{plan:?}") };
    let publish = amqp.steps[0].publish.as_ref().unwrap();
    assert_eq!((amqp.credentials.as_deref(), amqp.vhost.as_str()), (Some("u:p"), "v"));
    assert_eq!((publish.exchange.as_str(), publish.routing_key.as_str(), publish.body.as_str()), ("e", "k", "b"));
    assert_eq!(amqp.steps[1].consume.as_ref().unwrap().queue, "q");

    let jobs = r#""engine": "queue", "target": "queue://${QUEUE:-sleep}", "steps": [{"job": {"args": ["${T:-0.5}"]}}]"#;
    let plan = plan_where("{}", jobs, &[], &[]).unwrap();
    let Action::Queue(queue) = &plan.action else { panic!("{plan:?}") };
    assert_eq!((plan.queue(), queue.jobs[0].args.as_slice()), (Some("sleep"), &["0.5".to_owned()][..]));
}

#[test]
fn what_variables_bring_in_is_checked_like_what_is_written_and_never_told() {
    let secret = "hun ter2\u{7}";
    for (services, group, field) in [
        ("{}", r#""target": "http://${S}/""#, "groups[0].target"),
        ("{}", r#""target": "${S}""#, "groups[0].target"),
        (r#"{"a": ["${S}"]}"#, r#""target": "http://a/""#, "services.a"),
        ("{}", r#""target": "http://127.0.0.1/", "headers": {"X": "${S}"}"#, "groups[0].headers.X"),
        ("{}", r#""target": "http://127.0.0.1/", "steps": [{"path": "/${S}"}]"#, "groups[0].steps[0].path"),
        ("{}", r#""engine": "queue", "target": "queue://${S}""#, "groups[0].target"),
    ] {
        let error = plan_where(services, group, &[], &[("S", secret)]).unwrap_err().to_string();
        assert!(error.starts_with(field) && !error.contains("ter2"), "{group}: {error}");
    }
    let error = plan_where("{}", r#""target": "http://${S}/""#, &[], &[("S", "hunter2")]).unwrap_err().to_string();
    assert!(error.contains("no service is named `${S}`"), "{error}");
    let error = plan_where("{}", r#""target": "http://${HOME}/""#, &[], &[]).unwrap_err().to_string();
    assert!(error.starts_with("groups[0].target: ") && error.contains("--expose-env HOME"), "{error}");
}
