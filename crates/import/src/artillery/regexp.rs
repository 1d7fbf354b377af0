//! Regular expressions of JavaScript as those of Nuncius: what a capture takes is made the only group, flags go into
//! the expression. What only a backtracking engine can do (looking around, referring back) is refused.

/// A group of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Group {
    /// All that matches.
    Whole,
    /// By its number, from 1.
    Number(usize),
    /// By its name.
    Named(String),
}

/// An expression that has the wanted group as its only one, or none where all is wanted.
///
/// # Errors
/// What cannot be said, in words that follow the expression.
pub(crate) fn rewrite(pattern: &str, flags: &str, wanted: &Group) -> Result<String, String> {
    let mut made = String::with_capacity(pattern.len() + 8);
    let known: String = flags.chars().filter(|flag| "ims".contains(*flag)).collect();
    if let Some(flag) = flags.chars().find(|flag| !"imsgyuvd".contains(*flag)) {
        return Err(format!("has the flag `{flag}`, which there is not"));
    }
    if !known.is_empty() {
        made.push_str(&format!("(?{known})"));
    }
    let mut is_found = *wanted == Group::Whole;
    let (mut number, mut in_class) = (0, false);
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(&mut made, chars.next(), in_class)?,
            '[' if !in_class => {
                in_class = true;
                made.push('[');
                // `[]` matches nothing and `[^]` anything: there is no such class here.
                let is_negated = chars.next_if_eq(&'^').is_some();
                if chars.peek() == Some(&']') {
                    return Err("has an empty class, which there is not".to_owned());
                }
                made.extend(is_negated.then_some('^'));
            }
            // In a class it is a character like any other.
            '[' => made.push_str("\\["),
            ']' => {
                in_class = false;
                made.push(']');
            }
            '&' | '~' if in_class => {
                made.push('\\');
                made.push(c);
            }
            '(' if !in_class => {
                let (opening, is_wanted) = group(&mut chars, &mut number, wanted)?;
                is_found |= is_wanted;
                made.push_str(&opening);
            }
            c => made.push(c),
        }
    }
    if !is_found {
        return Err("has no such group".to_owned());
    }
    match regex::Regex::new(&made) {
        Ok(_) => Ok(made),
        Err(error) => {
            let picture = error.to_string();
            let last = picture.lines().last().unwrap_or_default().trim();
            Err(format!("cannot be used here: {}", last.strip_prefix("error: ").unwrap_or(last)))
        }
    }
}

/// What a group is opened with here, and whether it is the wanted one.
fn group(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    number: &mut usize,
    wanted: &Group,
) -> Result<(String, bool), String> {
    let capturing = |is_wanted: bool| Ok((if is_wanted { "(" } else { "(?:" }.to_owned(), is_wanted));
    if chars.next_if_eq(&'?').is_none() {
        *number += 1;
        return capturing(*wanted == Group::Number(*number));
    }
    match chars.next() {
        Some(':') => Ok(("(?:".to_owned(), false)),
        Some('<') if !matches!(chars.peek(), Some('=' | '!')) => {
            let name: String = chars.by_ref().take_while(|c| *c != '>').collect();
            *number += 1;
            capturing(*wanted == Group::Number(*number) || *wanted == Group::Named(name))
        }
        Some('=' | '!' | '<') => Err("looks around (`(?=`, `(?!`, `(?<=`, `(?<!`), which is not done here".to_owned()),
        _ => Err("has a group of a kind that there is not".to_owned()),
    }
}

fn escape(made: &mut String, escaped: Option<char>, in_class: bool) -> Result<(), String> {
    match escaped {
        None => return Err("ends with a backslash".to_owned()),
        Some('1'..='9') if !in_class => {
            return Err("refers back to a group, which is not done here".to_owned());
        }
        Some('k') => return Err("refers back to a group, which is not done here".to_owned()),
        // Digits, letters of words and spaces are those of ASCII in JavaScript.
        Some('d') => made.push_str(if in_class { "0-9" } else { "[0-9]" }),
        Some('w') => made.push_str(if in_class { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
        Some('D') if !in_class => made.push_str("[^0-9]"),
        Some('W') if !in_class => made.push_str("[^0-9A-Za-z_]"),
        Some('b') if in_class => made.push_str("\\x08"),
        Some('0') => made.push_str("\\x00"),
        // A letter that means nothing behind a backslash stands for itself.
        Some(c) if c.is_ascii_alphabetic() && !"bBDWsSnrtfvxupPcC".contains(c) => made.push(c),
        Some('/') => made.push('/'),
        Some(c) => {
            made.push('\\');
            made.push(c);
        }
    }
    Ok(())
}

/// A text of which an expression finds exactly this.
pub(crate) fn literally(text: &str) -> String {
    regex::escape(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_group_is_the_only_one_and_flags_go_into_the_expression() {
        let named = Group::Named("id".to_owned());
        for (pattern, flags, wanted, expected) in [
            ("id=(\\d+)", "", Group::Number(1), "id=([0-9]+)"),
            ("id=(\\d+)", "", Group::Whole, "id=(?:[0-9]+)"),
            ("(a)(b(c))", "", Group::Number(3), "(?:a)(?:b(c))"),
            ("(?<x>a)(?<id>b)", "", named.clone(), "(?:a)(b)"),
            ("(?:a)(b)", "", Group::Number(1), "(?:a)(b)"),
            ("token: (.+)", "gi", Group::Number(1), "(?i)token: (.+)"),
            ("\\/users\\/(\\w+)", "", Group::Number(1), "/users/([0-9A-Za-z_]+)"),
            ("[\\w-]+@[^(]+", "", Group::Whole, "[0-9A-Za-z_-]+@[^(]+"),
            ("\\(x\\)", "", Group::Whole, "\\(x\\)"),
            ("[a[b]", "", Group::Whole, "[a\\[b]"),
        ] {
            assert_eq!(rewrite(pattern, flags, &wanted).as_deref(), Ok(expected), "{pattern}");
        }
    }

    #[test]
    fn what_only_a_backtracking_engine_can_do_is_refused() {
        for (pattern, told) in [
            ("a(?=b)", "looks around"),
            ("(?<!a)b", "looks around"),
            ("(a)\\1", "refers back"),
            ("(?<x>a)\\k<x>", "refers back"),
            ("(", "cannot be used here: unclosed group"),
            ("a\\", "backslash"),
            ("[]", "empty class"),
            ("(?>a)", "of a kind"),
        ] {
            let error = rewrite(pattern, "", &Group::Whole).unwrap_err();
            assert!(error.contains(told), "{pattern}: {error}");
        }
        assert!(rewrite("a", "q", &Group::Whole).unwrap_err().contains("flag `q`"));
        assert!(rewrite("(a)", "", &Group::Number(2)).unwrap_err().contains("no such group"));
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_makes_it_panic(pattern in "(\\(|\\)|\\?|<|>|:|=|a|\\\\|d|1|\\[|\\]|\\^|-|\\{|\\}|ü){0,20}") {
            for wanted in [Group::Whole, Group::Number(1), Group::Named("a".to_owned())] {
                if let Ok(made) = rewrite(&pattern, "i", &wanted) {
                    let groups = regex::Regex::new(&made).unwrap().captures_len() - 1;
                    proptest::prop_assert_eq!(groups, usize::from(wanted != Group::Whole));
                }
            }
        }
    }
}
