use serde_json::json;

use super::*;

fn read(text: &str) -> SweepSpec {
    crate::codec::from_text(text).unwrap()
}

const GOOD: &str = "factors:\n  rate: [100, 200/s, 400]\n  payload: [small, large]\n";

#[test]
fn the_smallest_sweep_is_a_list_of_values() {
    let sweep = read(GOOD);
    assert_eq!(sweep.check(), Ok(()));
    assert_eq!((sweep.combinations(), sweep.runs(), sweep.load_factor()), (6, 18, Some("rate")));
    assert_eq!(sweep, SweepSpec::of_factors(sweep.factors.clone()));
    assert_eq!(sweep.factors["rate"].values, [json!(100), json!("200/s"), json!(400)]);
    // The last one by name changes first.
    let levels = |number| sweep.levels(number).values().map(value_text).collect::<Vec<_>>();
    assert_eq!((levels(1), levels(2)), (vec!["small".into(), "100".into()], vec!["small".into(), "200/s".into()]));
    assert_eq!(levels(6), ["large", "400"]);
    assert!(levels(0).is_empty() && levels(7).is_empty());
    let again: SweepSpec = serde_json::from_value(serde_json::to_value(&sweep).unwrap()).unwrap();
    assert_eq!(again, sweep);
}

#[test]
fn a_factor_may_name_the_fields_that_it_changes() {
    let sweep = read("factors: {both: {fields: ['groups[0].rate', 'groups[b].rate'], values: [1, 2]}}\nrepeats: 1");
    assert_eq!(sweep.check(), Ok(()));
    assert_eq!(sweep.load_factor(), Some("both"));
    let again: SweepSpec = serde_json::from_value(serde_json::to_value(&sweep).unwrap()).unwrap();
    assert_eq!(again, sweep);
    let two = read("factors: {rate: [1, 2], users: [1, 2]}");
    assert_eq!(two.load_factor(), None, "either may be the load");
    assert_eq!(SweepSpec { load: Some("users".into()), ..two }.load_factor(), Some("users"));
}

#[test]
fn what_cannot_be_is_refused_by_its_field_with_the_limit() {
    let many: Vec<u32> = (0..65).collect();
    let nine: Vec<String> = (0..9).map(|at| format!("f{at}: [1, 2]")).collect();
    for (text, field, part) in [
        ("factors: {}".to_owned(), "factors", "0 of them; give 1 to 8"),
        (format!("factors: {{{}}}", nine.join(", ")), "factors", "9 of them"),
        ("factors: {a: [1]}".into(), "factors.a", "1 values; give 2 to 64"),
        (format!("factors: {{a: {many:?}}}"), "factors.a", "65 values"),
        ("factors: {a: [1, 1]}".into(), "factors.a", "`1` is there twice"),
        ("factors: {a: [1, [2]]}".into(), "factors.a", "a text, a number, true or false"),
        ("factors: {a: [1, null]}".into(), "factors.a", "a text, a number, true or false"),
        (format!("factors: {{a: [1, {}]}}", "x".repeat(9_000)), "factors.a", "longer than 8192 bytes"),
        ("factors: {' ': [1, 2]}".into(), "factors. ", "name empty"),
        (format!("{GOOD}repeats: 0"), "repeats", "give 1 to 100"),
        (format!("{GOOD}load: rat"), "load", "did you mean `rate`?"),
        (format!("{GOOD}resource: cpu"), "resource", "known here: payload, rate"),
        (format!("{GOOD}resource: rate"), "resource", "the load already"),
        (format!("{GOOD}at_most: 0"), "at_most", "give 1 to 10000"),
        (format!("{GOOD}at_most: 17"), "factors", "2 × 3 × 3 repeats are 18 runs, at most 17 (`at_most`, up to 10000)"),
    ] {
        let error = read(&text).check().unwrap_err();
        assert_eq!(error.field, field, "{error}");
        assert!(error.problem.contains(part), "{error}");
    }
}

#[test]
fn how_a_factor_may_be_written_is_told_where_it_is_not() {
    for text in ["factors: {a: 5}", "factors: {a: {values: [1, 2]}}", "factors: {a: {fields: [b], value: [1]}}"] {
        let error = crate::codec::from_text::<SweepSpec>(text).unwrap_err().to_string();
        assert!(error.starts_with("factors.a"), "{text}: {error}");
    }
}
