//! Pages of lists: cursors that say nothing to whoever has them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::asked::Asked;
use super::parameter::{Kind, Parameter};
use crate::problem::Problem;

/// How many entries a page has where nobody says.
pub(super) const USUAL: usize = 50;

pub(super) const LIMIT: Parameter = limit(100);
/// Of lists that cost nothing.
pub(super) const LIMIT_ROWS: Parameter = limit(10_000);
pub(super) const CURSOR: Parameter = Parameter::new("cursor", Kind::Text, "The `next` of the page before.");

const fn limit(most: u64) -> Parameter {
    let about = "Most entries of the page; the answer to too many says how many there may be.";
    Parameter::new("limit", Kind::Most(most), about)
}

/// A part of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Page<T> {
    /// The entries.
    pub(super) items: Vec<T>,
    /// The cursor of the next page; absent where this is the last.
    pub(super) next: Option<String>,
    /// What is missing: daemons that did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missing: Option<String>,
}

impl<T> Page<T> {
    pub(super) fn new(items: Vec<T>) -> Self {
        Self { items, next: None, missing: None }
    }
}

/// A cursor for a place.
pub(crate) fn cursor_of(place: &impl Serialize) -> Option<String> {
    Some(URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).ok()?))
}

/// The place of a cursor.
///
/// # Errors
/// What is none.
pub(super) fn place_of<T: DeserializeOwned>(asked: &Asked) -> Result<Option<T>, Problem> {
    let Some(text) = asked.text("cursor") else { return Ok(None) };
    place_in(text).map(Some).ok_or_else(|| Problem::parameter("cursor", "take the `next` of the page before as it is"))
}

/// The place of a cursor; none of what is no cursor.
pub(crate) fn place_in<T: DeserializeOwned>(cursor: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

/// A page of a list that is all there, by the place of its first entry.
///
/// # Errors
/// A limit beyond the greatest, a cursor that is none.
pub(super) fn cut<T>(asked: &Asked, all: Vec<T>, most: usize) -> Result<Page<T>, Problem> {
    let limit = asked.limit(USUAL, most)?;
    let start: usize = place_of(asked)?.unwrap_or(0);
    let left = all.len().saturating_sub(start.saturating_add(limit));
    let next = (left > 0).then(|| cursor_of(&(start + limit))).flatten();
    Ok(Page { items: all.into_iter().skip(start).take(limit).collect(), next, missing: None })
}
