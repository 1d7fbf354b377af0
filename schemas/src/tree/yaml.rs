//! YAML to a tree: the events of the parser, with anchors, aliases and merge keys worked out, and scalars taken for
//! what YAML 1.2 says (core schema): `yes` is a text, `0x10` a number.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::{Budget, Content, Entry, Meaning, Node, Position, ReadError, Scalar, item_step, key_step, map_of};

/// The tree of a YAML text with one document.
pub(crate) fn from_yaml(text: &str) -> Result<Node, ReadError> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), budget: Budget::default() };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(..), _) => {}
            (event, position) => {
                let node = reader.node(event, position, 0)?;
                return reader.end().map(|()| node);
            }
        }
    }
}

struct Reader<'input> {
    parser: Parser<'input, granit_parser::StrInput<'input>>,
    /// What aliases may repeat, each with the number of its nodes and bytes of its text.
    anchors: HashMap<usize, Node>,
    budget: Budget,
}

fn position_of(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

fn syntax(error: &ScanError) -> ReadError {
    ReadError::at(error.info(), Some(position_of(error.marker())))
}

impl<'input> Reader<'input> {
    /// The next event of the text itself.
    fn next(&mut self) -> Result<(Event<'input>, Position), ReadError> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Anchor(..), _))) => {}
                Some(Ok((event, span))) => return Ok((event, position_of(&span.start))),
                Some(Err(error)) => return Err(syntax(&error)),
                None => return Err(ReadError::at("ends too early", None)),
            }
        }
    }

    /// Refuses a second document.
    fn end(&mut self) -> Result<(), ReadError> {
        loop {
            match self.next()? {
                (Event::DocumentEnd, _) => {}
                (Event::StreamEnd, _) => return Ok(()),
                (_, position) => {
                    return Err(ReadError::at("a second document begins: give one a file", Some(position)));
                }
            }
        }
    }

    fn node(&mut self, event: Event<'input>, position: Position, depth: usize) -> Result<Node, ReadError> {
        let at = Some(position);
        let (content, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.budget.take(text.len(), depth, at)?;
                let meaning = meaning_of(&text, style, tag.as_deref()).map_err(|problem| ReadError::at(problem, at))?;
                (Content::Scalar(Scalar { text: text.into_owned(), meaning }), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.budget.take(0, depth, at)?;
                check_tag(tag.as_ref(), "seq", at)?;
                (self.list(depth)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.budget.take(0, depth, at)?;
                check_tag(tag.as_ref(), "map", at)?;
                (self.map(depth)?, anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(ReadError::at("an alias stands inside of what it repeats", at));
                };
                count(node, depth, &mut self.budget, at)?;
                return Ok(node.clone());
            }
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd
            | Event::Anchor(..)
            | Event::UnresolvedAlias(_) => return Err(ReadError::at("a value is missing", at)),
            _ => return Err(ReadError::at("not understood", at)),
        };
        let node = Node { position: at, content };
        if anchor > 0 {
            // What is kept for aliases counts, too: a text may define an anchor on every level.
            count(&node, depth, &mut self.budget, at)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Content, ReadError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Content::List(items)),
                (event, position) => {
                    let item = self.node(event, position, depth + 1);
                    items.push(item.map_err(|error| error.inside(item_step(items.len()), Some(position)))?);
                }
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Content, ReadError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged: Vec<Node> = Vec::new();
        loop {
            let (event, position) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, position, depth + 1)?;
            let Content::Scalar(Scalar { text: key, .. }) = key.content else {
                return Err(ReadError::at("a list or a map cannot be a key", Some(position)));
            };
            let (event, value_position) = self.next()?;
            let value = self
                .node(event, value_position, depth + 1)
                .map_err(|error| error.inside(key_step(&key), Some(position)))?;
            match (is_merge, value) {
                (false, value) => entries.push(Entry { key, position: Some(position), value }),
                (true, Node { content: Content::List(items), .. }) => merged.extend(items),
                (true, value) => merged.push(value),
            }
        }
        let Content::Map(mut entries) = map_of(entries)? else { return Ok(Content::Map(Vec::new())) };
        for node in merged {
            let Content::Map(more) = node.content else {
                return Err(ReadError::at("`<<` merges maps, and this is none", node.position));
            };
            // What is written in the map itself goes before what is merged, and an earlier one before a later.
            for entry in more {
                if entries.iter().all(|known| known.key != entry.key) {
                    entries.push(entry);
                }
            }
        }
        Ok(Content::Map(entries))
    }
}

/// Counts a piece that is repeated.
fn count(node: &Node, depth: usize, budget: &mut Budget, at: Option<Position>) -> Result<(), ReadError> {
    match &node.content {
        Content::Scalar(scalar) => budget.take(scalar.text.len(), depth, at),
        Content::List(items) => {
            budget.take(0, depth, at)?;
            items.iter().try_for_each(|item| count(item, depth + 1, budget, at))
        }
        Content::Map(entries) => {
            budget.take(0, depth, at)?;
            entries.iter().try_for_each(|entry| {
                budget.take(entry.key.len(), depth, at)?;
                count(&entry.value, depth + 1, budget, at)
            })
        }
    }
}

fn check_tag(tag: Option<&Cow<'_, Tag>>, fitting: &str, at: Option<Position>) -> Result<(), ReadError> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(fitting) => Err(ReadError::at("a tag that is not known here", at)),
        _ => Ok(()),
    }
}

fn meaning_of(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Meaning, &'static str> {
    match tag.map(Tag::core_suffix) {
        Some(Some("str")) => Ok(Meaning::Text),
        Some(Some("int" | "float" | "bool" | "null")) => Ok(plain(text)),
        Some(_) => Err("a tag that is not known here"),
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        None => Ok(Meaning::Text),
    }
}

/// What the core schema takes an unquoted scalar for.
fn plain(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Nothing,
        "true" | "True" | "TRUE" => return Meaning::Boolean(true),
        "false" | "False" | "FALSE" => return Meaning::Boolean(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Meaning::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Meaning::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Meaning::Float(f64::NAN),
        _ => {}
    }
    let in_base = |digits: &str, base: u32| match digits.chars().all(|c| c.is_digit(base)) {
        true => u64::from_str_radix(digits, base).map_or(Meaning::Text, Meaning::Unsigned),
        false => Meaning::Text,
    };
    if let Some(digits) = text.strip_prefix("0x").filter(|digits| !digits.is_empty()) {
        return in_base(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o").filter(|digits| !digits.is_empty()) {
        return in_base(digits, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let all_digits = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let is_number = all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && !exponent.is_empty()
        && all_digits(exponent);
    if !is_number {
        return Meaning::Text;
    }
    let integer = text.parse().map(Meaning::Unsigned).or_else(|_| text.parse().map(Meaning::Signed));
    integer.or_else(|_| text.parse().map(Meaning::Float)).unwrap_or(Meaning::Text)
}
