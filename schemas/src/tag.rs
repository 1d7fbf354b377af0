//! Tags of experiments: the short entries of their metadata, by which they are found.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most tags of an experiment, and most that are asked for at a time.
pub const TAGS_MAX: usize = 16;
/// Longest name and longest value of a tag, in bytes.
pub const TAG_MAX_BYTES: usize = 64;

/// What of some metadata is short enough to find an experiment by: the first entries by name whose name and value are
/// at most [`TAG_MAX_BYTES`] long and of one line. A name with `=` in it is none.
pub fn tags_of(metadata: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_tag = |(name, value): &(&String, &String)| is_name(name) && is_word(value);
    let tags = metadata.iter().filter(is_tag).take(TAGS_MAX);
    tags.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains('=') && is_word(text)
}

fn is_word(text: &str) -> bool {
    text.len() <= TAG_MAX_BYTES && !text.chars().any(char::is_control)
}

/// A tag that is wanted: `nightly` for any value, or `branch=main`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct WantedTag {
    /// Its name.
    pub name: String,
    /// What it says; any value when absent.
    pub value: Option<String>,
}

impl WantedTag {
    /// Whether it is among these tags.
    pub fn is_among(&self, tags: &BTreeMap<String, String>) -> bool {
        tags.get(&self.name).is_some_and(|known| self.value.as_ref().is_none_or(|value| value == known))
    }
}

/// What is no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a tag as NAME or NAME=VALUE, each at most {TAG_MAX_BYTES} bytes of one line")]
pub struct TagError;

impl FromStr for WantedTag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        if !is_name(name) || !value.is_none_or(is_word) {
            return Err(TagError);
        }
        Ok(Self { name: name.to_owned(), value: value.map(str::to_owned) })
    }
}

impl TryFrom<String> for WantedTag {
    type Error = TagError;

    fn try_from(text: String) -> Result<Self, TagError> {
        text.parse()
    }
}

impl From<WantedTag> for String {
    fn from(tag: WantedTag) -> Self {
        tag.to_string()
    }
}

impl fmt::Display for WantedTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.value.as_ref().map_or(Ok(()), |value| write!(f, "={value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_are_short_are_tags_and_no_more_than_there_is_room_for() {
        let long = "x".repeat(TAG_MAX_BYTES + 1);
        let entries = [("branch", "main"), ("nightly", ""), ("note", "two\nlines"), ("a=b", "c"), ("why", &long)];
        let metadata = entries.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(tags_of(&metadata).keys().collect::<Vec<_>>(), ["branch", "nightly"]);
        let many = (0..99).map(|number| (format!("n{number:02}"), "v".to_owned())).collect();
        assert_eq!(tags_of(&many).len(), TAGS_MAX);
    }

    #[test]
    fn a_tag_is_wanted_by_its_name_or_with_its_value() {
        let tags: BTreeMap<String, String> =
            [("branch", "main=2"), ("nightly", "")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        for text in ["branch", "branch=main=2", "nightly", "nightly="] {
            let wanted: WantedTag = text.parse().unwrap();
            assert!(wanted.is_among(&tags) && wanted.to_string() == text, "{text}");
        }
        for text in ["main", "branch=", "branch=main", "Nightly"] {
            assert!(!text.parse::<WantedTag>().unwrap().is_among(&tags), "{text}");
        }
        for text in ["", "=main", "a\nb", &"x".repeat(TAG_MAX_BYTES + 1)] {
            assert_eq!(text.parse::<WantedTag>(), Err(TagError), "{text:?}");
        }
    }
}
