use super::*;
use crate::spec::ExperimentSpec;

fn check(group: &str) -> Result<(), String> {
    let text = format!(r#"{{"groups": [{{"engine": "servo", {group}}}]}}"#);
    let spec: ExperimentSpec = crate::codec::decode(text.as_bytes()).map_err(|error| error.to_string())?;
    spec.validate().map_err(|error| error.to_string())
}

const LOAD: &str = r#""users": 20, "duration": "10s""#;

#[test]
fn servos_run_over_http_and_over_the_bus_with_nothing_said() {
    check(&format!(r#""target": "http://oco/", {LOAD}"#)).unwrap();
    check(&format!(r#""target": "nats://oco", {LOAD}"#)).unwrap();
}

#[test]
fn every_refusal_names_its_field() {
    let http = format!(r#""target": "http://oco/", {LOAD}"#);
    for (group, field) in [
        (r#""target": "https://oco/", "users": 1, "duration": "1s""#.to_owned(), "target"),
        (format!(r#""target": "nats://other", {LOAD}"#), "target"),
        (r#""target": "http://oco/", "users": 1, "iterations": 3"#.to_owned(), "iterations"),
        (r#""target": "http://oco/", "rate": "1/s", "duration": "3s""#.to_owned(), "rate"),
        (format!(r#"{http}, "steps": [{{}}]"#), "steps"),
        (format!(r#"{http}, "servo": {{"account": "a/b"}}"#), "servo.account"),
        (format!(r#"{http}, "servo": {{"app_template": "app"}}"#), "servo.app_template"),
        (format!(r#"{http}, "servo": {{"app_template": "{{n:5}}"}}"#), "servo.app_template"),
        (format!(r#""target": "nats://oco", {LOAD}, "servo": {{"app_template": "a.{{n}}"}}"#), "servo.app_template"),
        (format!(r#"{http}, "servo": {{"token": "s3cret"}}"#), "servo.token"),
        (format!(r#"{http}, "servo": {{"faults": {{"crash": 1.5}}}}"#), "servo.faults.crash"),
        (format!(r#"{http}, "servo": {{"progress_interval": "0"}}"#), "servo.progress_interval"),
        (format!(r#"{http}, "servo": {{"measure": "uniform:2s..1s"}}"#), "servo.measure"),
    ] {
        let error = check(&group).unwrap_err();
        assert!(error.contains(&format!("groups[0].{field}")), "{group}: {error}");
    }
    let error = check_group(
        "g",
        &Group { servo: Some(ServoOptions::default()), ..Group::of_target("http://a/".into()) },
        Reading::Written,
    );
    assert_eq!(error.unwrap_err().field, "g.servo");
}

#[test]
fn applications_are_numbered_over_all_nodes() {
    let named =
        |template: &str, number| ServoOptions { app_template: template.into(), ..Default::default() }.app_name(number);
    assert_eq!(ServoOptions::default().app_name(7).as_deref(), Some("app00007"));
    assert_eq!(named("x{n}y", 123_456).as_deref(), Some("x123456y"));
    for none in ["app", "{m}", "{n:}", "{n:0}", "{n:099}", "{n}{n}", "{n"] {
        assert_eq!(named(none, 1), None, "{none}");
    }
}

#[test]
fn distributions_are_read_and_written_back() {
    for text in ["constant:2s", "uniform:30s..599s", "exponential:250ms"] {
        assert_eq!(text.parse::<DurationDistribution>().unwrap().to_string(), text);
    }
    assert_eq!("2s".parse::<DurationDistribution>(), "constant:2s".parse());
    for text in ["pareto:2s", "uniform:1s", "uniform:2s..1s", "exponential:25h", ""] {
        assert!(text.parse::<DurationDistribution>().is_err(), "{text}");
    }
}
