//! The path of a field of a specification, as errors name it: `groups[0].rate`. An item of a list is known by its
//! number, or by its name: `groups[main].rate`.

use serde_json::{Map, Value};

/// Longest path, in bytes.
pub const PATH_MAX_BYTES: usize = 512;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Item(usize),
    Named(String),
}

/// Where a field is in a specification as it is published: what has a short form is in that, `get: /a` for `get: {url:
/// /a}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FieldPath {
    steps: Vec<Step>,
}

impl FieldPath {
    /// Reads a path; the problem with it where it is none.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(80).collect();
        let wrong =
            |problem: &str| format!("`{shown}` is no path of a field: {problem}; write for example groups[0].rate");
        if text.len() > PATH_MAX_BYTES {
            return Err(wrong(&format!("longer than {PATH_MAX_BYTES} bytes")));
        }
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let Some((item, after)) = inside.split_once(']') else { return Err(wrong("a `]` is missing")) };
                if item.is_empty() || steps.is_empty() {
                    return Err(wrong("a `[` stands where a name belongs, or nothing is in it"));
                }
                steps.push(item.parse().map_or_else(|_| Step::Named(item.to_owned()), Step::Item));
                rest = after;
                continue;
            }
            let key = match (rest.strip_prefix('.'), steps.is_empty()) {
                (Some(key), false) => key,
                (None, true) => rest,
                (Some(_), true) | (None, false) => return Err(wrong("names are separated by one dot")),
            };
            let end = key.find(['.', '[']).unwrap_or(key.len());
            let (name, after) = key.split_at(end);
            if name.is_empty() {
                return Err(wrong("a name is missing"));
            }
            steps.push(Step::Key(name.to_owned()));
            rest = after;
        }
        if steps.is_empty() { Err(wrong("it is empty")) } else { Ok(Self { steps }) }
    }

    /// The field of this name in the group of this number.
    pub(crate) fn in_group(index: usize, names: &[&str]) -> Self {
        let names = names.iter().map(|name| Step::Key((*name).to_owned()));
        Self { steps: [Step::Key("groups".to_owned()), Step::Item(index)].into_iter().chain(names).collect() }
    }

    /// The first name.
    pub(crate) fn root(&self) -> &str {
        match self.steps.first() {
            Some(Step::Key(name)) => name,
            Some(Step::Item(_) | Step::Named(_)) | None => "",
        }
    }

    /// The last name.
    pub(crate) fn leaf(&self) -> &str {
        match self.steps.last() {
            Some(Step::Key(name)) => name,
            Some(Step::Item(_) | Step::Named(_)) | None => "",
        }
    }

    /// Puts a value there. Maps that are not there are made, as fields that are as when they are not said are left out;
    /// items of lists must be there.
    pub(crate) fn set(&self, document: &mut Value, value: Value) -> Result<(), String> {
        let mut here = document;
        for step in &self.steps {
            here = match step {
                Step::Key(name) => {
                    if here.is_null() {
                        *here = Value::Object(Map::new());
                    }
                    let Value::Object(fields) = here else {
                        return Err(format!("there is no field `{name}` in {} that stands there", what(here)));
                    };
                    fields.entry(name.clone()).or_insert(Value::Null)
                }
                Step::Item(index) => {
                    let count = here.as_array().map_or(0, Vec::len);
                    let missing = || format!("there is no item [{index}]: the list has {count}");
                    here.get_mut(*index).filter(|_| *index < count).ok_or_else(missing)?
                }
                Step::Named(name) => {
                    let Value::Array(items) = here else { return Err(format!("there is no list with `{name}`")) };
                    let is_it = |item: &&mut Value| item.get("name").and_then(Value::as_str) == Some(name);
                    items.iter_mut().find(is_it).ok_or_else(|| format!("no item is named `{name}`"))?
                }
            };
        }
        *here = value;
        Ok(())
    }
}

fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_set_by_its_path_and_missing_maps_are_made() {
        let mut document = json!({"groups": [{"name": "a"}, {"name": "pay now", "steps": [{"name": "s", "get": {}}]}]});
        for (path, value) in [
            ("groups[0].rate", json!(5)),
            ("groups[pay now].users", json!(7)),
            ("groups[1].steps[s].get.url", json!("/x")),
            ("groups[0].backoff.max", json!("2s")),
            ("seed", json!(3)),
        ] {
            FieldPath::read(path).unwrap().set(&mut document, value).unwrap();
        }
        let expected = json!({"seed": 3, "groups": [
            {"name": "a", "rate": 5, "backoff": {"max": "2s"}},
            {"name": "pay now", "users": 7, "steps": [{"name": "s", "get": {"url": "/x"}}]}
        ]});
        assert_eq!(document, expected);
        let path = FieldPath::read("groups[pay now].steps[0].get").unwrap();
        assert_eq!((path.root(), path.leaf()), ("groups", "get"));
    }

    #[test]
    fn what_is_not_there_is_told() {
        let mut document = json!({"groups": [{"name": "a", "rate": 1}]});
        let mut problem =
            |path: &str| FieldPath::read(path).and_then(|path| path.set(&mut document, json!(1))).unwrap_err();
        assert_eq!(problem("groups[1].rate"), "there is no item [1]: the list has 1");
        assert_eq!(problem("groups[b].rate"), "no item is named `b`");
        assert_eq!(problem("groups[0].rate.x"), "there is no field `x` in a number that stands there");
        assert_eq!(problem("groups.rate"), "there is no field `rate` in a list that stands there");
        assert_eq!(problem("groups[0].rate[a]"), "there is no list with `a`");
        for path in ["", ".a", "a..b", "a.", "[0]", "a[", "a[]", "a[0]b", &"a".repeat(600)] {
            assert!(problem(path).contains("is no path of a field"), "{path}: {}", problem(path));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_makes_it_panic(text in "[a-c.\\[\\]0-2]{0,12}") {
            let mut document = json!({"a": [{"name": "b", "c": {}}], "b": null});
            if let Ok(path) = FieldPath::read(&text) {
                drop(path.set(&mut document, json!(1)));
            }
        }
    }
}
