//! Trees merged as Artillery merges them.

use nuncius_schemas::tree::{Content, Entry, Meaning, Node, Scalar};

/// What becomes of lists when one tree is laid over another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lists {
    /// Item by item: that of files and environments.
    Merged,
    /// The one on top takes the place of the other: that of `--overrides`.
    Replaced,
}

/// Lays `top` over `base`: maps are merged key by key, scalars and what differs in kind is replaced.
pub(crate) fn over(base: &mut Node, top: Node, lists: Lists) {
    match (&mut base.content, top.content) {
        (Content::Map(entries), Content::Map(more)) => {
            for entry in more {
                match entries.iter_mut().find(|known| known.key == entry.key) {
                    Some(known) => over(&mut known.value, entry.value, lists),
                    None => entries.push(entry),
                }
            }
        }
        (Content::List(items), Content::List(more)) if lists == Lists::Merged => {
            for (index, item) in more.into_iter().enumerate() {
                match items.get_mut(index) {
                    Some(known) => over(known, item, lists),
                    None => items.push(item),
                }
            }
        }
        (content, other) => {
            *content = other;
            base.position = top.position;
        }
    }
}

/// Sets the value under a key of a map; what is no map becomes one.
pub(crate) fn set(node: &mut Node, key: &str, value: Node) {
    if !node.is_map() {
        node.content = Content::Map(Vec::new());
    }
    if let Content::Map(entries) = &mut node.content {
        match entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => entry.value = value,
            None => entries.push(Entry { key: key.to_owned(), position: None, value }),
        }
    }
}

/// The value under a key of a map, to be changed; there is a map there afterwards, where there was nothing.
pub(crate) fn child<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    let is_there = node.get(key).is_some_and(|child| !is_nothing(child));
    if !is_there {
        set(node, key, map());
    }
    match &mut node.content {
        Content::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value),
        Content::Scalar(_) | Content::List(_) => None,
    }
}

/// The value under a key of a map, to be changed, where it is a map itself.
pub(crate) fn child_if_map<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    node.get(key).filter(|child| child.is_map())?;
    child(node, key)
}

fn is_nothing(node: &Node) -> bool {
    matches!(node.content, Content::Scalar(Scalar { meaning: Meaning::Nothing, .. }))
}

/// An empty map.
pub(crate) fn map() -> Node {
    Node { position: None, content: Content::Map(Vec::new()) }
}

/// A text.
pub(crate) fn text(text: &str) -> Node {
    scalar(text.to_owned(), Meaning::Text)
}

/// `true` or `false`.
pub(crate) fn boolean(value: bool) -> Node {
    scalar(value.to_string(), Meaning::Boolean(value))
}

fn scalar(text: String, meaning: Meaning) -> Node {
    Node { position: None, content: Content::Scalar(Scalar { text, meaning }) }
}

/// Forgets where pieces stand: their places are those of another file.
pub(crate) fn forget_places(node: &mut Node) {
    node.position = None;
    match &mut node.content {
        Content::Scalar(_) => {}
        Content::List(items) => items.iter_mut().for_each(forget_places),
        Content::Map(entries) => entries.iter_mut().for_each(|entry| {
            entry.position = None;
            forget_places(&mut entry.value);
        }),
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::codec::read_tree;
    use serde_json::{Value, json};

    use super::*;

    fn merged(base: &str, top: &str, lists: Lists) -> Value {
        let mut base = read_tree(base.as_bytes()).unwrap();
        over(&mut base, read_tree(top.as_bytes()).unwrap(), lists);
        base.read().unwrap()
    }

    #[test]
    fn maps_are_merged_deeply_and_lists_item_by_item_or_as_a_whole() {
        let base = "a: {b: 1, c: [1, {x: 1}, 3]}\nd: 4";
        let top = "a: {c: [9, {y: 2}], e: ~}\nd: {f: 1}";
        let expected = json!({"a": {"b": 1, "c": [9, {"x": 1, "y": 2}, 3], "e": null}, "d": {"f": 1}});
        assert_eq!(merged(base, top, Lists::Merged), expected);
        let expected = json!({"a": {"b": 1, "c": [9, {"y": 2}], "e": null}, "d": {"f": 1}});
        assert_eq!(merged(base, top, Lists::Replaced), expected);
    }

    #[test]
    fn keys_are_set() {
        let mut node = read_tree(b"a: 1\nb:\n").unwrap();
        set(&mut node, "a", text("x"));
        set(child(&mut node, "b").unwrap(), "c", boolean(true));
        assert_eq!(node.read::<Value>().unwrap(), json!({"a": "x", "b": {"c": true}}));
    }
}
