//! Messages that are numbered: each thread numbers what it publishes, and knows by their numbers those that come.

use std::collections::HashMap;
use std::sync::Arc;

use nuncius_stats::Ranges;

/// Most publishers of which the order is watched, on one thread.
const PUBLISHERS_MAX: usize = 65_536;

/// What a thread remembers of the tracks that it publishes and receives.
#[derive(Debug)]
pub(super) struct Tracks {
    run_key: u64,
    /// Of this thread.
    publisher: u64,
    /// The number of the next message, by track.
    next: HashMap<Arc<str>, u64>,
    /// What has come, by track and publisher.
    come: HashMap<(Arc<str>, u64), Ranges>,
}

/// A message of a track that was numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) publisher: u64,
    pub(crate) number: u64,
}

impl Tracks {
    pub(super) fn new(run_key: u64) -> Self {
        Self { run_key, publisher: fastrand::u64(..), next: HashMap::new(), come: HashMap::new() }
    }
}

impl Tracks {
    /// Numbers a message of a track; and what its header says.
    pub(super) fn number(&mut self, track: &Arc<str>) -> (Numbered, String) {
        let next = self.next.entry(Arc::clone(track)).or_default();
        let numbered = Numbered { publisher: self.publisher, number: *next };
        *next += 1;
        let text = format!("{:x}.{:x}.{}", self.run_key, numbered.publisher, numbered.number);
        (numbered, text)
    }

    /// Which message came whose header says this, and whether it came behind one that was published after it; `None`
    /// for one of another run, or of none.
    pub(super) fn receive(&mut self, track: &Arc<str>, header: &str) -> Option<(Numbered, bool)> {
        let numbered = read(self.run_key, header)?;
        if self.come.len() >= PUBLISHERS_MAX {
            self.come.clear();
        }
        let come = self.come.entry((Arc::clone(track), numbered.publisher)).or_default();
        let is_behind = come.last().is_some_and(|last| numbered.number < last);
        // One that comes again is a duplicate, wherever it comes.
        let is_reordered = come.insert(numbered.number) && is_behind;
        Some((numbered, is_reordered))
    }
}

fn read(run_key: u64, header: &str) -> Option<Numbered> {
    let mut parts = header.split('.');
    let mut hexadecimal = || parts.next().and_then(|part| u64::from_str_radix(part, 16).ok());
    let (run, publisher) = (hexadecimal()?, hexadecimal()?);
    let number = parts.next()?.parse().ok()?;
    (run == run_key && parts.next().is_none()).then_some(Numbered { publisher, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_by_its_own_run_only_and_garbage_is_none() {
        let numbered = Numbered { publisher: 0xabc, number: 7 };
        assert_eq!(read(0x10, "10.abc.7"), Some(numbered));
        for other in ["11.abc.7", "10.abc", "10.abc.7.8", "", "10.x.7", "10.abc.-1", "10.abc.99999999999999999999"] {
            assert_eq!(read(0x10, other), None, "{other}");
        }
    }
}
