use super::*;

#[test]
fn a_gate_reads_back_as_it_was_written() {
    for text in [
        "p99(response) < 250ms",
        "p99.9(service) <= 1s",
        "p95(response) of all < 50ms",
        "max(service) of all < 1s",
        "max(lag) < 10ms",
        "failures < 1%",
        "censored <= 0.5%",
        "rate > 900/s",
        "rate >= 20/m",
        "rate > 1/h",
        "failures < 0.00000001%",
        "p99.99999999(response) < 1s",
    ] {
        let gate: GateExpression = text.parse().unwrap();
        assert_eq!(gate.to_string(), text);
    }
}

#[test]
fn a_gate_that_means_nothing_is_refused_with_the_reason() {
    for (text, reason) in [
        ("p99(response)", "no comparison"),
        ("p100(response) < 1s", "`p100`"),
        ("p100(response) < 1s", "did you mean `max`?"),
        ("p99(response) =< 250ms", "`=<` is no comparison: write `<=`"),
        ("failures => 1%", "`=>` is no comparison: write `>=`"),
        ("p99(response) == 250ms", "never equals a limit exactly"),
        ("p99(response) ≤ 250ms", "write `<=`"),
        ("failures != 1%", "a gate has one side"),
        ("< 1%", "nothing stands before"),
        ("failures <", "nothing stands after"),
        ("fialures < 1%", "did you mean `failures`?"),
        ("error_rate < 1%", "did you mean `failures`?"),
        ("throughput > 5/s", "did you mean `rate`?"),
        ("p99(reponse) < 250ms", "did you mean `response`?"),
        ("p99(latency) < 250ms", "did you mean `response`?"),
        ("p99(response < 250ms", "the `)` is missing"),
        ("response < 250ms", "write p99(response) or max(response)"),
        ("latency < 250ms", "write p99(response)"),
        ("p99 < 250ms", "write p99(response)"),
        ("avg(response) < 250ms", "a mean hides"),
        ("maxi(response) < 250ms", "did you mean `max`?"),
        ("rate(main) > 5/s", "takes nothing in parentheses"),
        ("p99(lag) of all < 5ms", "`of all` belongs to response and service"),
        ("p99(response) of everything < 5ms", "unknown `of everything` (succeeded, all)"),
        ("p99(respones)", "did you mean `response`?"),
        ("p99(speed) < 1s", "speed"),
        ("failures < 1", "percent"),
        ("p99(response) < 250", "duration"),
        ("rate > -1/s", "rate"),
        ("failures < NaN%", "percentage"),
        ("failures < 1e-9%", "percentage"),
        ("p99.9999999999999(response) < 1s", "unknown function"),
    ] {
        let error = text.parse::<GateExpression>().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(!error.contains("unknown metric `p99"), "{error}");
    }
}

#[test]
fn scope_and_abort_survive_the_wire() {
    let gate: Gate =
        serde_json::from_str(r#"{"expression":"p99(response) < 250ms","group":"browse","over":"30s","abort":true}"#)
            .unwrap();
    let bytes = rmp_serde::to_vec_named(&gate).unwrap();
    assert_eq!(rmp_serde::from_slice::<Gate>(&bytes).unwrap(), gate);
    assert!(serde_json::from_str::<Gate>(r#"{"expression":"rate > 1/s","abrt":true}"#).is_err());
}

#[test]
fn whose_latencies_count_is_said_in_the_text_or_beside_it_and_means_the_same() {
    let text: Gate = serde_json::from_str(r#""p95(response) of all < 50ms""#).unwrap();
    let map: Gate = serde_json::from_str(r#"{"expression":"p95(response) < 50ms","of":"all"}"#).unwrap();
    assert_eq!(text, map);
    assert_eq!(text.expression.of, LatencyOf::All);
    assert_eq!(text.to_string(), "p95(response) of all < 50ms");
    let default: Gate = serde_json::from_str(r#""p95(response) of succeeded < 50ms""#).unwrap();
    assert_eq!((default.expression.of, default.to_string().as_str()), (LatencyOf::Succeeded, "p95(response) < 50ms"));
    for gate in [text, default] {
        let bytes = rmp_serde::to_vec_named(&gate).unwrap();
        assert_eq!(rmp_serde::from_slice::<Gate>(&bytes).unwrap(), gate);
    }
    for refused in [
        r#"{"expression":"failures < 1%","of":"all"}"#,
        r#"{"expression":"p95(blocked) < 50ms","of":"all"}"#,
        r#"{"expression":"p95(response) of all < 50ms","of":"succeeded"}"#,
        r#"{"expression":"p95(response) < 50ms","of":"some"}"#,
    ] {
        assert!(serde_json::from_str::<Gate>(refused).is_err(), "{refused}");
    }
}
