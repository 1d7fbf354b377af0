use crate::spec::ExperimentSpec;

fn spec(groups: &str, gate: &str) -> Result<(), String> {
    let text = format!(r#"{{"groups":[{groups}],"gates":[{gate}]}}"#);
    let spec: ExperimentSpec = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    spec.validate().map_err(|error| error.to_string())
}

fn refused(groups: &str, gate: &str, because: &[&str]) {
    let error = spec(groups, gate).expect_err(gate);
    for piece in because {
        assert!(error.contains(piece), "{gate}: {error}");
    }
}

const OPEN: &str = r#"{"name":"open","target":"http://stub/","rate":"100/s","duration":"10s"}"#;
const CLOSED: &str = r#"{"name":"users","target":"http://stub/","users":5,"duration":"10s"}"#;
const STEPS: &str = r#"{"name":"shop","target":"http://stub/","rate":"100/s","duration":"10s",
    "steps":[{"name":"look"},{"name":"order"}]}"#;

#[test]
fn a_quantity_that_the_scope_does_not_have_is_refused_and_the_one_that_is_there_is_named() {
    let because = ["gates[0].expression", "closed model", "write `p99(service)`"];
    refused(CLOSED, r#""p99(response) < 1s""#, &because);
    refused(CLOSED, r#"{"expression":"max(lag) < 10ms","over":"5s"}"#, &["closed model", "max(service)"]);
    let both = format!("{OPEN},{CLOSED}");
    refused(&both, r#"{"expression":"p99(response) < 1s","group":"users"}"#, &because);
    let because = ["gates[0].expression", "only the first step", "p50(service)", "service or blocked"];
    refused(STEPS, r#"{"expression":"p50(response) < 1s","step":"order"}"#, &because);
    refused(STEPS, r#"{"expression":"p50(lag) < 1s","group":"shop","step":"order"}"#, &because);
    for (groups, gate) in [
        (CLOSED, r#""p99(service) < 1s""#),
        (CLOSED, r#""p99(blocked) < 1s""#),
        (STEPS, r#""p99(response) < 1s""#),
        (STEPS, r#"{"expression":"p99(response) < 1s","step":"look"}"#),
        (STEPS, r#"{"expression":"p99(service) of all < 1s","step":"order"}"#),
        // The open group decides.
        (both.as_str(), r#""p99(response) < 1s""#),
        (r#"{"engine":"servo","target":"http://oco/","users":5,"duration":"10s"}"#, r#""p99(response) < 1s""#),
    ] {
        assert_eq!(spec(groups, gate), Ok(()), "{gate}");
    }
}

#[test]
fn a_message_that_comes_back_has_a_response_where_it_was_planned() {
    let amqp = |load: &str| {
        format!(
            r#"{{"engine":"amqp","target":"amqp://broker/",{load},"steps":[
                {{"name":"take","consume":{{"queue":"q"}}}},{{"name":"send","publish":{{"routing_key":"q"}}}}]}}"#
        )
    };
    let (open, closed) = (amqp(r#""rate":"10/s","duration":"9s""#), amqp(r#""users":3,"duration":"9s""#));
    for step in ["take", "send"] {
        let gate = format!(r#"{{"expression":"p50(response) < 1s","step":"{step}"}}"#);
        assert_eq!(spec(&open, &gate), Ok(()));
        refused(&closed, &gate, &["closed model"]);
    }
    refused(&open, r#"{"expression":"p50(lag) < 1s","step":"take"}"#, &["gates[0].expression"]);
}

#[test]
fn a_window_that_is_longer_than_the_load_is_refused_and_told_how_long_that_is() {
    let gate = |over: &str| format!(r#"{{"expression":"p50(service) < 1s","over":"{over}"}}"#);
    for (groups, seconds) in [
        (OPEN.to_owned(), 10),
        (CLOSED.to_owned(), 10),
        (r#"{"target":"http://stub/","rate":"100/s","duration":"10s","iterations":350}"#.to_owned(), 3),
        (r#"{"target":"http://stub/","rate":"100/s","iterations":77}"#.to_owned(), 0),
        // The pause before it does not belong to it.
        (
            r#"{"target":"http://stub/","stages":[{"duration":"4s","rate":0},{"duration":"7500ms","rate":"5/s"}]}"#
                .to_owned(),
            7,
        ),
        // 1 + 3 + 5 + 7 arrivals in four seconds of this ramp, and no more are wanted.
        (
            r#"{"target":"http://stub/","stages":[{"duration":"10s","rate":0,"to":"20/s"}],"iterations":16}"#
                .to_owned(),
            4,
        ),
    ] {
        if seconds > 0 {
            assert_eq!(spec(&groups, &gate(&format!("{seconds}s"))), Ok(()), "{groups}");
        }
        let because = ["gates[0].over", &format!("which has {seconds} whole seconds")];
        refused(&groups, &gate(&format!("{}s", seconds + 1)), &because);
    }
    // How long these take is for the target to say.
    let users = r#"{"target":"http://stub/","users":5,"iterations":100}"#;
    assert_eq!(spec(users, &gate("1h")), Ok(()));
    refused(OPEN, &gate("1500ms"), &["gates[0].over", "whole number of seconds"]);
}

#[test]
fn a_rate_that_no_window_could_tell_is_refused() {
    let slow = r#"{"target":"http://stub/","rate":"0.5/s","duration":"60s"}"#;
    let gate = |text: &str, over: &str| format!(r#"{{"expression":"{text}","over":"{over}"}}"#);
    refused(slow, &gate("rate > 0.4/s", "2s"), &["gates[0].over", "0.4/s", "8s or longer"]);
    refused(slow, &gate("rate < 0.6/s", "2s"), &["gates[0].over"]);
    assert_eq!(spec(slow, &gate("rate > 0.4/s", "30s")), Ok(()));
    assert_eq!(spec(slow, r#""rate > 0.4/s""#), Ok(()));
    // Far more comes than is asked for: that can be told.
    assert_eq!(spec(OPEN, &gate("rate > 1/s", "1s")), Ok(()));
}

#[test]
fn who_is_not_there_is_named() {
    refused(OPEN, r#"{"expression":"failures < 1%","group":"nobody"}"#, &["gates[0].group", "nobody"]);
    refused(OPEN, r#"{"expression":"failures < 1%","step":"nothing"}"#, &["gates[0].step", "nothing"]);
    // A step of another group.
    let both = format!("{OPEN},{STEPS}");
    refused(&both, r#"{"expression":"failures < 1%","group":"open","step":"order"}"#, &["gates[0].step"]);
}
