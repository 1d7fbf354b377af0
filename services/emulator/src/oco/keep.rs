//! What outlives the process: where it is kept, and one application's entry there.
//!
//! An entry is written before the answer that follows from it is sent. What a servo was answered, it may rely on; what
//! it was not answered, it sends again.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::machine::{Machine, Reply};

pub(crate) mod bucket;
pub(crate) mod log;

/// Where the state of applications is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StateStore {
    /// In this process only.
    #[default]
    Memory,
    /// In a file.
    File(PathBuf),
    /// In a bucket on the bus.
    Kv,
}

impl std::str::FromStr for StateStore {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("file:")) {
            ("memory", _) => Ok(Self::Memory),
            ("kv", _) => Ok(Self::Kv),
            (_, Some(path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            _ => Err("no such place for state; write memory, kv or file:PATH".to_owned()),
        }
    }
}

/// The last event that was accepted and kept, by which it is known when it comes again because its answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Last {
    /// Hash of its bytes.
    pub(crate) hash: u64,
    /// What it was answered.
    pub(crate) reply: Reply,
}

/// The entry of an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept<'a> {
    /// What the book calls it: the application, in service mode after its account and a `/`.
    pub(crate) key: Cow<'a, str>,
    pub(crate) machine: Machine,
    pub(crate) last: Option<Last>,
}

/// Whether what was kept would mislead after a restart. A progress that is lower than the real one does not.
pub(crate) fn must_keep(kept: &Machine, now: &Machine) -> bool {
    let Machine { last_progress, .. } = *now;
    Machine { last_progress, ..*kept } != *now || last_progress < kept.last_progress
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_progress_that_grows_need_not_be_kept() {
        let machine = |last_progress, command| Machine { last_progress, command, ..Machine::new() };
        assert!(!must_keep(&machine(Some(5), 1), &machine(Some(9), 1)));
        assert!(!must_keep(&machine(None, 1), &machine(Some(9), 1)));
        assert!(must_keep(&machine(Some(5), 1), &machine(Some(4), 1)));
        assert!(must_keep(&machine(Some(5), 1), &machine(None, 1)));
        assert!(must_keep(&machine(Some(5), 1), &machine(Some(5), 2)));
    }

    #[test]
    fn a_place_for_state_is_read_or_refused_with_those_there_are() {
        assert_eq!("memory".parse(), Ok(StateStore::Memory));
        assert_eq!("kv".parse(), Ok(StateStore::Kv));
        assert_eq!("file:a/b".parse(), Ok(StateStore::File("a/b".into())));
        for wrong in ["", "file:", "disk", "kv:x"] {
            assert!(wrong.parse::<StateStore>().unwrap_err().contains("file:PATH"), "{wrong}");
        }
    }
}
