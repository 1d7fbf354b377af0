//! Which profiles a node runs, and what became of those that it ran last.

use std::collections::BTreeMap;

use nuncius_schemas::node::ProfileOrder;
use nuncius_schemas::profile::ProfileReport;
use tokio::task::JoinSet;
use tracing::warn;

use super::call::Call;
use crate::profile::Ending;

/// Most profiles at once, whoever wants them: each is a process beside the load.
pub(super) const AT_ONCE_MAX: usize = 4;
/// Outcomes that are kept for who asks again.
const KEPT_MAX: usize = 64;
/// Most calls that wait for one outcome: a daemon asks again when it may have missed the answer, and hears the last.
const WAITING_MAX: usize = 8;

/// Which.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) experiment: String,
    pub(super) attempt: u32,
    /// Instant zero of the run: an id may be used again.
    pub(super) start_unix_ns: u64,
    /// Name of the profile.
    pub(super) profile: String,
}

/// How it stands.
enum Standing {
    /// It runs; how it is ended, and who waits for it.
    UnderWay(Ending, Vec<Call>),
    /// What became of it.
    Ended(ProfileReport),
}

/// A profile that has ended.
pub(super) struct Ended {
    pub(super) key: Key,
    pub(super) report: ProfileReport,
}

/// What is known of a profile that somebody asks for.
pub(super) enum Known {
    /// It runs: the call waits.
    Waits,
    /// It has ended so.
    Ended(Call, ProfileReport),
    /// Nothing.
    Nothing(Call),
}

/// The profiles of a node.
#[derive(Default)]
pub(super) struct ProfileDesk {
    standings: BTreeMap<Key, Standing>,
    /// Those that have ended, in that order.
    ended: Vec<Key>,
    pub(super) work: JoinSet<Ended>,
}

impl ProfileDesk {
    /// What is known of it; what runs is ended where that is the order.
    pub(super) fn ask(&mut self, key: &Key, call: Call, order: ProfileOrder) -> Known {
        match self.standings.get_mut(key) {
            Some(Standing::UnderWay(ending, waiting)) => {
                match order {
                    ProfileOrder::Begin => {}
                    ProfileOrder::Finish => ending.finish.cancel(),
                    ProfileOrder::Stop => ending.stop.cancel(),
                }
                if waiting.len() >= WAITING_MAX {
                    waiting.remove(0);
                }
                waiting.push(call);
                Known::Waits
            }
            Some(Standing::Ended(report)) => Known::Ended(call, report.clone()),
            None => Known::Nothing(call),
        }
    }

    /// Whether one more may run.
    pub(super) fn has_room(&self) -> bool {
        let under_way = self.standings.values().filter(|standing| matches!(standing, Standing::UnderWay(..)));
        under_way.count() < AT_ONCE_MAX
    }

    /// Notes that it runs; what it is ended by.
    pub(super) fn begin(&mut self, key: Key, call: Call) -> Ending {
        let ending = Ending::default();
        self.standings.insert(key, Standing::UnderWay(ending.clone(), vec![call]));
        ending
    }

    /// Notes what became of it; who waited for that.
    pub(super) fn end(&mut self, key: Key, report: ProfileReport) -> Vec<Call> {
        let before = self.standings.insert(key.clone(), Standing::Ended(report));
        self.ended.push(key);
        if self.ended.len() > KEPT_MAX {
            let oldest = self.ended.remove(0);
            self.standings.remove(&oldest);
        }
        match before {
            Some(Standing::UnderWay(_, waiting)) => waiting,
            Some(Standing::Ended(_)) | None => Vec::new(),
        }
    }

    /// Ends all of them.
    pub(super) fn stop_all(&self) {
        for standing in self.standings.values() {
            if let Standing::UnderWay(ending, _) = standing {
                ending.stop.cancel();
            }
        }
    }

    /// The next that ends; cancel-safe, and never while none runs.
    pub(super) async fn next(&mut self) -> Ended {
        loop {
            match self.work.join_next().await {
                Some(Ok(ended)) => return ended,
                Some(Err(error)) => warn!(%error, "a profile ended without a result"),
                None => std::future::pending().await,
            }
        }
    }
}
