//! JSON whose texts and keys are templates: a text that is one expression alone keeps the type of its value.

use serde_json::{Map, Value};

use crate::draw::Draws;
use crate::error::{JSON_TEMPLATE_DEPTH_MAX, JSON_TEMPLATE_VALUES_MAX, TemplateError};
use crate::names::Names;
use crate::output::Escaped;
use crate::scope::Scope;
use crate::template::Template;
use crate::value::size_bytes;

#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// Nothing to fill in here and below; with its text as JSON.
    Constant(Value, Box<str>),
    Text(Template),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone, PartialEq)]
enum Key {
    /// With its text as JSON, quotes included.
    Constant(String, Box<str>),
    Template(Template),
}

/// JSON with templates in it.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonTemplate {
    root: Node,
    /// With keys that are made, two may become one: then the text cannot be written as it comes.
    has_made_keys: bool,
}

impl JsonTemplate {
    /// Reads a value whose texts are templates.
    ///
    /// # Errors
    /// As [`Template::parse`]; deeper than [`JSON_TEMPLATE_DEPTH_MAX`], more than [`JSON_TEMPLATE_VALUES_MAX`] values.
    pub fn parse(value: &Value, names: &mut Names) -> Result<Self, TemplateError> {
        let mut reading = Reading { names, values: 0, has_made_keys: false };
        let root = reading.node(value, 0)?;
        Ok(Self { root, has_made_keys: reading.has_made_keys })
    }

    /// The value, where there is nothing to fill in.
    pub const fn constant(&self) -> Option<&Value> {
        match &self.root {
            Node::Constant(value, _) => Some(value),
            Node::Text(_) | Node::List(_) | Node::Map(_) => None,
        }
    }

    /// The value that it makes. Of two keys that become the same the later one counts.
    ///
    /// # Errors
    /// As [`Template::render_into`]; the limit holds for the whole value.
    pub fn value(&self, scope: &Scope<'_>, draws: &mut Draws) -> Result<Value, TemplateError> {
        let mut left = scope.made_max_bytes;
        make(&self.root, scope, draws, &mut left)
    }

    /// Adds the JSON that it makes, as text, without making the value first.
    ///
    /// # Errors
    /// As [`Template::render_into`]; the limit holds for the whole text. Part of it may have been written.
    pub fn write_json(&self, scope: &Scope<'_>, draws: &mut Draws, out: &mut Vec<u8>) -> Result<(), TemplateError> {
        let from = out.len();
        if self.has_made_keys {
            let value = self.value(scope, draws)?;
            append(&value, out);
        } else {
            write(&self.root, scope, draws, out, from)?;
        }
        within(out.len() - from, scope)
    }
}

struct Reading<'n> {
    names: &'n mut Names,
    values: usize,
    has_made_keys: bool,
}

impl Reading<'_> {
    fn node(&mut self, value: &Value, depth: usize) -> Result<Node, TemplateError> {
        if depth > JSON_TEMPLATE_DEPTH_MAX {
            return Err(TemplateError::JsonTooDeep);
        }
        self.values += 1;
        if self.values > JSON_TEMPLATE_VALUES_MAX {
            return Err(TemplateError::JsonTooLarge);
        }
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(constant(value.clone())),
            Value::String(text) => {
                let template = Template::parse(text, self.names)?;
                Ok(match template.constant() {
                    Some(text) => constant(Value::String(text.to_owned())),
                    None => Node::Text(template),
                })
            }
            Value::Array(items) => {
                let items = items.iter().map(|item| self.node(item, depth + 1)).collect::<Result<Vec<_>, _>>()?;
                let constants: Option<Vec<Value>> = items.iter().map(as_constant).collect();
                Ok(constants.map_or(Node::List(items), |items| constant(Value::Array(items))))
            }
            Value::Object(members) => {
                let members = members
                    .iter()
                    .map(|(key, value)| Ok((self.key(key)?, self.node(value, depth + 1)?)))
                    .collect::<Result<Vec<_>, TemplateError>>()?;
                let constants: Option<Map<String, Value>> = members
                    .iter()
                    .map(|(key, value)| match key {
                        Key::Constant(key, _) => Some((key.clone(), as_constant(value)?)),
                        Key::Template(_) => None,
                    })
                    .collect();
                Ok(constants.map_or(Node::Map(members), |members| constant(Value::Object(members))))
            }
        }
    }

    fn key(&mut self, key: &str) -> Result<Key, TemplateError> {
        let template = Template::parse(key, self.names)?;
        Ok(match template.constant() {
            Some(key) => Key::Constant(key.to_owned(), Value::from(key).to_string().into()),
            None => {
                self.has_made_keys = true;
                Key::Template(template)
            }
        })
    }
}

fn constant(value: Value) -> Node {
    let text = value.to_string().into();
    Node::Constant(value, text)
}

fn as_constant(node: &Node) -> Option<Value> {
    match node {
        Node::Constant(value, _) => Some(value.clone()),
        Node::Text(_) | Node::List(_) | Node::Map(_) => None,
    }
}

fn make(node: &Node, scope: &Scope<'_>, draws: &mut Draws, left: &mut usize) -> Result<Value, TemplateError> {
    let made = match node {
        Node::Constant(value, _) => value.clone(),
        Node::Text(template) => template.value(scope, draws)?.into_owned(),
        Node::List(items) => {
            return items.iter().map(|item| make(item, scope, draws, left)).collect::<Result<_, _>>().map(Value::Array);
        }
        Node::Map(members) => {
            let mut map = Map::new();
            for (key, value) in members {
                let key = match key {
                    Key::Constant(key, _) => key.clone(),
                    Key::Template(template) => template.text(scope, draws)?,
                };
                take(left, key.len(), scope)?;
                map.insert(key, make(value, scope, draws, left)?);
            }
            return Ok(Value::Object(map));
        }
    };
    let size = size_bytes(&made, *left).ok_or(TemplateError::MadeTooLong { limit: scope.made_max_bytes })?;
    take(left, size, scope)?;
    Ok(made)
}

fn take(left: &mut usize, bytes: usize, scope: &Scope<'_>) -> Result<(), TemplateError> {
    *left = left.checked_sub(bytes).ok_or(TemplateError::MadeTooLong { limit: scope.made_max_bytes })?;
    Ok(())
}

const fn within(made: usize, scope: &Scope<'_>) -> Result<(), TemplateError> {
    let limit = scope.made_max_bytes;
    if made > limit { Err(TemplateError::MadeTooLong { limit }) } else { Ok(()) }
}

fn append(value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(value.to_string().as_bytes());
}

fn write(
    node: &Node,
    scope: &Scope<'_>,
    draws: &mut Draws,
    out: &mut Vec<u8>,
    from: usize,
) -> Result<(), TemplateError> {
    match node {
        Node::Constant(_, text) => out.extend_from_slice(text.as_bytes()),
        Node::Text(template) if template.is_whole() => {
            let value = template.value(scope, draws)?;
            if let Value::String(text) = value.as_ref() {
                quote(text, out);
            } else {
                append(&value, out);
            }
        }
        Node::Text(template) => {
            out.push(b'"');
            template.render_into(scope, draws, &mut Escaped(out))?;
            out.push(b'"');
        }
        Node::List(items) => {
            out.push(b'[');
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                write(item, scope, draws, out, from)?;
            }
            out.push(b']');
        }
        Node::Map(members) => {
            out.push(b'{');
            for (number, (key, value)) in members.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                // A made key never comes here.
                if let Key::Constant(_, text) = key {
                    out.extend_from_slice(text.as_bytes());
                }
                out.push(b':');
                write(value, scope, draws, out, from)?;
            }
            out.push(b'}');
        }
    }
    within(out.len() - from, scope)
}

fn quote(text: &str, out: &mut Vec<u8>) {
    use crate::output::Output;
    out.push(b'"');
    Escaped(out).push(text);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::draw::DrawKey;

    fn both(template: &Value, variables: &[(&str, Value)], limit: usize) -> Result<Value, TemplateError> {
        let mut names = Names::new();
        let template = JsonTemplate::parse(template, &mut names)?;
        let mut values = vec![None; names.len()];
        for (name, value) in variables {
            if let Some(slot) = names.get(name) {
                values[usize::from(slot)] = Some(value.clone());
            }
        }
        let scope = Scope { made_max_bytes: limit, ..Scope::new(&names, &values) };
        let draws = || Draws::new(DrawKey::new(1, 0), 0, 0, 0);
        let value = template.value(&scope, &mut draws());
        let mut text = Vec::new();
        let written = template.write_json(&scope, &mut draws(), &mut text);
        match (&value, &written) {
            (Ok(value), Ok(())) => assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), *value),
            // What is measured is about the text, not exactly its length.
            (Err(left), Err(right)) => assert_eq!(left, right),
            (Err(error), Ok(())) | (Ok(_), Err(error)) => {
                assert!(matches!(error, TemplateError::MadeTooLong { .. }), "{error}");
                return Err(error.clone());
            }
        }
        value
    }

    #[test]
    fn a_text_that_is_one_expression_keeps_its_type_and_keys_are_templates_too() {
        let template = json!({
            "user": "{{ user }}", "n": "{{ 1 + 2 }}", "text": "n={{ 1 + 2 }}\n\"{{ user }}\"",
            "list": ["{{ items }}", 1, null, "plain"], "{{ user }}": true, "same": {"deep": [1.5]},
        });
        let variables = [("user", json!("a\"b")), ("items", json!([1, {"x": "y"}]))];
        let expected = json!({
            "user": "a\"b", "n": 3, "text": "n=3\n\"a\"b\"", "list": [[1, {"x": "y"}], 1, null, "plain"],
            "a\"b": true, "same": {"deep": [1.5]},
        });
        assert_eq!(both(&template, &variables, 10_000).unwrap(), expected);
    }

    #[test]
    fn what_has_nothing_to_fill_in_is_made_once() {
        let mut names = Names::new();
        let template = JsonTemplate::parse(&json!({"a": ["{{{{x", 1]}), &mut names).unwrap();
        assert_eq!(template.constant(), Some(&json!({"a": ["{{x", 1]})));
        assert!(JsonTemplate::parse(&json!(["{{ x }}"]), &mut names).unwrap().constant().is_none());
    }

    #[test]
    fn limits_are_named() {
        let mut deep = json!("x");
        for _ in 0..=JSON_TEMPLATE_DEPTH_MAX {
            deep = json!([deep]);
        }
        assert_eq!(JsonTemplate::parse(&deep, &mut Names::new()), Err(TemplateError::JsonTooDeep));
        let wide = Value::Array(vec![Value::Null; JSON_TEMPLATE_VALUES_MAX]);
        assert_eq!(JsonTemplate::parse(&wide, &mut Names::new()), Err(TemplateError::JsonTooLarge));
        let error = both(&json!(["{{ x }}", "{{ x }}"]), &[("x", json!("y".repeat(60)))], 100).unwrap_err();
        assert_eq!(error.to_string(), "a template makes more than 100 bytes");
        let error = both(&json!({"a": "{{ nope }}"}), &[], 100).unwrap_err().to_string();
        assert!(error.starts_with("variable `nope` is not there"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_comes_out_as_the_json_that_it_is(first in any::<String>(), second in any::<String>()) {
            let template = json!({"a": "{{ first }}", "b": ["x{{ second }}{{ first }}"], "c": "{{ second }}"});
            let made = both(&template, &[("first", json!(first)), ("second", json!(second))], 1_000_000).unwrap();
            prop_assert_eq!(made, json!({"a": first, "b": [format!("x{second}{first}")], "c": second}));
        }

        #[test]
        fn nothing_panics(text in "(\\{|\\}|a|1|'|\\.|\\(|\\)| |ü|\\[){0,30}", key in "(\\{|\\}|a| ){0,12}") {
            drop(both(&json!({key: [text]}), &[("a", json!({"a": [1]}))], 1_000));
        }
    }
}
