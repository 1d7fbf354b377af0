//! Texts of Artillery as texts of Nuncius: templates as expressions, the environment as variables of nodes, and all
//! else so that it stands for itself.
//!
//! What is not there is the text `undefined` to Artillery. Where it is not certain that a variable is there, so it is
//! here: `{{ default(name, 'undefined') }}`; alone in JSON it is null, and alone in another text nothing.

use nuncius_schemas::tree::{Content, Meaning, Node, Scalar};
use serde_json::{Map, Value};

use super::environment::is_variable_name;
use super::human;
use super::names::{is_member, quoted};
use super::state::{State, Sure};
use super::template::{self, Argument, Key, Path, Piece};
use super::view::{View, shown};
use crate::keys::Spot;

/// Where a text stands: what a variable becomes that is alone in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In JSON, where a variable alone keeps its type.
    Json,
    /// In a header, a parameter, a body.
    Text,
    /// Where nothing cannot stand: a URL, a name.
    Needed,
}

/// What a path leads to.
enum Found {
    /// An expression, and whether its value is there for certain.
    Expression(String, bool),
    /// A text that is known now.
    Constant(String),
    /// A variable of the environment of the node.
    Environment(String),
}

impl State<'_, '_> {
    /// The text of a scalar; nothing where there is none.
    pub(crate) fn text(&mut self, view: &View<'_>, place: Place, sure: &Sure) -> String {
        let text = view.text().unwrap_or_default();
        self.translate(&text, &view.spot(), place, sure)
    }

    /// A text with its templates.
    pub(crate) fn translate(&mut self, text: &str, spot: &Spot, place: Place, sure: &Sure) -> String {
        let pieces = template::parse(text);
        let is_alone = pieces.len() == 1;
        let mut made = String::with_capacity(text.len());
        for (index, piece) in pieces.iter().enumerate() {
            let is_last = index + 1 == pieces.len();
            match piece {
                Piece::Text(text) => {
                    if template::has_template(text) {
                        let what = format!("`{}` is no template to Artillery, and is sent as it stands", shown(text));
                        self.ledger.warn(spot.clone(), what);
                    }
                    made.push_str(&literal(text, !is_last));
                }
                Piece::Variable(path) => match self.found(path, spot, sure) {
                    Found::Constant(text) => made.push_str(&literal(&text, !is_last)),
                    Found::Environment(name) => made.push_str(&format!("${{{name}}}")),
                    Found::Expression(expression, is_sure) => {
                        let otherwise = match place {
                            _ if is_sure => None,
                            Place::Json if is_alone => Some("null"),
                            Place::Text if is_alone => Some("''"),
                            Place::Needed if is_alone => None,
                            Place::Json | Place::Text | Place::Needed => Some("'undefined'"),
                        };
                        made.push_str(&match otherwise {
                            None => format!("{{{{ {expression} }}}}"),
                            Some(otherwise) => format!("{{{{ default({expression}, {otherwise}) }}}}"),
                        });
                    }
                },
                Piece::Call(name, arguments) => {
                    let Some(expression) = self.function(name, arguments, spot) else { continue };
                    // To Artillery a function always gives a text.
                    let is_typed = place == Place::Json && is_alone;
                    made.push_str(&match is_typed {
                        true => format!("{{{{ string({expression}) }}}}"),
                        false => format!("{{{{ {expression} }}}}"),
                    });
                }
            }
        }
        made
    }

    /// JSON with texts that may be templates.
    pub(crate) fn json(&mut self, view: &View<'_>, sure: &Sure) -> Value {
        self.json_of(view.node, &view.spot(), sure)
    }

    fn json_of(&mut self, node: &Node, spot: &Spot, sure: &Sure) -> Value {
        match &node.content {
            Content::Map(entries) => {
                let mut map = Map::new();
                for entry in entries {
                    if template::has_template(&entry.key) {
                        let text = format!("the key `{}` is taken as it stands: keys are no templates here", entry.key);
                        self.ledger.warn(spot.clone(), text);
                    }
                    map.insert(entry.key.clone(), self.json_of(&entry.value, spot, sure));
                }
                Value::Object(map)
            }
            Content::List(items) => items.iter().map(|item| self.json_of(item, spot, sure)).collect(),
            Content::Scalar(Scalar { meaning: Meaning::Text, text }) => {
                Value::String(self.translate(text, spot, Place::Json, sure))
            }
            Content::Scalar(_) => node.read().unwrap_or(Value::Null),
        }
    }

    /// An expression for a variable, wherever its value comes from; and whether that is there for certain.
    pub(crate) fn expression(&mut self, path: &Path, spot: &Spot, sure: &Sure) -> (String, bool) {
        match self.found(path, spot, sure) {
            Found::Expression(expression, is_sure) => (expression, is_sure),
            Found::Constant(text) => (quoted(&text), true),
            Found::Environment(name) => (format!("env('{name}')"), false),
        }
    }

    fn found(&mut self, path: &Path, spot: &Spot, sure: &Sure) -> Found {
        let constant = |text: &str| Found::Constant(text.to_owned());
        match (path.root.as_str(), path.further.as_slice()) {
            ("$env" | "$processEnvironment", [Key::Name(name)]) if is_variable_name(name) => {
                self.exposed.insert(name.clone());
                return Found::Environment(name.clone());
            }
            ("$environment", []) => return constant(self.options.environment.as_deref().unwrap_or("undefined")),
            ("$testId", []) => return constant(&self.options.test_id),
            ("$scenarioFile", []) => return Found::Constant(self.file_name.clone()),
            ("$dirname", []) => return constant("."),
            ("target", []) if !self.assigned.contains("target") => return Found::Constant(self.target.clone()),
            ("$uuid", []) => self.wants_uuid = true,
            _ => {}
        }
        let (root, further) = self.dotted_root(path);
        if root != "$uuid" {
            self.named.entry(root.clone()).or_insert_with(|| spot.clone());
        }
        let is_sure = further.is_empty() && (sure.has(&root) || root == "$uuid");
        let mut expression = self.names.of(&root);
        for key in further {
            match key {
                Key::Name(name) if is_member(name) => expression.push_str(&format!(".{name}")),
                Key::Name(name) => expression.push_str(&dollars(&format!("[{}]", quoted(name)), false)),
                Key::Index(index) => expression.push_str(&format!("[{index}]")),
            }
        }
        Found::Expression(expression, is_sure)
    }

    /// The variable that a path begins with: one whose name has points in it, where a capture has set such a one.
    fn dotted_root<'p>(&self, path: &'p Path) -> (String, &'p [Key]) {
        let mut name = path.root.clone();
        let mut found = (name.clone(), path.further.as_slice());
        for (index, key) in path.further.iter().enumerate() {
            match key {
                Key::Name(key) => name.push_str(&format!(".{key}")),
                Key::Index(_) => break,
            }
            if self.dotted.contains(&name) {
                found = (name.clone(), path.further.get(index + 1..).unwrap_or_default());
            }
        }
        found
    }

    /// The expression for a function; `None` where there is none, which is refused.
    fn function(&mut self, name: &str, arguments: &[Argument], spot: &Spot) -> Option<String> {
        let number = |index: usize| match arguments.get(index) {
            Some(Argument::Number(number)) => Some(*number),
            Some(Argument::Nothing) | None => None,
        };
        match name {
            "$randomString" => {
                let length = number(0).unwrap_or(10.0).clamp(0.0, 1e6).ceil();
                Some(format!("random_string({})", human::number_text(length)))
            }
            "$randomNumber" => {
                let (first, second) = match (number(0), number(1)) {
                    (Some(first), Some(second)) => (first, second),
                    (Some(most), None) => (0.0, most),
                    (None, _) => (0.0, 1.0),
                };
                let (low, high) = (first.min(second).ceil(), first.max(second).floor());
                Some(format!("random_int({}, {})", human::number_text(low), human::number_text(high)))
            }
            other => {
                let note = format!(
                    "`{}` is no function here: there are $randomString and $randomNumber; made-up data belongs into a \
                     file of rows (`config.payload`)",
                    shown(other)
                );
                self.ledger.refused(spot.clone(), note);
                None
            }
        }
    }

    /// What must be known now: a text whose templates are those of the environment. `None` where one is not known,
    /// which is told.
    pub(crate) fn known(&mut self, view: &View<'_>) -> Option<String> {
        let text = view.text()?;
        self.known_text(&text, &view.spot())
    }

    /// As [`Self::known`], of a text.
    pub(crate) fn known_text(&mut self, text: &str, spot: &Spot) -> Option<String> {
        let mut made = String::with_capacity(text.len());
        for piece in template::parse(text) {
            match piece {
                Piece::Text(text) => made.push_str(&text),
                Piece::Variable(path) => match (path.root.as_str(), path.further.as_slice()) {
                    ("$env" | "$processEnvironment", [Key::Name(name)]) => match self.environment.get(name) {
                        Some(value) => made.push_str(value),
                        None => {
                            let note = format!(
                                "the environment variable {} is not set, and is needed to make a specification: set it \
                                 or use --env-file",
                                shown(name)
                            );
                            self.ledger.refused(spot.clone(), note);
                            return None;
                        }
                    },
                    _ => {
                        let note = format!(
                            "`{}` is not known before the test begins: write it out, or take it from the environment",
                            shown(text)
                        );
                        self.ledger.refused(spot.clone(), note);
                        return None;
                    }
                },
                Piece::Call(name, _) => {
                    self.ledger.refused(spot.clone(), format!("`{}` cannot be called here", shown(&name)));
                    return None;
                }
            }
        }
        Some(made)
    }

    /// A text for people: what is known of it is filled in, and the rest stays as it is written.
    pub(crate) fn label(&self, text: &str) -> String {
        let pieces = template::parse(text).into_iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Variable(path) => match path.further.as_slice() {
                [Key::Name(name)] if path.root == "$env" || path.root == "$processEnvironment" => {
                    self.environment.get(name).cloned().unwrap_or_else(|| format!("{{{{ {name} }}}}"))
                }
                _ => format!("{{{{ {} }}}}", path.root),
            },
            Piece::Call(name, _) => format!("{{{{ {name}() }}}}"),
        });
        pieces.collect()
    }

    /// A number that must be known now; `None` where there is none, which is told.
    pub(crate) fn known_number(&mut self, view: &View<'_>) -> Option<f64> {
        if let Some(number) = view.number().filter(|_| view.is_number()) {
            return Some(number);
        }
        let text = if view.text().is_some() { Some(self.known(view)?) } else { None };
        let number = text.as_deref().filter(|text| !text.trim().is_empty()).and_then(human::number);
        if number.is_none() {
            let found = text.map_or_else(|| view.kind().to_owned(), |text| format!("`{}`", shown(&text)));
            self.ledger.refused(view.spot(), format!("{found} stands where a number is wanted"));
        }
        number
    }
}

/// A text that stands for itself. `before_braces`: a template follows.
pub(crate) fn literal(text: &str, before_braces: bool) -> String {
    dollars(&text.replace("{{", "{{{{"), before_braces)
}

/// Dollars that stand for themselves: several beside each other, and those before a brace, are written twice.
fn dollars(text: &str, before_braces: bool) -> String {
    let mut made = String::with_capacity(text.len());
    let mut run = 0;
    for c in text.chars().map(Some).chain([None]) {
        if c == Some('$') {
            run += 1;
            continue;
        }
        let is_doubled = run > 1 || c == Some('{') || (c.is_none() && before_braces);
        made.extend(std::iter::repeat_n('$', if is_doubled { run * 2 } else { run }));
        run = 0;
        made.extend(c);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_template_or_a_variable_stands_for_itself() {
        for (text, before_braces, expected) in [
            ("plain", false, "plain"),
            ("{{ a + b }}", false, "{{{{ a + b }}"),
            ("${HOME}", false, "$${HOME}"),
            ("$5 a$$b $", false, "$5 a$$$$b $"),
            ("costs $", true, "costs $$"),
            ("$${x", false, "$$$${x"),
        ] {
            assert_eq!(literal(text, before_braces), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_literal_is_its_own_text_once_variables_and_templates_are_filled_in(text in "(\\$|\\{|\\}|a| |ü){0,20}") {
            use nuncius_scenario::{Draws, DrawKey, Names, Scope, Template};
            let filled = nuncius_schemas::variable::expand(&literal(&text, false), &mut |_| None).unwrap();
            let mut names = Names::new();
            let template = Template::parse(&filled, &mut names).unwrap();
            let scope = Scope::new(&names, &[]);
            let made = template.text(&scope, &mut Draws::new(DrawKey::new(1, 0), 0, 0, 0)).unwrap();
            proptest::prop_assert_eq!(made, text);
        }
    }
}
