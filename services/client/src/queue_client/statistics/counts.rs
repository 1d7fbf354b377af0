//! Counters by name that cannot grow without end.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use super::{TEXT_CHARACTERS, TEXTS_MAX};

/// A name and how often it occurred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// A name or an error text.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// What was counted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Most frequent first, then by name.
    pub named: Vec<Count>,
    /// Beyond the limit of names.
    pub other: u64,
}

/// Counters by name, with a limit.
#[derive(Debug, Default)]
pub(super) struct Counts {
    named: BTreeMap<String, u64>,
    other: u64,
}

impl Counts {
    /// Counts a text once. `limit` is how many are kept apart here, `texts` how many are kept everywhere.
    pub(super) fn add(&mut self, text: &str, limit: usize, texts: &mut usize) {
        let name = cleaned(text);
        if let Some(count) = self.named.get_mut(&name) {
            *count = count.saturating_add(1);
        } else if self.named.len() < limit && *texts < TEXTS_MAX {
            *texts += 1;
            self.named.insert(name, 1);
        } else {
            self.other = self.other.saturating_add(1);
        }
    }

    pub(super) fn report(&self) -> Counted {
        let mut named: Vec<Count> =
            self.named.iter().map(|(name, count)| Count { name: name.clone(), count: *count }).collect();
        // Stable: equal counts stay in the order of their names.
        named.sort_by_key(|entry| Reverse(entry.count));
        Counted { named, other: self.other }
    }
}

/// A text of at most [`TEXT_CHARACTERS`] on one line, without what a terminal would act on or reorder.
pub(super) fn cleaned(text: &str) -> String {
    let is_cut = text.chars().nth(TEXT_CHARACTERS).is_some();
    let kept = text.chars().take(TEXT_CHARACTERS - usize::from(is_cut)).map(|c| match c {
        '\n' | '\r' | '\t' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    });
    kept.chain(is_cut.then_some('…')).collect()
}
