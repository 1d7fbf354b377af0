//! JSON to a tree: serde_json reads, and tells where each value stands in the text.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Budget, Content, Entry, Meaning, Node, Position, ReadError, Scalar, item_step, key_step, map_of};

/// The tree of a JSON text.
pub(crate) fn from_json(text: &str) -> Result<Node, ReadError> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| syntax(&error))?;
    let lines = Lines::new(text);
    node(whole, &lines, 0, &mut Budget::default())
}

/// What serde_json says of a text that is no JSON, without the place that it writes into its message.
fn syntax(error: &serde_json::Error) -> ReadError {
    let position = Position { line: error.line(), column: error.column() };
    let text = error.to_string();
    let place = format!(" at line {} column {}", position.line, position.column);
    ReadError::at(text.strip_suffix(&place).unwrap_or(&text), (position.line > 0).then_some(position))
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The place of a piece of the text.
    fn position(&self, piece: &str) -> Option<Position> {
        let offset = (piece.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = *self.starts.get(line.checked_sub(1)?)?;
        Some(Position { line, column: self.text.get(start..offset)?.chars().count() + 1 })
    }
}

fn node(raw: &RawValue, lines: &Lines<'_>, depth: usize, budget: &mut Budget) -> Result<Node, ReadError> {
    let text = raw.get();
    let position = lines.position(text);
    budget.take(text.len().min(64), depth, position)?;
    let content = match text.as_bytes().first() {
        Some(b'{') => {
            let pairs: Pairs<'_> = serde_json::from_str(text).map_err(|error| syntax(&error))?;
            let mut entries = Vec::with_capacity(pairs.0.len());
            for (key, value) in pairs.0 {
                let position = lines.position(key.get());
                let key: String = serde_json::from_str(key.get()).map_err(|error| syntax(&error))?;
                budget.take(key.len(), depth, position)?;
                let value =
                    node(value, lines, depth + 1, budget).map_err(|error| error.inside(key_step(&key), position))?;
                entries.push(Entry { key, position, value });
            }
            map_of(entries)?
        }
        Some(b'[') => {
            let items: Items<'_> = serde_json::from_str(text).map_err(|error| syntax(&error))?;
            let items = items.0.into_iter().enumerate().map(|(index, item)| {
                node(item, lines, depth + 1, budget).map_err(|error| error.inside(item_step(index), position))
            });
            Content::List(items.collect::<Result<_, _>>()?)
        }
        _ => Content::Scalar(scalar(text)?),
    };
    Ok(Node { position, content })
}

fn scalar(text: &str) -> Result<Scalar, ReadError> {
    let meaning = match text.as_bytes().first() {
        Some(b'"') => {
            let text: String = serde_json::from_str(text).map_err(|error| syntax(&error))?;
            return Ok(Scalar { text, meaning: Meaning::Text });
        }
        Some(b'n') => Meaning::Nothing,
        Some(b't') => Meaning::Boolean(true),
        Some(b'f') => Meaning::Boolean(false),
        _ => {
            let unsigned = text.parse().map(Meaning::Unsigned).ok();
            let number = unsigned.or_else(|| text.parse().map(Meaning::Signed).ok());
            match number.or_else(|| text.parse::<f64>().ok().filter(|n| n.is_finite()).map(Meaning::Float)) {
                Some(number) => number,
                None => return Err(ReadError::at("the number is out of range", None)),
            }
        }
    };
    Ok(Scalar { text: text.to_owned(), meaning })
}

/// The entries of a map, in their order, repeated ones too.
struct Pairs<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// The items of a list.
struct Items<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor;
        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(ItemsVisitor)
    }
}
