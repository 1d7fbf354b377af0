use super::*;

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
