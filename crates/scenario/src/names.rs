//! Names of variables to slots, resolved once, so that filling a template in is an index into a slice.

use std::collections::HashMap;

use crate::error::{NAME_MAX_BYTES, NAMES_MAX, TemplateError, shown};

/// The variables of a group: each name has a slot, 0, 1, 2 … in the order in which they were met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    slots: HashMap<Box<str>, u16>,
    names: Vec<Box<str>>,
}

impl Names {
    /// No names.
    pub fn new() -> Self {
        Self::default()
    }

    /// The slot of a name; a new one where it has none.
    ///
    /// # Errors
    /// What is no name, and one beyond [`NAMES_MAX`].
    pub fn slot(&mut self, name: &str) -> Result<u16, TemplateError> {
        if let Some(slot) = self.slots.get(name) {
            return Ok(*slot);
        }
        if !is_name(name) {
            return Err(TemplateError::Name { shown: shown(name) });
        }
        let too_many = || TemplateError::TooManyNames { name: name.to_owned() };
        if self.names.len() >= NAMES_MAX {
            return Err(too_many());
        }
        let slot = u16::try_from(self.names.len()).map_err(|_| too_many())?;
        self.names.push(name.into());
        self.slots.insert(name.into(), slot);
        Ok(slot)
    }

    /// The slot of a name that has one.
    pub fn get(&self, name: &str) -> Option<u16> {
        self.slots.get(name).copied()
    }

    /// The name of a slot; empty for one that nobody has.
    pub fn name(&self, slot: u16) -> &str {
        self.names.get(usize::from(slot)).map_or("", AsRef::as_ref)
    }

    /// All names in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// How many there are: how long a slice of values must be.
    pub const fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// Whether a text may be the name of a variable.
pub fn is_name(text: &str) -> bool {
    text.len() <= NAME_MAX_BYTES
        && text.chars().next().is_some_and(begins_name)
        && text.chars().all(continues_name)
        && !["true", "false", "null"].contains(&text)
}

pub(crate) fn begins_name(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

pub(crate) fn continues_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_slot() {
        let mut names = Names::new();
        assert!(names.is_empty());
        assert_eq!((names.slot("a"), names.slot("b"), names.slot("a")), (Ok(0), Ok(1), Ok(0)));
        assert_eq!((names.get("b"), names.get("c"), names.name(1), names.name(9)), (Some(1), None, "b", ""));
        assert_eq!((names.len(), names.iter().collect::<Vec<_>>()), (2, vec!["a", "b"]));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let mut names = Names::new();
        for text in ["", "1a", "a b", "a.b", "a-b", "true", "null", "{{", &"x".repeat(NAME_MAX_BYTES + 1)] {
            assert!(matches!(names.slot(text), Err(TemplateError::Name { .. })), "{text}");
        }
        for text in ["_", "größe", "a1", "loop"] {
            assert!(names.slot(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn there_are_at_most_so_many_and_the_error_says_how_many() {
        let mut names = Names::new();
        for number in 0..NAMES_MAX {
            names.slot(&format!("v{number}")).unwrap();
        }
        let error = names.slot("more").unwrap_err().to_string();
        assert!(error.contains("`more`") && error.contains("1024"), "{error}");
        assert_eq!(names.slot("v7"), Ok(7));
    }
}
