//! Who in this process reports. There is one list in a process, as there is one log: services that run in one program
//! add themselves, and are asked when it is time to tell.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::family::Families;

/// How fresh what somebody reports has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pace {
    /// Told every second: something is scaled by it.
    Brisk,
    /// Told once a period.
    Steady,
}

type Fill = Arc<dyn Fn(&mut Families) + Send + Sync>;

struct Reporter {
    number: u64,
    pace: Pace,
    fill: Fill,
}

struct Reporters {
    next: u64,
    all: Vec<Reporter>,
}

static REPORTERS: Mutex<Reporters> = Mutex::new(Reporters { next: 0, all: Vec::new() });

fn reporters() -> MutexGuard<'static, Reporters> {
    REPORTERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in the list; dropped, it is given up.
#[must_use = "whoever drops this is asked no longer"]
#[derive(PartialEq, Eq)]
pub struct Reporting(u64);

impl fmt::Debug for Reporting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporting").finish_non_exhaustive()
    }
}

impl Drop for Reporting {
    fn drop(&mut self) {
        reporters().all.retain(|reporter| reporter.number != self.0);
    }
}

/// Has `fill` asked whenever it is time to tell. It reads what is there and returns at once: it must never wait.
pub fn report(pace: Pace, fill: impl Fn(&mut Families) + Send + Sync + 'static) -> Reporting {
    let mut reporters = reporters();
    let number = reporters.next;
    reporters.next += 1;
    reporters.all.push(Reporter { number, pace, fill: Arc::new(fill) });
    Reporting(number)
}

/// What all reporters of a pace say now.
pub fn collect(pace: Pace) -> Families {
    let asked: Vec<Fill> = {
        let reporters = reporters();
        reporters
            .all
            .iter()
            .filter(|reporter| reporter.pace == pace)
            .map(|reporter| Arc::clone(&reporter.fill))
            .collect()
    };
    let mut families = Families::new();
    for fill in asked {
        fill(&mut families);
    }
    // Two services of one program may speak of the same thing.
    families.without_repeats();
    families
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::emulator;

    #[test]
    fn reporters_are_asked_at_their_pace_until_they_leave() {
        let told = |pace| collect(pace).get("nuncius_stub_connections").map_or(0, |family| family.series.len());
        let reporting = report(Pace::Brisk, |families| families.count(&emulator::STUB_CONNECTIONS, &["s1"], 1));
        let other = report(Pace::Brisk, |families| families.count(&emulator::STUB_CONNECTIONS, &["s2"], 1));
        assert_eq!((told(Pace::Brisk), told(Pace::Steady)), (2, 0));
        drop(reporting);
        assert_eq!(told(Pace::Brisk), 1);
        drop(other);
        assert_eq!(told(Pace::Brisk), 0);
    }
}
