//! Names of variables: what Artillery takes for one is any text, here it is a word.

use std::collections::{BTreeMap, BTreeSet};

use nuncius_schemas::flow::rule::{FUNCTIONS, VARIABLE_MAX_BYTES};

/// Words of templates that are no names.
const WORDS: [&str; 4] = ["true", "false", "null", "loop"];

/// Longest name that is made of a foreign one, in bytes: there is room for a number behind it.
const NAME_MAX_BYTES: usize = VARIABLE_MAX_BYTES - 8;

/// What begins the names of variables that a specification needs and Artillery does not know.
pub(crate) const OWN: &str = "artillery_";

/// Which name a variable has here.
#[derive(Debug, Default)]
pub(crate) struct Names {
    here: BTreeMap<String, String>,
    taken: BTreeSet<String>,
}

impl Names {
    /// The name of a variable of Artillery's: its own, where that is a word that means nothing yet.
    pub(crate) fn of(&mut self, foreign: &str) -> String {
        if let Some(name) = self.here.get(foreign) {
            return name.clone();
        }
        let name = self.free(&word(foreign));
        self.here.insert(foreign.to_owned(), name.clone());
        name
    }

    /// A name that nobody has, for a variable that Artillery does not know: `artillery_<purpose>`.
    pub(crate) fn own(&mut self, purpose: &str) -> String {
        self.free(&word(&format!("{OWN}{purpose}")))
    }

    fn free(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 2;
        while self.taken.contains(&name) {
            name = format!("{wanted}_{number}");
            number += 1;
        }
        self.taken.insert(name.clone());
        name
    }

    /// Variables whose names differ, by their foreign names.
    pub(crate) fn changed(&self) -> BTreeMap<&str, &str> {
        let pairs = self.here.iter().map(|(foreign, name)| (foreign.as_str(), name.as_str()));
        pairs.filter(|(foreign, name)| foreign != name).collect()
    }
}

/// A word made of any text.
fn word(text: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '_' };
    let mut word: String = text.trim_start_matches('$').chars().map(plain).collect();
    if word.is_empty() || word.starts_with(char::is_numeric) {
        word.insert(0, '_');
    }
    while word.len() > NAME_MAX_BYTES {
        word.pop();
    }
    if FUNCTIONS.contains(&word.as_str()) || WORDS.contains(&word.as_str()) {
        word.push('_');
    }
    word
}

/// Whether a text can stand behind a point in an expression.
pub(crate) fn is_member(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !["true", "false", "null"].contains(&text)
}

/// A text in quotes, as expressions have it.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        match c {
            '\'' => quoted.push_str("\\'"),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_that_are_free_and_mean_nothing_else() {
        let mut names = Names::default();
        for (foreign, expected) in [
            ("email", "email"),
            ("user-id", "user_id"),
            ("user_id", "user_id_2"),
            ("$loopCount", "loopCount"),
            ("user", "user_"),
            ("loop", "loop_"),
            ("1st", "_1st"),
            ("größe", "größe"),
            ("a b.c", "a_b_c"),
            ("", "_"),
            ("email", "email"),
        ] {
            assert_eq!(names.of(foreign), expected, "{foreign}");
        }
        assert_eq!(names.own("list"), "artillery_list");
        assert_eq!(names.own("list"), "artillery_list_2");
        assert_eq!(names.changed().get("user-id"), Some(&"user_id"));
        assert_eq!(names.changed().get("email"), None);
    }

    proptest::proptest! {
        #[test]
        fn every_text_has_a_name_that_a_specification_takes(texts in proptest::collection::vec(".{0,80}", 1..20)) {
            let mut names = Names::default();
            let mut seen = BTreeMap::new();
            for text in texts {
                let name = names.of(&text);
                proptest::prop_assert!(name.len() <= VARIABLE_MAX_BYTES && !name.starts_with(char::is_numeric));
                proptest::prop_assert!(name.chars().all(|c| c.is_alphanumeric() || c == '_'));
                proptest::prop_assert!(!FUNCTIONS.contains(&name.as_str()));
                proptest::prop_assert_eq!(seen.entry(name).or_insert_with(|| text.clone()), &text);
            }
        }
    }
}
