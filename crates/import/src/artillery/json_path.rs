//! JSONPath as Artillery takes it (`jsonpath-plus`) to JSONPath of RFC 9535.
//!
//! The same paths mostly; of what differs these are rewritten: a path without `$` before it, names with characters that
//! the RFC wants in brackets (`$.user-id`), and numbers as names (`$.0`). What the RFC has nothing for is refused:
//! parents (`^`), names of properties (`~`), code in parentheses (`[(@.length-1)]`), types (`@string()`).

use serde_json_path::JsonPath;

/// A path, and whether it leads to one place at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) text: String,
    pub(crate) is_singular: bool,
}

/// Rewrites a path.
///
/// # Errors
/// What cannot be said by the RFC, in words that follow the path.
pub(crate) fn rewrite(path: &str) -> Result<Path, String> {
    let path = path.trim();
    let mut rest = match path.strip_prefix('$') {
        Some(rest) => rest.to_owned(),
        None if path.starts_with(['.', '[']) => path.to_owned(),
        None => format!(".{path}"),
    };
    let mut text = "$".to_owned();
    let mut is_singular = true;
    while !rest.is_empty() {
        let (made, is_single, after) = segment(&rest)?;
        text.push_str(&made);
        is_singular &= is_single;
        rest = after.to_owned();
    }
    match JsonPath::parse(&text) {
        Ok(_) => Ok(Path { text, is_singular }),
        Err(error) => Err(format!("is no JSONPath of RFC 9535: {error}")),
    }
}

/// The first segment: how it is written here, whether it leads to one place, and what comes after.
fn segment(path: &str) -> Result<(String, bool, &str), String> {
    if path.starts_with('[') {
        let end = closing(path).ok_or_else(|| "has a bracket that does not end".to_owned())?;
        let inside = path.get(1..end).unwrap_or_default().trim();
        let after = path.get(end + 1..).unwrap_or_default();
        if inside.starts_with('(') {
            return Err("has code in it (`[(…)]`), which RFC 9535 has not; `[-1]` is the last of a list".to_owned());
        }
        let is_index = inside.parse::<i64>().is_ok();
        let is_name = is_quoted(inside);
        // A name without quotes is one to Artillery.
        let is_bare = !inside.is_empty() && !is_index && inside.chars().all(|c| c.is_alphanumeric() || c == '_');
        let made = if is_bare { bracketed(inside) } else { format!("[{inside}]") };
        return Ok((made, is_index || is_name || is_bare, after));
    }
    if let Some(rest) = path.strip_prefix("..") {
        if rest.starts_with('[') {
            let (made, _, after) = segment(rest)?;
            return Ok((format!("..{made}"), false, after));
        }
        let (name, after) = name(rest)?;
        let made = if name == "*" { "..*".to_owned() } else { format!("..{}", bracketed(name)) };
        return Ok((made, false, after));
    }
    let Some(rest) = path.strip_prefix('.') else {
        return Err(format!("goes on with `{}` where `.` or `[` belongs", path.chars().take(20).collect::<String>()));
    };
    if rest.starts_with('[') {
        return segment(rest);
    }
    let (name, after) = name(rest)?;
    Ok(match name {
        "*" => (".*".to_owned(), false, after),
        name if name.bytes().all(|b| b.is_ascii_digit()) => (format!("[{name}]"), true, after),
        name if is_plain(name) => (format!(".{name}"), true, after),
        name => (bracketed(name), true, after),
    })
}

/// A name up to the next segment.
fn name(path: &str) -> Result<(&str, &str), String> {
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, after) = path.split_at(end);
    match name {
        "" => Err("has a segment without a name".to_owned()),
        name if name.contains(['^', '~', '(', ')', '@', '`']) => {
            Err(format!("has `{name}` in it, which RFC 9535 has not"))
        }
        name => Ok((name, after)),
    }
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// A name in brackets, as a text.
pub(crate) fn bracketed(name: &str) -> String {
    let mut made = "['".to_owned();
    for c in name.chars() {
        match c {
            '\'' => made.push_str("\\'"),
            '\\' => made.push_str("\\\\"),
            c if c.is_control() => made.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => made.push(c),
        }
    }
    made.push_str("']");
    made
}

fn is_quoted(text: &str) -> bool {
    ['\'', '"'].iter().any(|quote| {
        let inside = text.strip_prefix(*quote).and_then(|text| text.strip_suffix(*quote));
        inside.is_some_and(|inside| !inside.contains(*quote))
    })
}

/// Where the bracket that a text begins with ends, in bytes.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut is_escaped) = (0u32, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), '\\') if !is_escaped => {
                is_escaped = true;
                continue;
            }
            (Some(open), c) if c == open && !is_escaped => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            (None, _) => {}
        }
        is_escaped = false;
    }
    None
}

/// A property as `_.has` finds it (`user.tags[0]`), as a path.
pub(crate) fn of_property(property: &str) -> Result<String, String> {
    let path = super::template::path(property).ok_or_else(|| "names no property".to_owned())?;
    let keys = std::iter::once(super::template::Key::Name(path.root)).chain(path.further);
    let steps = keys.map(|key| match key {
        super::template::Key::Name(name) if is_plain(&name) => format!(".{name}"),
        super::template::Key::Name(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) => {
            format!("[{name}]")
        }
        super::template::Key::Name(name) => bracketed(&name),
        super::template::Key::Index(index) => format!("[{index}]"),
    });
    rewrite(&format!("${}", steps.collect::<String>())).map(|path| path.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_rewritten_where_the_standard_is_stricter() {
        for (path, expected, is_singular) in [
            ("$.appointment.appointment_id", "$.appointment.appointment_id", true),
            ("$", "$", true),
            ("$[0].id", "$[0].id", true),
            ("data.id", "$.data.id", true),
            ("[0]", "$[0]", true),
            ("$.user-id", "$['user-id']", true),
            ("$.0", "$[0]", true),
            ("$.a.1.b", "$.a[1].b", true),
            ("$[name]", "$['name']", true),
            ("$['a b']", "$['a b']", true),
            ("$.items[-1]", "$.items[-1]", true),
            ("$..id", "$..['id']", false),
            ("$.items[*].id", "$.items[*].id", false),
            ("$.items.*", "$.items.*", false),
            ("$.items[0,1]", "$.items[0,1]", false),
            ("$.items[1:3]", "$.items[1:3]", false),
            ("$.items[?(@.price < 10)].id", "$.items[?(@.price < 10)].id", false),
            ("$.items[?(@.name == 'a]b')]", "$.items[?(@.name == 'a]b')]", false),
            ("$.größe", "$.größe", true),
        ] {
            let made = rewrite(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!((made.text.as_str(), made.is_singular), (expected, is_singular), "{path}");
        }
        assert_eq!(of_property("user.tags[0].x-y").as_deref(), Ok("$.user.tags[0]['x-y']"));
        assert_eq!(of_property("0.id").as_deref(), Ok("$[0].id"));
    }

    #[test]
    fn what_the_standard_has_nothing_for_is_refused() {
        for path in ["$.a^", "$.a~", "$.a[(@.length-1)]", "$.a.", "$.a[", "$a", "$.a[?(", "$..", "$.@string()"] {
            assert!(rewrite(path).is_err(), "{path}");
        }
        assert!(of_property("").is_err());
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_out_can_be_read(path in "(\\$|\\.|\\[|\\]|'|a|-|0|\\*|\\?|\\(|@|,|:| |ü){0,20}") {
            if let Ok(path) = rewrite(&path) {
                proptest::prop_assert!(JsonPath::parse(&path.text).is_ok());
            }
            drop(of_property(&path));
        }
    }
}
