use super::*;

fn spec(group: &str) -> ExperimentSpec {
    serde_json::from_str(&format!(r#"{{"seed":7,"groups":[{{"target":"http://127.0.0.1:1/",{group}}}]}}"#)).unwrap()
}

fn until_seconds(group: &str) -> Option<f64> {
    let spec = spec(group);
    offered_until_ns(&spec, 0, &spec.groups[0], 3).map(|ns| ns as f64 / 1e9)
}

#[test]
fn a_group_is_offered_for_as_long_as_its_iterations_are_given() {
    assert_eq!(until_seconds(r#""rate":"100/s","duration":"3s","iterations":77"#), Some(0.77));
    assert_eq!(until_seconds(r#""rate":"100/s","duration":"3s","iterations":300"#), Some(3.0));
    assert_eq!(until_seconds(r#""rate":"100/s","duration":"3s""#), Some(3.0));
    assert_eq!(until_seconds(r#""rate":"100/s","rate_per_node":true,"duration":"3s","iterations":150"#), Some(0.5));
    // 0 to 100/s in 10 s: t²·5 iterations after t.
    let ramp = r#""stages":[{"duration":"10s","rate":"0/s","to":"100/s"}],"iterations":125"#;
    assert!((until_seconds(ramp).unwrap() - 5.0).abs() < 1e-6);
    assert_eq!(until_seconds(r#""users":3,"duration":"4s""#), Some(4.0));
    assert_eq!(until_seconds(r#""users":3,"iterations":4"#), None);
    let poisson = until_seconds(r#""rate":"100/s","duration":"30s","iterations":77,"arrivals":"poisson""#).unwrap();
    assert!((0.4..1.5).contains(&poisson), "{poisson}");
}

#[test]
fn the_seconds_of_a_schedule_add_up_to_it() {
    for group in [
        r#""rate":"33.3/s","duration":"7s""#,
        r#""rate":"0.5/s","duration":"5s""#,
        r#""rate":"100/s","duration":"3s","iterations":77"#,
        r#""stages":[{"duration":"2500ms","rate":"10/s","to":"90/s"},{"duration":"1s","rate":"0/s"},{"duration":"2s","rate":"7/s"}]"#,
        r#""rate":"250/s","duration":"4s","arrivals":"poisson""#,
    ] {
        let spec = spec(group);
        let arrivals = schedule(&spec, 0, &spec.groups[0], 1).unwrap();
        let mut expected = vec![0u64; 12];
        arrivals.for_each(|arrival| expected[(arrival.planned_ns / SECOND_NS) as usize] += 1);
        let mut seconds = SecondsOfSchedule::new(&spec, 0, &spec.groups[0], 1).unwrap();
        let found: Vec<u64> = (0..12).map(|second| seconds.count(second)).collect();
        assert_eq!(found, expected, "{group}");
        assert_eq!(scheduled(&spec, 0, &spec.groups[0], 1), Some(expected.iter().sum()), "{group}");
    }
    let closed = spec(r#""users":3,"duration":"4s""#);
    assert!(SecondsOfSchedule::new(&closed, 0, &closed.groups[0], 1).is_none());
}

#[test]
fn each_group_is_offered_in_its_own_time() {
    let text = r#"{"groups":[
        {"name":"short","target":"http://127.0.0.1:1/","rate":"50/s","duration":"3s"},
        {"name":"long","target":"http://127.0.0.1:1/","rate":"10/s","duration":"10s"},
        {"name":"counted","target":"http://127.0.0.1:1/","users":2,"iterations":5}]}"#;
    let spec: ExperimentSpec = serde_json::from_str(text).unwrap();
    let times = OfferedTimes::new(&spec, &[1, 1, 1]);
    assert_eq!(times.within(0, 2, SECOND_NS, 50, None), SECOND_NS);
    assert_eq!(times.within(0, 3, SECOND_NS, 0, None), 0);
    assert_eq!(times.within(1, 9, SECOND_NS, 10, Some(9_250_000_000)), 250_000_000);
    assert_eq!(times.within(2, 0, SECOND_NS, 4, None), SECOND_NS);
    assert_eq!(times.within(2, 1, 300_000_000, 1, None), 300_000_000);
    assert_eq!(times.within(2, 2, SECOND_NS, 0, None), 0);
}
