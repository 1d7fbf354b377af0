//! The last word: whether what was made is a specification that Nuncius takes. Where a step is not, it is told by its
//! path in the file, and left out where that is wanted.

use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::spec::ExperimentSpec;
use serde_json::Value;

use super::flow::StepOrigin;
use super::origin::Origin;
use crate::error::ImportError;
use crate::keys::{KeyReport, Support};

/// Most steps that are found wanting before nothing more is looked at.
const STEPS_MAX: usize = 100;

/// What steps do, by their keys.
const VERBS: [&str; 16] = [
    "get", "post", "put", "patch", "delete", "head", "options", "request", "set", "log", "think", "call", "loop",
    "parallel", "ws", "socketio",
];

/// The specification of a document, without the steps that are found wanting; and those.
///
/// # Errors
/// It is not of steps alone what is wrong.
pub(crate) fn settle(
    document: &mut Value,
    Origin { scenarios, steps, .. }: &mut Origin,
) -> Result<(ExperimentSpec, Vec<KeyReport>), ImportError> {
    let mut refused = Vec::new();
    loop {
        let (field, problem) = match read(document) {
            Ok(specification) => return Ok((specification, refused)),
            Err(error) => error,
        };
        let wrong = || ImportError::Specification { field: field.clone(), problem: problem.clone() };
        if refused.len() >= STEPS_MAX {
            return Err(wrong());
        }
        let (path, index) = step_at(document, &field).ok_or_else(wrong)?;
        let list = path.iter().try_fold(&mut *document, |value, key| match key {
            Key::Name(name) => value.get_mut(name),
            Key::Index(index) => value.get_mut(index),
        });
        let list = list.and_then(Value::as_array_mut).filter(|list| index < list.len()).ok_or_else(wrong)?;
        let is_scenario = matches!(path.last(), Some(Key::Name(name)) if name == "scenarios");
        if is_scenario && list.len() == 1 {
            return Err(wrong());
        }
        let removed = list.remove(index);
        let name = removed.get("name").and_then(Value::as_str).unwrap_or_default();
        let place = if is_scenario {
            steps.retain(|step| step.scenario != name);
            let position = scenarios.iter().position(|scenario| scenario.scenario == name);
            position.map(|at| scenarios.remove(at).path)
        } else {
            let is_it = |origin: &StepOrigin| {
                let rest = origin.step.strip_suffix(name);
                !name.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest == format!("{}/", origin.scenario))
            };
            steps.iter().position(is_it).map(|at| steps.remove(at).path)
        };
        let place = place.unwrap_or_else(|| field.clone());
        refused.push(KeyReport {
            path: place,
            position: None,
            support: Support::Refused,
            note: format!("what comes out is refused: {field}: {problem}"),
        });
    }
}

fn read(document: &Value) -> Result<ExperimentSpec, (String, String)> {
    let specification: ExperimentSpec = codec::from_text(&document.to_string()).map_err(|error| match error {
        CodecError::Field { field, problem, .. } => (field, problem),
        other => ("the specification".to_owned(), other.to_string()),
    })?;
    specification.validate().map_err(|error| (error.field, error.problem))?;
    Ok(specification)
}

/// A part of the path of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Name(String),
    Index(usize),
}

/// The innermost step that a field is in, else the scenario: the path of its list, and its place there.
fn step_at(document: &Value, field: &str) -> Option<(Vec<Key>, usize)> {
    let (mut value, mut path, mut found) = (document, Vec::new(), None);
    for part in field.split('.') {
        let (name, indexes) = part.find('[').map_or((part, ""), |at| part.split_at(at));
        let indexes =
            indexes.split(['[', ']']).filter(|text| !text.is_empty()).map(|text| text.parse().map(Key::Index));
        for key in [Ok(Key::Name(name.to_owned()))].into_iter().chain(indexes) {
            let Ok(key) = key else { return found };
            let inner = match &key {
                Key::Name(name) => value.get(name),
                Key::Index(index) => value.get(index),
            };
            let Some(inner) = inner else { return found };
            // A scenario as a whole, where no step of it is meant.
            let is_scenario = matches!(path.last(), Some(Key::Name(name)) if name == "scenarios");
            if let Key::Index(index) = &key
                && is_scenario | VERBS.iter().any(|verb| inner.get(verb).is_some()) | inner.get("if").is_some()
            {
                found = Some((path.clone(), *index));
            }
            value = inner;
            path.push(key);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::flow::Act;
    use super::*;

    fn document() -> Value {
        let get = |name: &str, url: &str| json!({ "name": name, "get": { "url": url } });
        let inner = json!({ "loop": { "count": 2, "steps": [get("b", "/b"), get("c", "no path")] } });
        let steps = json!([get("a", "/a"), inner, get("d", &"/".repeat(10_000))]);
        json!({ "groups": [{
            "target": "http://127.0.0.1", "rate": 1, "duration": "1s", "scenarios": [{ "name": "s", "steps": steps }],
        }] })
    }

    fn origins() -> Origin {
        let origin = |name: &str, path: &str| StepOrigin {
            scenario: "s".to_owned(),
            step: name.to_owned(),
            act: Act::Call,
            path: path.to_owned(),
        };
        let steps = vec![
            origin("a", "flow[0]"),
            origin("b", "flow[1].loop[0]"),
            origin("s/c", "flow[1].loop[1]"),
            origin("d", "flow[2]"),
        ];
        Origin { steps, ..Origin::default() }
    }

    #[test]
    fn steps_that_are_found_wanting_are_told_by_their_place_in_the_file() {
        let (mut document, mut steps) = (document(), origins());
        let (specification, refused) = settle(&mut document, &mut steps).unwrap();
        let places: Vec<&str> = refused.iter().map(|key| key.path.as_str()).collect();
        assert_eq!(places.len(), 2);
        assert!(places.contains(&"flow[1].loop[1]") && places.contains(&"flow[2]"), "{places:?}");
        assert_eq!(steps.steps.iter().map(|step| step.step.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(specification.groups[0].scenarios[0].steps.len(), 2);
    }

    #[test]
    fn what_is_wrong_with_no_step_is_an_error() {
        let mut document = document();
        document["groups"][0]["target"] = json!("nowhere");
        let error = settle(&mut document, &mut origins()).unwrap_err();
        assert!(matches!(&error, ImportError::Specification { field, .. } if field == "groups[0].target"), "{error}");
        let error = settle(&mut json!([]), &mut Origin::default()).unwrap_err();
        assert!(matches!(error, ImportError::Specification { .. }));
    }

    proptest::proptest! {
        #[test]
        fn no_field_makes_it_panic(
            field in "(groups|\\[|\\]|0|1|99999999999999999999|\\.|scenarios|steps|loop|name){0,20}",
        ) {
            drop(step_at(&document(), &field));
        }
    }
}
