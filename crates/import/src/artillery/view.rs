//! A piece of the file together with where it stands, so that whatever is said of it names its place.

use nuncius_schemas::tree::{Content, Meaning, Node, Scalar};
use serde_json::Value;

use super::human;
use crate::keys::Spot;

/// A piece of the file, and its path.
#[derive(Debug, Clone)]
pub(crate) struct View<'a> {
    pub(crate) node: &'a Node,
    pub(crate) path: String,
}

/// Longest piece of a text that is shown, in characters.
const SHOWN_MAX: usize = 80;

/// As much of a text as is shown.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

impl<'a> View<'a> {
    pub(crate) fn root(node: &'a Node) -> Self {
        Self { node, path: String::new() }
    }

    pub(crate) fn spot(&self) -> Spot {
        Spot { path: self.path.clone(), position: self.node.position }
    }

    fn below(&self, key: &str, node: &'a Node) -> Self {
        let key = shown(key);
        let path = if self.path.is_empty() { key } else { format!("{}.{key}", self.path) };
        Self { node, path }
    }

    /// The keys of a map, in their order; none of anything else.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Self)> {
        match &self.node.content {
            Content::Map(entries) => {
                entries.iter().map(|entry| (entry.key.as_str(), self.below(&entry.key, &entry.value))).collect()
            }
            Content::Scalar(_) | Content::List(_) => Vec::new(),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Self> {
        self.node.get(key).map(|node| self.below(key, node))
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> Vec<Self> {
        let items = self.node.items().unwrap_or_default();
        let item = |(index, node)| Self { node, path: format!("{}[{index}]", self.path) };
        items.iter().enumerate().map(item).collect()
    }

    /// The items of a list, or what is there as the only one: Artillery takes one where it takes several. None of
    /// nothing.
    pub(crate) fn listed(&self) -> Vec<Self> {
        match &self.node.content {
            Content::List(_) => self.items(),
            Content::Map(_) => vec![self.clone()],
            Content::Scalar(Scalar { meaning: Meaning::Nothing, .. }) => Vec::new(),
            Content::Scalar(_) => vec![self.clone()],
        }
    }

    pub(crate) fn is_map(&self) -> bool {
        self.node.is_map()
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self.node.content, Content::List(_))
    }

    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self.node.content, Content::Scalar(Scalar { meaning: Meaning::Nothing, .. }))
    }

    /// What is there, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.node.content {
            Content::Map(_) => "a map",
            Content::List(_) => "a list",
            Content::Scalar(scalar) => match scalar.meaning {
                Meaning::Nothing => "nothing",
                Meaning::Boolean(_) => "true or false",
                Meaning::Unsigned(_) | Meaning::Signed(_) | Meaning::Float(_) => "a number",
                Meaning::Text => "a text",
                Meaning::Bytes => "bytes",
            },
        }
    }

    /// The text of a scalar, as JavaScript makes one of it: `1.10` is the number 1.1.
    pub(crate) fn text(&self) -> Option<String> {
        let Content::Scalar(scalar) = &self.node.content else { return None };
        match scalar.meaning {
            Meaning::Nothing | Meaning::Bytes => None,
            Meaning::Boolean(value) => Some(value.to_string()),
            Meaning::Unsigned(number) => Some(number.to_string()),
            Meaning::Signed(number) => Some(number.to_string()),
            Meaning::Float(number) => Some(human::number_text(number)),
            Meaning::Text => Some(scalar.text.clone()),
        }
    }

    /// The value of a number or a text that is one.
    pub(crate) fn number(&self) -> Option<f64> {
        let Content::Scalar(scalar) = &self.node.content else { return None };
        match scalar.meaning {
            Meaning::Unsigned(number) => Some(number as f64),
            Meaning::Signed(number) => Some(number as f64),
            Meaning::Float(number) => Some(number),
            Meaning::Text => human::number(&scalar.text),
            Meaning::Nothing | Meaning::Boolean(_) | Meaning::Bytes => None,
        }
    }

    /// Whether a number stands there, rather than a text that is one.
    pub(crate) fn is_number(&self) -> bool {
        let Content::Scalar(scalar) = &self.node.content else { return false };
        matches!(scalar.meaning, Meaning::Unsigned(_) | Meaning::Signed(_) | Meaning::Float(_))
    }

    /// `true`, `false`, and the texts of these, which Artillery takes, too.
    pub(crate) fn boolean(&self) -> Option<bool> {
        let Content::Scalar(scalar) = &self.node.content else { return None };
        match (scalar.meaning, scalar.text.as_str()) {
            (Meaning::Boolean(value), _) => Some(value),
            (Meaning::Text, "true") => Some(true),
            (Meaning::Text, "false") => Some(false),
            _ => None,
        }
    }

    /// All of it as JSON.
    pub(crate) fn value(&self) -> Value {
        self.node.read().unwrap_or(Value::Null)
    }
}
