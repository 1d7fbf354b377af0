//! What is said of the keys of a foreign file: how each came over, and what is worth a warning.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use nuncius_schemas::suggest;
use nuncius_schemas::tree::Position;
use serde::Serialize;

/// Most keys that are told of one file; a file is small enough to have fewer.
pub const KEYS_MAX: usize = 1 << 17;
/// Most warnings that are told of one file; further ones are counted.
pub const WARNINGS_MAX: usize = 1_000;

/// How a key came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// It means here what it means there.
    Supported,
    /// Nearly so: the note says what differs.
    Approximated,
    /// It has no meaning here: the note says why. Nothing comes out, unless such keys are to be left out.
    Refused,
    /// The other program does not know it either.
    Unknown,
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Supported => "supported",
            Self::Approximated => "approximated",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        })
    }
}

/// One key of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyReport {
    /// Where it is: `scenarios[0].flow[3].get.capture`.
    pub path: String,
    /// Line and column, where the file that has it is the one that was named.
    #[serde(serialize_with = "written")]
    pub position: Option<Position>,
    /// How it came over.
    pub support: Support,
    /// What differs, why not, or what may have been meant; empty where nothing is to be said.
    pub note: String,
}

/// Something that whoever wrote the file should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Where.
    pub path: String,
    /// Line and column, where the file that has it is the one that was named.
    #[serde(serialize_with = "written")]
    pub position: Option<Position>,
    /// What.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text)?;
        self.position.map_or(Ok(()), |position| write!(f, " ({position})"))
    }
}

#[expect(clippy::ref_option, reason = "serde gives a reference")]
fn written<S: serde::Serializer>(position: &Option<Position>, serializer: S) -> Result<S::Ok, S::Error> {
    match position {
        Some(position) => serializer.collect_str(position),
        None => serializer.serialize_none(),
    }
}

/// Keys of the same kind together: `scenarios[].flow[].get.url`, how often, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyGroup {
    /// Their path without numbers.
    pub pattern: String,
    /// How many there are.
    pub count: usize,
    /// The first of them.
    pub first: KeyReport,
}

/// Puts keys together that have the same path but for numbers, and of which the same is said; in the order of the
/// first of each.
pub fn grouped(keys: &[KeyReport]) -> Vec<KeyGroup> {
    let mut groups: Vec<KeyGroup> = Vec::new();
    let mut known: BTreeMap<(String, Support, &str), usize> = BTreeMap::new();
    for key in keys {
        let pattern = without_numbers(&key.path);
        let index = *known.entry((pattern.clone(), key.support, key.note.as_str())).or_insert_with(|| {
            groups.push(KeyGroup { pattern, count: 0, first: key.clone() });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(index) {
            group.count += 1;
        }
    }
    groups
}

fn without_numbers(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    let mut in_brackets = false;
    for c in path.chars() {
        in_brackets = match c {
            '[' => true,
            ']' => false,
            _ => in_brackets,
        };
        if !(in_brackets && c.is_ascii_digit()) {
            pattern.push(c);
        }
    }
    pattern
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Spot {
    pub(crate) path: String,
    pub(crate) position: Option<Position>,
}

/// What has been said so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    keys: Vec<KeyReport>,
    /// Where each path is among the keys.
    known: HashMap<String, usize>,
    warnings: Vec<Warning>,
    warnings_dropped: usize,
    is_fatal: bool,
}

impl Support {
    /// What is worse outweighs what is not.
    const fn weight(self) -> u8 {
        match self {
            Self::Supported => 0,
            Self::Approximated => 1,
            Self::Unknown => 2,
            Self::Refused => 3,
        }
    }
}

impl Ledger {
    /// Of a key of which several things are said, the worst counts.
    fn key(&mut self, spot: Spot, support: Support, note: String) {
        if let Some(known) = self.known.get(&spot.path).and_then(|index| self.keys.get_mut(*index)) {
            if support.weight() > known.support.weight() {
                known.support = support;
                known.note = note;
            } else if support == known.support && !note.is_empty() && !known.note.contains(&note) {
                known.note = format!("{}; {note}", known.note);
            }
            return;
        }
        if self.keys.len() < KEYS_MAX {
            self.known.insert(spot.path.clone(), self.keys.len());
            self.keys.push(KeyReport { path: spot.path, position: spot.position, support, note });
        }
    }

    pub(crate) fn supported(&mut self, spot: Spot) {
        self.key(spot, Support::Supported, String::new());
    }

    pub(crate) fn approximated(&mut self, spot: Spot, note: impl Into<String>) {
        self.key(spot, Support::Approximated, note.into());
    }

    pub(crate) fn refused(&mut self, spot: Spot, note: impl Into<String>) {
        self.key(spot, Support::Refused, note.into());
    }

    /// A key without which nothing comes out, whatever may be left out.
    pub(crate) fn fatal(&mut self, spot: Spot, note: impl Into<String>) {
        self.is_fatal = true;
        self.refused(spot, note);
    }

    pub(crate) fn is_fatal(&self) -> bool {
        self.is_fatal
    }

    /// A key that the other program does not know; `known` are those that it does, there.
    pub(crate) fn unknown(&mut self, spot: Spot, key: &str, known: &[&str]) {
        let note = match suggest::nearest(key, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "it is no key of Artillery here, and means nothing".to_owned(),
        };
        let text = format!("unknown key: {note}");
        self.warn(spot.clone(), text);
        self.key(spot, Support::Unknown, note);
    }

    /// A key that means nothing where it stands, and why; that is a warning, too.
    pub(crate) fn meaningless(&mut self, spot: Spot, note: &str) {
        self.warn(spot.clone(), note);
        self.key(spot, Support::Unknown, note.to_owned());
    }

    pub(crate) fn warn(&mut self, spot: Spot, text: impl Into<String>) {
        let warning = Warning { path: spot.path, position: spot.position, text: text.into() };
        if self.warnings.contains(&warning) {
            return;
        }
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(warning);
        } else {
            self.warnings_dropped += 1;
        }
    }

    pub(crate) fn has_refused(&self) -> bool {
        self.keys.iter().any(|key| key.support == Support::Refused)
    }

    pub(crate) fn finish(mut self) -> (Vec<KeyReport>, Vec<Warning>) {
        if self.warnings_dropped > 0 {
            let text = format!("{} further warnings are left out", self.warnings_dropped);
            self.warnings.push(Warning { path: String::new(), position: None, text });
        }
        (self.keys, self.warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(path: &str) -> Spot {
        Spot { path: path.to_owned(), position: None }
    }

    #[test]
    fn keys_that_differ_in_numbers_alone_are_told_together() {
        let mut ledger = Ledger::default();
        for path in ["a[0].b", "a[1].b", "a[12].b", "a[0].c"] {
            ledger.supported(spot(path));
        }
        ledger.refused(spot("a[3].b"), "no");
        ledger.supported(spot("a[3].b"));
        let (keys, _) = ledger.finish();
        let groups: Vec<(String, usize)> =
            grouped(&keys).into_iter().map(|group| (group.pattern, group.count)).collect();
        assert_eq!(groups, [("a[].b".to_owned(), 3), ("a[].c".to_owned(), 1), ("a[].b".to_owned(), 1)]);
    }

    #[test]
    fn an_unknown_key_is_told_with_what_may_have_been_meant_and_is_a_warning() {
        let mut ledger = Ledger::default();
        ledger.unknown(spot("config.tagret"), "tagret", &["target", "phases"]);
        ledger.unknown(spot("config.zzz"), "zzz", &["target", "phases"]);
        let (keys, warnings) = ledger.finish();
        assert_eq!(keys[0].note, "did you mean `target`?");
        assert!(keys[1].note.contains("no key of Artillery"));
        assert_eq!(warnings[0].to_string(), "config.tagret: unknown key: did you mean `target`?");
    }

    #[test]
    fn warnings_are_bounded_and_the_rest_is_counted() {
        let mut ledger = Ledger::default();
        for number in 0..WARNINGS_MAX + 5 {
            ledger.warn(spot("x"), format!("{number}"));
        }
        let (_, warnings) = ledger.finish();
        assert_eq!(warnings.len(), WARNINGS_MAX + 1);
        assert_eq!(warnings.last().map(|warning| warning.text.as_str()), Some("5 further warnings are left out"));
    }
}
