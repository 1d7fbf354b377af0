//! Files in which something is not what it should be: whatever it is, the import ends with a specification that Nuncius
//! takes, or with an error that says which key is meant.

use std::convert::Infallible;

use nuncius_import::artillery::{Imported, Options, import};
use nuncius_import::{ImportError, Support, Wanted};
use nuncius_scenario::{Names, Template};
use nuncius_schemas::codec::from_text;
use nuncius_schemas::spec::texts::TextKind;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{directory, options};

/// The golden files as trees.
fn files() -> Vec<(String, Value)> {
    let mut files: Vec<(String, Value)> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .map(|name| {
            let text = std::fs::read_to_string(directory().join(&name)).unwrap();
            // Where templates stand without quotes, only the importer knows what is meant.
            let quoted = || text.replace(": {{", ": \"{{").replace("}}\n", "}}\"\n");
            let tree = from_text::<Value>(&text).or_else(|_| from_text(&quoted()));
            let tree = tree.unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, tree)
        })
        .collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

/// How many nodes a tree has.
fn size(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.values().map(size).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Changes the node of a number.
fn change(tree: &mut Value, number: &mut usize, by: &dyn Fn(&mut Value)) {
    if *number == 0 {
        by(tree);
        *number = usize::MAX;
        return;
    }
    *number -= 1;
    let inner: Vec<&mut Value> = match tree {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(map) => map.values_mut().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for value in inner {
        change(value, number, by);
        if *number == usize::MAX {
            return;
        }
    }
}

/// What can stand anywhere, and mostly should not.
fn intruders() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(2.5),
        json!(1e300),
        json!(18_446_744_073_709_551_615u64),
        json!(""),
        json!("x"),
        json!("1h"),
        json!("100%"),
        json!("{{ a.b[0] }}"),
        json!("{{ $env.NOBODY }} ${X} {{ 'q' }} {{"),
        json!("\u{0}\n'\"\\}}é\u{1f600}"),
        json!("x".repeat(70_000)),
        json!([]),
        json!(["a", {"b": [1]}, null]),
        json!({}),
        json!({"": {"a b": 1}, "url": "/", "json": [1], "count": -3, "name": "n"}),
    ]
}

/// What comes of a tree; panics where it breaks a promise.
fn promise(name: &str, tree: &Value, loose: bool) -> Result<(), String> {
    let options = Options { leave_out_refused: loose, ..options() };
    let mut reader =
        |wanted: Wanted<'_>| std::fs::read(directory().join(wanted.path)).map_err(|_| "it is not there".to_owned());
    match import(name, tree.to_string().as_bytes(), &options, &mut reader) {
        Ok(imported) => fills_in(imported),
        Err(ImportError::Specification { field, problem }) => Err(format!("{field}: {problem}")),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && text.len() < 20_000, "{text}");
            Ok(())
        }
    }
}

/// Every text of the specification is one that sessions can fill in.
fn fills_in(mut imported: Imported) -> Result<(), String> {
    let mut names = Names::new();
    let mut problems = Vec::new();
    let all: Result<(), Infallible> = imported.specification.visit_texts(&mut |text| {
        let is_template = match text.kind {
            TextKind::Url | TextKind::Header(_) | TextKind::Body | TextKind::Template | TextKind::Value(_) => true,
            TextKind::Name
            | TextKind::File
            | TextKind::Note(_)
            | TextKind::Label(_)
            | TextKind::Address
            | TextKind::Place
            | TextKind::Argument(_)
            | TextKind::Command(_)
            | TextKind::Certificate
            | TextKind::Credential
            | TextKind::Pattern
            | TextKind::Script => false,
        };
        if is_template && let Err(error) = Template::parse(text.value, &mut names) {
            problems.push(format!("{}: {error}: {}", text.field, text.value));
        }
        Ok(())
    });
    let Ok(()) = all;
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// Every path of a tree, below a path.
fn paths(tree: &Value, path: &str, all: &mut Vec<String>) {
    match tree {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                paths(item, &format!("{path}[{index}]"), all);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                all.push(path.clone());
                paths(value, &path, all);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Keys below which stand names that are the user's own.
const OF_USER: [&str; 14] = [
    "headers",
    "extraHeaders",
    "qs",
    "json",
    "form",
    "formData",
    "cookie",
    "query",
    "socketio.auth",
    "payload",
    "send",
    "data",
    "variables",
    "thresholds",
];

#[test]
fn every_key_that_is_met_is_told() {
    for (name, tree) in files() {
        let options = Options { leave_out_refused: true, ..options() };
        let mut reader =
            |wanted: Wanted<'_>| std::fs::read(directory().join(wanted.path)).map_err(|_| "it is not there".to_owned());
        let imported = import(&name, tree.to_string().as_bytes(), &options, &mut reader).unwrap();
        let mut all = Vec::new();
        paths(&tree, "", &mut all);
        for path in all {
            let is_told = imported.keys.iter().any(|key| key.path == path);
            let is_below = |above: &&str| path.contains(&format!("{above}.")) || path.contains(&format!("{above}["));
            let is_left_out = imported.keys.iter().any(|key| {
                let whole = key.path.rsplit_once('.').map_or("", |(whole, _)| whole);
                let is_part = path.starts_with(&key.path) || key.support == Support::Refused && path.starts_with(whole);
                key.support != Support::Supported && is_part
            });
            assert!(is_told || is_left_out || OF_USER.iter().any(is_below), "{name}: {path}");
        }
    }
}

#[test]
fn whatever_stands_in_the_place_of_something_the_import_ends_well_or_says_why_not() {
    let intruders = intruders();
    for (name, tree) in files() {
        for number in 0..size(&tree) {
            // Not each in each place: that takes a minute, and another run takes others.
            for offset in 0..3 {
                let intruder = &intruders[(number * 3 + offset) % intruders.len()];
                let mut changed = tree.clone();
                change(&mut changed, &mut number.clone(), &|node| *node = intruder.clone());
                for loose in [true, false] {
                    if let Err(problem) = promise(&name, &changed, loose) {
                        panic!("{name}, node {number} as {intruder}: {problem}");
                    }
                }
            }
        }
    }
}

/// Something that is done to a tree.
#[derive(Debug, Clone)]
enum Change {
    Put(usize),
    /// A key of a map gets another name.
    Rename(&'static str),
    /// It stands in a list.
    List,
    /// It stands in a map under this key.
    Map(&'static str),
    /// It is there twice.
    Twice,
    /// All below it is gone.
    Empty,
}

fn changes() -> impl Strategy<Value = Change> {
    let key = || {
        prop::sample::select(vec![
            "url",
            "flow",
            "get",
            "post",
            "capture",
            "match",
            "json",
            "as",
            "loop",
            "count",
            "over",
            "whileTrue",
            "think",
            "ifTrue",
            "emit",
            "send",
            "wait",
            "connect",
            "response",
            "acknowledge",
            "namespace",
            "parallel",
            "function",
            "beforeRequest",
            "afterResponse",
            "headers",
            "qs",
            "form",
            "formData",
            "phases",
            "duration",
            "arrivalRate",
            "rampTo",
            "payload",
            "variables",
            "plugins",
            "expect",
            "ensure",
            "engine",
            "name",
            "strict",
            "regexp",
            "$x",
        ])
    };
    prop_oneof![
        3 => any::<prop::sample::Index>().prop_map(|index| Change::Put(index.index(intruders().len()))),
        3 => key().prop_map(Change::Rename),
        1 => Just(Change::List),
        1 => key().prop_map(Change::Map),
        1 => Just(Change::Twice),
        1 => Just(Change::Empty),
    ]
}

fn apply(node: &mut Value, how: &Change) {
    let old = node.take();
    *node = match (how, old) {
        (Change::Put(index), _) => intruders().swap_remove(*index),
        (Change::Rename(key), Value::Object(mut map)) => {
            if let Some(first) = map.keys().next().cloned()
                && let Some(value) = map.remove(&first)
            {
                map.insert((*key).to_owned(), value);
            }
            Value::Object(map)
        }
        (Change::Rename(key), _) => json!(key),
        (Change::List, old) => json!([old]),
        (Change::Map(key), old) => json!({ *key: old }),
        (Change::Twice, Value::Array(mut items)) => {
            items.extend(items.clone());
            Value::Array(items)
        }
        (Change::Twice, old) => json!([old, old]),
        (Change::Empty, Value::Array(_)) => json!([]),
        (Change::Empty, Value::Object(_)) => json!({}),
        (Change::Empty, _) => json!(""),
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn files_with_several_things_wrong_break_no_promise(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), changes()), 1..8),
        loose in any::<bool>(),
    ) {
        let files = files();
        let (name, mut tree) = files[file.index(files.len())].clone();
        for (place, how) in &changes {
            let mut number = place.index(size(&tree));
            change(&mut tree, &mut number, &|node| apply(node, how));
        }
        if let Err(problem) = promise(&name, &tree, loose) {
            prop_assert!(false, "{}: {}", tree, problem);
        }
    }
}

#[test]
fn a_file_that_is_much_too_large_is_refused_at_once_and_one_that_is_large_is_read() {
    let step = "      - get: {url: \"/items/{{ id }}\", capture: {json: $.id, as: id}}\n";
    let head = "config:\n  target: http://x.test\n  phases: [{duration: 1, arrivalRate: 1}]\nscenarios:\n  - flow:\n";
    let mut reader = |_: Wanted<'_>| Err("there is none".to_owned());
    for (bytes, expected) in [(10 << 20, "at most 262144 are taken"), (200_000, "the specification: ")] {
        let text = format!("{head}{}", step.repeat(bytes / step.len()));
        let error = import("large.yaml", text.as_bytes(), &options(), &mut reader).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let large = vec![b'a'; 80 << 20];
    let mut reader = |_: Wanted<'_>| Ok(large.clone());
    let text = "config: {target: 'http://x.test', payload: {path: a.csv, fields: [a]}}\n\
                scenarios: [{flow: [{get: {url: /}}]}]";
    let error = import("x.yaml", text.as_bytes(), &options(), &mut reader).unwrap_err().to_string();
    assert!(error.contains("a.csv") && error.contains("67108864"), "{error}");
}
