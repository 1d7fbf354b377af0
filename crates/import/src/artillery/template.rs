//! Templates as Artillery writes them, taken apart: `{{ name }}`, `{{ list[0].name }}`, `{{ $randomNumber(1, 10) }}`.
//!
//! What it takes for a template is narrow, and all else in braces stays as it is: a name with members and indexes, or
//! one of its functions with plain arguments. Where a text has a function in it, it is called first.

/// A piece of a text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    /// As it stands.
    Text(String),
    /// What a path leads to.
    Variable(Path),
    /// What a function gives.
    Call(String, Vec<Argument>),
}

/// A name, and what leads further from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) root: String,
    pub(crate) further: Vec<Key>,
}

/// One step from a value to one inside of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    Name(String),
    Index(u64),
}

/// An argument of a function: Artillery takes numbers and bare words, and a word is nothing to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Argument {
    Number(f64),
    Nothing,
}

/// Whether Artillery would look for templates in a text.
pub(crate) fn has_template(text: &str) -> bool {
    text.contains("{{")
}

/// Takes a text apart.
pub(crate) fn parse(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        let (before, from) = rest.split_at(at);
        literal.push_str(before);
        match call(from).or_else(|| variable(from)) {
            Some((piece, length)) => {
                flush(&mut literal, &mut pieces);
                pieces.push(piece);
                rest = from.get(length..).unwrap_or_default();
            }
            None => {
                literal.push_str("{{");
                rest = from.get(2..).unwrap_or_default();
            }
        }
    }
    literal.push_str(rest);
    flush(&mut literal, &mut pieces);
    pieces
}

fn flush(literal: &mut String, pieces: &mut Vec<Piece>) {
    if !literal.is_empty() {
        pieces.push(Piece::Text(std::mem::take(literal)));
    }
}

/// `{{ $name(1, 2) }}`, and how long it is.
fn call(text: &str) -> Option<(Piece, usize)> {
    let inner = text.strip_prefix("{{")?.trim_start();
    let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$'))?;
    let (name, rest) = inner.split_at(end);
    let plain = name.strip_prefix('$').filter(|plain| !plain.is_empty() && !plain.contains('$'))?;
    debug_assert!(!plain.is_empty());
    let (arguments, rest) = rest.trim_start().strip_prefix('(')?.split_once(')')?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ',' || c.is_whitespace();
    let rest = rest.trim_start().strip_prefix("}}").filter(|_| arguments.chars().all(is_plain))?;
    let arguments = if arguments.trim().is_empty() {
        Vec::new()
    } else {
        let argument = |text: &str| text.trim().parse().map_or(Argument::Nothing, Argument::Number);
        arguments.split(',').map(argument).collect()
    };
    Some((Piece::Call(name.to_owned(), arguments), text.len() - rest.len()))
}

/// `{{ name.member[0] }}`, with two or three braces, and how long it is.
fn variable(text: &str) -> Option<(Piece, usize)> {
    let inner = text.strip_prefix("{{")?;
    let inner = inner.strip_prefix('{').unwrap_or(inner);
    let may_be = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_$.[]'\"-".contains(c);
    let end = inner.find(|c: char| !may_be(c))?;
    let (name, rest) = inner.split_at(end);
    let rest = rest.strip_prefix("}}")?;
    let rest = rest.strip_prefix('}').unwrap_or(rest);
    Some((Piece::Variable(path(name.trim())?), text.len() - rest.len()))
}

/// A path as `_.get` reads it; `None` of nothing.
pub(crate) fn path(text: &str) -> Option<Path> {
    let mut keys: Vec<Key> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (key, after) = bracketed(inside)?;
            keys.push(key);
            rest = after;
        } else {
            let part = rest.strip_prefix('.').unwrap_or(rest);
            let end = part.find(['.', '[']).unwrap_or(part.len());
            let (name, after) = part.split_at(end);
            keys.push(key_of(name));
            rest = after;
        }
    }
    let mut keys = keys.into_iter();
    let root = match keys.next()? {
        Key::Name(name) if name.is_empty() => return None,
        Key::Name(name) => name,
        Key::Index(index) => index.to_string(),
    };
    Some(Path { root, further: keys.collect() })
}

fn key_of(name: &str) -> Key {
    let is_index =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    name.parse().ok().filter(|_| is_index).map_or_else(|| Key::Name(name.to_owned()), Key::Index)
}

fn bracketed(inside: &str) -> Option<(Key, &str)> {
    for quote in ['\'', '"'] {
        if let Some(inside) = inside.strip_prefix(quote) {
            let (name, after) = inside.split_once(quote)?;
            return Some((Key::Name(name.to_owned()), after.strip_prefix(']')?));
        }
    }
    let (name, after) = inside.split_once(']')?;
    Some((key_of(name), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Key {
        Key::Name(text.to_owned())
    }

    fn variable_of(root: &str, further: &[Key]) -> Piece {
        Piece::Variable(Path { root: root.to_owned(), further: further.to_vec() })
    }

    #[test]
    fn variables_are_names_with_members_and_indexes() {
        for (text, expected) in [
            ("{{ a }}", vec![variable_of("a", &[])]),
            ("{{{a}}}", vec![variable_of("a", &[])]),
            ("{{ user-id }}", vec![variable_of("user-id", &[])]),
            ("{{ a.b[0].c }}", vec![variable_of("a", &[name("b"), Key::Index(0), name("c")])]),
            ("{{ a['x y'].z }}", vec![variable_of("a", &[name("x y"), name("z")])]),
            ("{{ $env.HOME }}", vec![variable_of("$env", &[name("HOME")])]),
            ("x{{a}}y", vec![Piece::Text("x".into()), variable_of("a", &[]), Piece::Text("y".into())]),
            ("{{ a + b }}", vec![Piece::Text("{{ a + b }}".into())]),
            ("{{ }}", vec![Piece::Text("{{ }}".into())]),
            ("{{ a", vec![Piece::Text("{{ a".into())]),
            ("{ {a} }", vec![Piece::Text("{ {a} }".into())]),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn functions_have_plain_arguments() {
        let call = |name: &str, arguments: &[Argument]| vec![Piece::Call(name.into(), arguments.to_vec())];
        let ten = Argument::Number(10.0);
        assert_eq!(parse("{{ $randomString(10) }}"), call("$randomString", std::slice::from_ref(&ten)));
        assert_eq!(parse("{{$randomNumber( 1 , 10 )}}"), call("$randomNumber", &[Argument::Number(1.0), ten]));
        assert_eq!(parse("{{ $f() }}"), call("$f", &[]));
        assert_eq!(parse("{{ $f(x) }}"), call("$f", &[Argument::Nothing]));
        // Neither a function nor a variable to it.
        assert_eq!(parse("{{ $f(-1) }}"), [Piece::Text("{{ $f(-1) }}".into())]);
        assert_eq!(parse("{{ f(1) }}"), [Piece::Text("{{ f(1) }}".into())]);
    }

    proptest::proptest! {
        #[test]
        fn every_text_is_taken_apart_without_a_panic(text in "(\\{|\\}|a|\\$f\\(|\\)|\\[|\\]|'|\\.|1|,| |-|ü){0,30}") {
            for piece in parse(&text) {
                if let Piece::Text(text) = piece {
                    proptest::prop_assert!(!text.is_empty());
                }
            }
        }
    }
}
