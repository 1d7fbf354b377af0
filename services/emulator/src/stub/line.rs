//! The queue in front of the slots, reckoned ahead: pure but for the channels of those held while the stub is frozen.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use tokio::sync::oneshot;

/// The waiting room of a stub that was given no bound. Clients that hang up are served all the same, so without it an
/// overloaded stub would grow for ever.
const MAX_WAITING: usize = 1 << 20;

/// What becomes of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The waiting room is full.
    Refused,
    /// Its answer is due at this instant of the stub's clock, in nanoseconds.
    Due { end_ns: u64 },
}

struct Held {
    service_ns: u64,
    admitted: oneshot::Sender<Turn>,
}

/// The slots, who waits for them, and who came while the stub stood still.
#[derive(Default)]
pub(crate) struct Line {
    /// `None` is no limit.
    slots: Option<usize>,
    room: usize,
    /// For each busy slot, when the last request booked on it ends.
    ends_ns: BinaryHeap<Reverse<u64>>,
    /// When those that wait will start; ascending, because the line is first come, first served.
    starts_ns: VecDeque<u64>,
    in_service_most: usize,
    waiting_most: usize,
    /// By number of the request, so oldest first.
    held: BTreeMap<u64, Held>,
}

impl Line {
    pub(crate) fn new(slots: Option<u32>, room: Option<u32>) -> Self {
        let size = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
        Self { slots: slots.map(size), room: room.map_or(MAX_WAITING, size).min(MAX_WAITING), ..Self::default() }
    }

    fn forget_before(&mut self, now_ns: u64) {
        while self.ends_ns.peek().is_some_and(|Reverse(end_ns)| *end_ns <= now_ns) {
            self.ends_ns.pop();
        }
        while self.starts_ns.front().is_some_and(|start_ns| *start_ns <= now_ns) {
            self.starts_ns.pop_front();
        }
    }

    /// Books a slot for a request that arrives at `now_ns` and is served for `service_ns`. Times must not go backwards
    /// by more than the readings of one clock by several threads do.
    pub(crate) fn admit(&mut self, now_ns: u64, service_ns: u64) -> Turn {
        let Some(slots) = self.slots else {
            return Turn::Due { end_ns: now_ns.saturating_add(service_ns) };
        };
        self.forget_before(now_ns);
        let start_ns = if self.ends_ns.len() < slots {
            now_ns
        } else if self.starts_ns.len() >= self.room {
            return Turn::Refused;
        } else {
            // Every slot is busy: the one that is free first is this request's.
            let start_ns = self.ends_ns.pop().map_or(now_ns, |Reverse(end_ns)| end_ns);
            self.starts_ns.push_back(start_ns);
            self.waiting_most = self.waiting_most.max(self.starts_ns.len());
            start_ns
        };
        let end_ns = start_ns.saturating_add(service_ns);
        self.ends_ns.push(Reverse(end_ns));
        self.in_service_most = self.in_service_most.max(self.ends_ns.len());
        Turn::Due { end_ns }
    }

    /// Puts a request aside that arrived while the stub stands still.
    pub(crate) fn hold(&mut self, number: u64, service_ns: u64) -> oneshot::Receiver<Turn> {
        let (admitted, turn) = oneshot::channel();
        self.held.insert(number, Held { service_ns, admitted });
        turn
    }

    /// Admits everybody who was put aside, oldest first; those whose client has hung up are forgotten.
    pub(crate) fn release(&mut self, now_ns: u64) {
        for held in std::mem::take(&mut self.held).into_values() {
            if !held.admitted.is_closed() {
                let turn = self.admit(now_ns, held.service_ns);
                let _ = held.admitted.send(turn);
            }
        }
    }

    /// In service and waiting at `now_ns`, the most there ever were of both, and how many are put aside.
    pub(crate) fn levels(&mut self, now_ns: u64) -> Levels {
        self.forget_before(now_ns);
        self.held.retain(|_, held| !held.admitted.is_closed());
        Levels {
            in_service: self.ends_ns.len() as u64,
            in_service_most: self.in_service_most as u64,
            waiting: self.starts_ns.len() as u64,
            waiting_most: self.waiting_most as u64,
            held: self.held.len() as u64,
        }
    }
}

pub(crate) struct Levels {
    pub(crate) in_service: u64,
    pub(crate) in_service_most: u64,
    pub(crate) waiting: u64,
    pub(crate) waiting_most: u64,
    pub(crate) held: u64,
}

#[cfg(test)]
mod tests {
    use super::super::service_time::{ServiceTime, uniform};
    use super::*;

    #[test]
    fn one_slot_serves_in_turn_and_a_full_room_refuses() {
        let mut line = Line::new(Some(1), Some(1));
        assert_eq!(line.admit(0, 10), Turn::Due { end_ns: 10 });
        assert_eq!(line.admit(0, 10), Turn::Due { end_ns: 20 });
        assert_eq!(line.admit(0, 10), Turn::Refused);
        // The second has moved to the slot at 10, so there is room again.
        assert_eq!(line.admit(10, 10), Turn::Due { end_ns: 30 });
        assert_eq!(line.admit(100, 10), Turn::Due { end_ns: 110 });
        let levels = line.levels(105);
        assert_eq!((levels.in_service, levels.waiting, levels.waiting_most), (1, 0, 1));
    }

    #[test]
    fn two_slots_take_the_oldest_to_whichever_is_free_first() {
        let mut line = Line::new(Some(2), None);
        assert_eq!(line.admit(0, 100), Turn::Due { end_ns: 100 });
        assert_eq!(line.admit(0, 10), Turn::Due { end_ns: 10 });
        assert_eq!(line.admit(1, 5), Turn::Due { end_ns: 15 });
        assert_eq!(line.admit(1, 200), Turn::Due { end_ns: 215 });
        assert_eq!(line.admit(1, 1), Turn::Due { end_ns: 101 });
    }

    #[test]
    fn the_mean_response_is_that_of_the_textbook_queues() {
        // M/M/1 at a load of 0.5: mean response S / (1 - rho); M/D/1: S (1 + rho / (2 (1 - rho))) (Pollaczek,
        // Khinchine).
        for (text, factor) in [("exponential:1ms", 2.0), ("constant:1ms", 1.5)] {
            let service: ServiceTime = text.parse().unwrap();
            let mut line = Line::new(Some(1), None);
            let (mut now_ns, mut total_ns) = (0u64, 0u64);
            let count = 400_000u64;
            for number in 0..count {
                now_ns += (-2e6 * uniform(99, number, 5).ln()) as u64;
                let Turn::Due { end_ns } = line.admit(now_ns, service.sample_ns(3, number)) else {
                    panic!("refused without a limit")
                };
                total_ns += end_ns - now_ns;
            }
            let mean_ns = total_ns as f64 / count as f64;
            assert!((mean_ns / (factor * 1e6) - 1.0).abs() < 0.03, "{text}: {mean_ns}");
        }
    }

    #[test]
    fn a_bounded_room_refuses_and_delays_as_the_textbook_says() {
        // M/M/c/K (Kleinrock 1975, 3.4): c slots, room for r more, a = offered load, each state n has probability
        // a^n / n! up to c and (a / c)^(n - c) times that of c beyond, scaled to 1.
        let (slots, room, load) = (3u32, 4u32, 2.4f64);
        let service: ServiceTime = "exponential:1ms".parse().unwrap();
        let mut states = vec![1.0];
        for n in 1..=slots + room {
            states.push(states[n as usize - 1] * load / f64::from(n.min(slots)));
        }
        let whole: f64 = states.iter().sum();
        let refused = states[states.len() - 1] / whole;
        let waiting: f64 = (1..=room).map(|j| f64::from(j) * states[(slots + j) as usize] / whole).sum();
        // Little: mean wait of those accepted, in service times.
        let wait = waiting / (load * (1.0 - refused));

        let mut line = Line::new(Some(slots), Some(room));
        let (mut now_ns, mut total_ns, mut turned_away) = (0u64, 0u64, 0u64);
        let count = 400_000u64;
        for number in 0..count {
            now_ns += (-1e6 / load * uniform(99, number, 5).ln()) as u64;
            let service_ns = service.sample_ns(3, number);
            match line.admit(now_ns, service_ns) {
                Turn::Due { end_ns } => total_ns += end_ns - now_ns - service_ns,
                Turn::Refused => turned_away += 1,
            }
        }
        let (got_refused, accepted) = (turned_away as f64 / count as f64, (count - turned_away) as f64);
        let got_wait = total_ns as f64 / accepted / 1e6;
        assert!((got_refused / refused - 1.0).abs() < 0.04, "{got_refused} {refused}");
        assert!((got_wait / wait - 1.0).abs() < 0.04, "{got_wait} {wait}");
    }

    #[test]
    fn those_put_aside_are_admitted_oldest_first() {
        let mut line = Line::new(Some(1), Some(1));
        let mut third = line.hold(3, 10);
        let mut first = line.hold(1, 10);
        let mut second = line.hold(2, 10);
        drop(line.hold(0, 10));
        line.release(50);
        assert_eq!(first.try_recv(), Ok(Turn::Due { end_ns: 60 }));
        assert_eq!(second.try_recv(), Ok(Turn::Due { end_ns: 70 }));
        assert_eq!(third.try_recv(), Ok(Turn::Refused));
    }
}
