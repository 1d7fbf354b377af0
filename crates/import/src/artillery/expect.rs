//! The plugin `expect`: what is asked of answers, as checks.

use nuncius_schemas::flow::{Check, Condition, Subject};
use nuncius_schemas::spec::{Expect, Statuses};
use serde_json::{Value, json};

use super::capture::Taken;
use super::config::{Config, ExpectOptions};
use super::flow::{cut, plain_name};
use super::pieces::check;
use super::regexp::{self, Group};
use super::state::{State, Sure};
use super::template::has_template;
use super::view::{View, shown};
use super::{human, json_path};

const KNOWN: [&str; 12] = [
    "statusCode",
    "notStatusCode",
    "contentType",
    "hasProperty",
    "notHasProperty",
    "equals",
    "hasHeader",
    "headerEquals",
    "matchesRegexp",
    "cdnHit",
    "jmespath",
    "jpath",
];

/// Longest name of a check, in characters.
const NAME_MAX: usize = 64;

/// What kind of expectation a check is of, by its name; `None` where it is of none.
pub(crate) fn kind_of(name: &str) -> Option<&'static str> {
    let first = name.split(' ').next()?;
    KNOWN.into_iter().find(|kind| *kind == first)
}

/// Names a check as the plugin does: its kind, and what is expected.
fn named(check: Check, kind: &str, view: &View<'_>) -> Check {
    let expected: Vec<String> = view.listed().iter().filter_map(View::text).collect();
    let name = format!("{kind} {}", expected.join(", "));
    Check { name: Some(cut(&plain_name(&name), NAME_MAX)), ..check }
}

/// What stands under `config.plugins.expect`.
pub(crate) fn options(state: &mut State<'_, '_>, plugin: &View<'_>) -> ExpectOptions {
    const OPTIONS: [&str; 6] = [
        "outputFormat",
        "formatter",
        "reportFailuresAsErrors",
        "expectDefault200",
        "useOnlyRequestNames",
        "suppressOutput",
    ];
    let mut options = ExpectOptions::default();
    for (key, view) in plugin.entries() {
        match key {
            "reportFailuresAsErrors" => options.fails = view.boolean().unwrap_or(false),
            "expectDefault200" => options.default_200 = view.boolean().unwrap_or(false),
            "suppressOutput" => {}
            "outputFormat" | "formatter" | "useOnlyRequestNames" => {
                state.ledger.approximated(view.spot(), "checks are told in the report, by step");
                continue;
            }
            other => {
                state.ledger.unknown(view.spot(), other, &OPTIONS);
                continue;
            }
        }
        state.ledger.supported(view.spot());
    }
    options
}

/// Reads `expect` of a request.
pub(crate) fn read(state: &mut State<'_, '_>, config: &Config, params: &View<'_>, taken: &mut Taken, sure: &Sure) {
    let view = params.get("expect").filter(|view| !view.is_nothing());
    let Some(options) = config.expect else {
        if let Some(view) = view {
            state.ledger.approximated(view.spot(), "without `config.plugins.expect` it means nothing: it is left out");
        }
        return;
    };
    let before = taken.checks.len();
    if let Some(view) = view {
        state.ledger.supported(view.spot());
        for item in view.listed() {
            for (key, asked) in item.entries() {
                let from = taken.checks.len();
                one(state, key, &asked, taken, sure);
                let made: Vec<Check> = taken.checks.drain(from..).map(|check| named(check, key, &asked)).collect();
                taken.checks.extend(made);
            }
        }
    } else if options.default_200 {
        taken.checks.push(Check { name: Some("statusCode 200".to_owned()), ..of_statuses(&[(200, 200)]) });
    }
    if taken.checks.len() > before && options.fails {
        taken.fails = true;
    } else if taken.fails
        && taken.checks.len() > before
        && let Some(view) = params.get("expect")
    {
        let note = "beside `match` one that fails ends the user, too";
        state.ledger.approximated(view.spot(), note);
    }
}

fn one(state: &mut State<'_, '_>, key: &str, view: &View<'_>, taken: &mut Taken, sure: &Sure) {
    let text = view.text().unwrap_or_default();
    let is_open = has_template(&text);
    let open = "what is expected cannot depend on variables here";
    let mut push = |state: &mut State<'_, '_>, written: Value| {
        match check(written) {
            Some(made) => taken.checks.push(made),
            None => state.ledger.refused(view.spot(), "it cannot be asked here"),
        }
        state.ledger.supported(view.spot());
    };
    match key {
        "statusCode" | "notStatusCode" => match codes(view) {
            Some(codes) => {
                let ranges: Vec<(u16, u16)> = codes.iter().map(|code| (*code, *code)).collect();
                let ranges = if key == "statusCode" { ranges } else { others(codes) };
                taken.checks.push(of_statuses(&ranges));
                state.ledger.supported(view.spot());
            }
            None => state.ledger.refused(view.spot(), "it is no status (100 to 599), nor a list of them, written out"),
        },
        "contentType" if is_open => state.ledger.refused(view.spot(), open),
        "contentType" if text == "json" => {
            push(state, json!({ "header": "content-type", "matches": "application/(problem\\+|ld\\+)?json" }));
            let note = "whether the body is JSON is not looked at: ask for a property";
            state.ledger.approximated(view.spot(), note);
        }
        "contentType" => {
            let pattern = format!("(?i)^{}$", regexp::literally(&text));
            push(state, json!({ "header": "content-type", "matches": pattern }));
        }
        "hasProperty" | "notHasProperty" if is_open => state.ledger.refused(view.spot(), open),
        "hasProperty" | "notHasProperty" => match json_path::of_property(&text) {
            Ok(path) => push(state, json!({ "json": path, "exists": key == "hasProperty" })),
            Err(problem) => state.ledger.refused(view.spot(), format!("`{}` {problem}", shown(&text))),
        },
        "hasHeader" if is_open => state.ledger.refused(view.spot(), open),
        "hasHeader" => header(state, view, &text, json!(true), "exists", taken),
        "headerEquals" => {
            let items = view.items();
            let (Some(name), Some(expected)) = (items.first().and_then(View::text), items.get(1)) else {
                state.ledger.refused(view.spot(), "it is no list of a header and its value");
                return;
            };
            let expected = state.text(expected, super::texts::Place::Needed, sure);
            header(state, view, &name, expected.into(), "equals", taken);
        }
        "matchesRegexp" if is_open => state.ledger.refused(view.spot(), open),
        "matchesRegexp" => match regexp::rewrite(&text, "", &Group::Whole) {
            Ok(pattern) => push(state, json!({ "body": null, "matches": pattern })),
            Err(problem) => state.ledger.refused(view.spot(), format!("`{}` {problem}", shown(&text))),
        },
        "equals" => state.ledger.refused(view.spot(), "checks look at the answer alone: compare by `match`"),
        "cdnHit" => state.ledger.refused(view.spot(), "one of several headers cannot be asked for: name it"),
        "jmespath" | "jpath" => state.ledger.refused(view.spot(), "JMESPath is not known here: ask by `hasProperty`"),
        other => state.ledger.unknown(view.spot(), other, &KNOWN),
    }
}

fn header(state: &mut State<'_, '_>, view: &View<'_>, name: &str, expected: Value, condition: &str, taken: &mut Taken) {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 256 || !name.bytes().all(is_token) {
        state.ledger.refused(view.spot(), format!("`{}` is no name of a header", shown(name)));
        return;
    }
    if let Some(made) = check(json!({ "header": name, condition: expected })) {
        taken.checks.push(made);
        state.ledger.supported(view.spot());
    }
}

/// The statuses that are written; `None` where something else is.
fn codes(view: &View<'_>) -> Option<Vec<u16>> {
    let code = |view: &View<'_>| {
        let number = view.text().as_deref().and_then(human::number)?;
        ((100.0..600.0).contains(&number) && number.fract() == 0.0).then_some(number as u16)
    };
    let codes: Option<Vec<u16>> = view.listed().iter().map(code).collect();
    codes.filter(|codes| !codes.is_empty())
}

/// All other statuses.
fn others(mut codes: Vec<u16>) -> Vec<(u16, u16)> {
    codes.sort_unstable();
    let mut ranges = Vec::new();
    let mut from = 100;
    for code in codes {
        if code > from {
            ranges.push((from, code - 1));
        }
        from = from.max(code + 1);
    }
    if from <= 599 {
        ranges.push((from, 599));
    }
    ranges
}

fn of_statuses(ranges: &[(u16, u16)]) -> Check {
    Check { name: None, subject: Subject::Status, condition: Condition::OneOf(statuses(ranges).status) }
}

/// Statuses from and to.
pub(crate) fn statuses(ranges: &[(u16, u16)]) -> Expect {
    let written: Vec<String> =
        ranges.iter().map(|(from, to)| if from == to { from.to_string() } else { format!("{from}-{to}") }).collect();
    let read = serde_json::from_value(json!(written));
    let each = || Statuses::of(ranges.iter().flat_map(|(from, to)| *from..=*to));
    Expect { status: read.unwrap_or_else(|_| each()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_other_statuses_are_ranges_around_those_that_are_named() {
        assert_eq!(others(vec![500, 404]), [(100, 403), (405, 499), (501, 599)]);
        assert_eq!(others(vec![100, 101, 599]), [(102, 598)]);
        assert_eq!(statuses(&[(200, 200), (300, 302)]).status.codes().collect::<Vec<_>>(), [200, 300, 301, 302]);
    }
}
