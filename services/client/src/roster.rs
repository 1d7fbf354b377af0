//! The engine threads of a session: those it began with, and those that came later with shards of other nodes. It is
//! over when all of them have ended and nobody prepares more.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nuncius_engine::EngineThread;

/// Shared by the session, which adds threads, and the collector, which sees them end.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    threads: Vec<EngineThread>,
    /// Those of the threads that the collector has not heard of.
    unseen: usize,
    /// Group and number of those that have said their last.
    ended: BTreeSet<(u16, usize)>,
    /// Who prepares more threads at present.
    holds: usize,
    /// Numbers given to threads so far; see [`Hold::numbers`].
    numbers: usize,
    is_over: bool,
}

/// While it lives the session does not end.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Roster>);

impl Roster {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` once it is over.
    pub(crate) fn hold(self: &Arc<Self>) -> Option<Hold> {
        let mut state = self.state();
        if state.is_over {
            return None;
        }
        state.holds += 1;
        drop(state);
        Some(Hold(Arc::clone(self)))
    }

    /// A thread has said its last; it may do so before it is added, and one that never is may do so too.
    pub(crate) fn ended(&self, group: u16, thread: usize) {
        self.state().ended.insert((group, thread));
    }

    /// Whether all have said their last and nobody prepares more; then nobody can any more.
    pub(crate) fn is_over(&self) -> bool {
        let mut guard = self.state();
        let state = &mut *guard;
        let have_all_ended = || state.threads.iter().all(|thread| state.ended.contains(&(thread.group, thread.thread)));
        state.is_over = state.is_over || state.holds == 0 && have_all_ended();
        state.is_over
    }

    /// Whether no thread lives and none is being prepared: whoever has not said its last by then never will.
    pub(crate) fn is_silent(&self) -> bool {
        let state = self.state();
        state.holds == 0 && state.threads.iter().all(|thread| thread.handle.is_finished())
    }

    /// Nothing can be added any more, whoever has not ended.
    pub(crate) fn close(&self) {
        self.state().is_over = true;
    }

    /// Linux ids of the threads that have come since the last call.
    pub(crate) fn take_new(&self) -> Vec<i32> {
        let mut state = self.state();
        let known = state.threads.len() - std::mem::take(&mut state.unseen).min(state.threads.len());
        state.threads.iter().skip(known).map(|thread| thread.thread_id).collect()
    }
}

impl Hold {
    /// The first of so many numbers that no other thread of the session has.
    pub(crate) fn numbers(&self, count: usize) -> usize {
        let mut state = self.0.state();
        state.numbers += count;
        state.numbers - count
    }

    pub(crate) fn add(&self, threads: Vec<EngineThread>) {
        let mut state = self.0.state();
        state.unseen += threads.len();
        state.threads.extend(threads);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.holds = state.holds.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(number: usize, id: i32) -> EngineThread {
        EngineThread { group: 0, thread: number, thread_id: id, handle: std::thread::spawn(|| {}) }
    }

    #[test]
    fn it_is_over_when_all_have_ended_and_nobody_prepares_more() {
        let roster = Arc::new(Roster::default());
        let hold = roster.hold().unwrap();
        assert_eq!((hold.numbers(2), hold.numbers(3), hold.numbers(1)), (0, 2, 5));
        hold.add(vec![thread(0, 7), thread(1, 8)]);
        drop(hold);
        assert_eq!((roster.take_new(), roster.is_over()), (vec![7, 8], false));
        roster.ended(0, 0);
        let hold = roster.hold().unwrap();
        roster.ended(0, 1);
        assert!(!roster.is_over(), "somebody prepares more");
        // One of several that could not all be started.
        roster.ended(0, 2);
        hold.add(vec![thread(3, 9)]);
        drop(hold);
        assert_eq!((roster.take_new(), roster.take_new(), roster.is_over()), (vec![9], vec![], false));
        roster.ended(0, 3);
        assert!(roster.is_over() && roster.hold().is_none());
    }
}
