//! What happens at the horizon, and to shards that were another node's before.

use super::*;

const SECOND_NS: u64 = 1_000_000_000;

/// A group whose thread is driven by the test's clock, against a target that answers each request so long after it was
/// sent.
struct Clocked {
    dispatcher: Dispatcher,
    messages: Receiver<EngineMessage>,
    control: Arc<Control>,
    now_ns: u64,
    under_way: VecDeque<(u64, Iteration)>,
    service_ns: u64,
}

impl Clocked {
    fn new(load: &str, joins_at_ns: Option<u64>, horizon_ns: u64) -> Self {
        let control = Control::new();
        control.start(START_NS, horizon_ns);
        let (dispatcher, messages) = group(load, joins_at_ns, Arc::clone(&control));
        Self { dispatcher, messages, control, now_ns: START_NS - 1, under_way: VecDeque::new(), service_ns: 1_000_000 }
    }

    /// Goes on until an instant of run time; what it began: when each was planned, in milliseconds of run time, and its
    /// index.
    fn run_to(&mut self, until_ms: u64) -> Vec<(u64, u64)> {
        let until_ns = START_NS + until_ms * 1_000_000;
        let mut began = Vec::new();
        // The first turn is that of its bell, which was rung when it was told anything.
        for _ in 0..100_000 {
            while let Some((_, iteration)) = self.under_way.front().copied().filter(|(at_ns, _)| *at_ns <= self.now_ns)
            {
                self.under_way.pop_front();
                assert!(self.dispatcher.answered(iteration, 200, true, self.now_ns).is_none());
            }
            self.dispatcher.poll(self.now_ns);
            while let Some(mut iteration) = self.dispatcher.next(self.now_ns) {
                self.dispatcher.begun(&mut iteration, self.now_ns);
                self.dispatcher.sent(&mut iteration, self.now_ns);
                began.push(((iteration.planned_ns - START_NS) / 1_000_000, iteration.index));
                self.under_way.push_back((self.now_ns + self.service_ns, iteration));
            }
            if self.now_ns >= until_ns || self.dispatcher.is_over() {
                return began;
            }
            let answer_ns = self.under_way.front().map_or(u64::MAX, |(at_ns, _)| *at_ns);
            self.now_ns = self.dispatcher.due_ns().min(answer_ns).min(until_ns).max(self.now_ns);
        }
        panic!("it wakes for nothing at {} ns", self.now_ns - START_NS)
    }

    fn instants(&mut self, until_ms: u64) -> Vec<u64> {
        self.run_to(until_ms).into_iter().map(|(planned_ms, _)| planned_ms).collect()
    }

    fn extend(&self, horizon_ms: u64) {
        self.control.extend(horizon_ms * 1_000_000);
    }

    /// Why it ended, how long it says that it stood, and which seconds it told of.
    fn end(self) -> (FinishReason, u64, Vec<(u32, u32)>) {
        assert!(self.dispatcher.is_over());
        self.dispatcher.close(self.now_ns);
        let mut seconds = Vec::new();
        for message in self.messages.try_iter() {
            match message {
                EngineMessage::Second(report) => {
                    assert_eq!(report.steps[0].lag.summary().max_ns, 0, "nothing is offered late");
                    seconds.push((report.first_second, report.last_second));
                }
                EngineMessage::Rows(_) => {}
                EngineMessage::Finished { reason, stood_ns, .. } => return (reason, stood_ns, seconds),
            }
        }
        panic!("it did not say that it has ended")
    }
}

#[test]
fn what_was_planned_while_it_stood_at_its_horizon_is_never_offered_and_what_follows_is() {
    let mut group = Clocked::new(r#""rate": "10/s", "duration": "10s""#, None, SECOND_NS);
    let all = |from: u64, to: u64| (from..to).map(|index| index * 100).collect::<Vec<u64>>();
    assert_eq!(group.instants(4_230), all(0, 10));
    group.extend(6_000);
    assert_eq!(group.instants(4_235), all(0, 0));
    assert_eq!(group.instants(7_000), all(43, 60));
    // One that lies behind moves nobody; then it goes on to the end.
    group.extend(6_500);
    assert_eq!(group.instants(8_000), all(0, 0));
    group.extend(60_000);
    assert_eq!(group.instants(20_000), all(80, 100));
    let (reason, stood_ns, seconds) = group.end();
    assert_eq!((reason, stood_ns), (FinishReason::ScheduleEnded, 3_230_000_000 + 2 * SECOND_NS));
    // Its seconds were told all the time.
    assert_eq!(seconds, (0..=10).map(|second| (second, second)).collect::<Vec<_>>());
}

#[test]
fn answers_are_taken_while_it_stands() {
    let mut group = Clocked::new(r#""rate": "10/s", "duration": "2s""#, None, SECOND_NS / 2);
    group.service_ns = SECOND_NS;
    assert_eq!(group.run_to(1_450).len(), 5);
    assert_eq!(group.under_way.len(), 0);
    group.extend(60_000);
    assert_eq!(group.run_to(60_000).len(), 5);
    assert_eq!(group.end().0, FinishReason::ScheduleEnded);
}

#[test]
fn a_schedule_that_is_over_while_it_stands_ends_it_and_says_so() {
    for (load, horizon_ms, offered, wanted) in [
        (r#""rate": "10/s", "duration": "3s""#, 1_000, 10, FinishReason::Horizon),
        (r#""rate": "10/s", "duration": "60s", "iterations": 25"#, 1_000, 10, FinishReason::Horizon),
        // Nothing was left to be offered.
        (r#""rate": "10/s", "duration": "3s""#, 2_950, 30, FinishReason::ScheduleEnded),
        (r#""users": 1, "duration": "3s", "think_time": "99ms""#, 1_000, 10, FinishReason::Horizon),
        (r#""users": 1, "duration": "3s", "think_time": "99ms""#, 3_000, 30, FinishReason::ScheduleEnded),
    ] {
        let mut group = Clocked::new(load, None, horizon_ms * 1_000_000);
        assert_eq!(group.run_to(9_000).len(), offered, "{load}");
        let ended_ms = (group.now_ns - START_NS) / 1_000_000;
        assert_eq!(ended_ms, 3_000, "{load}");
        assert_eq!(group.end().0, wanted, "{load}");
    }
}

#[test]
fn users_do_not_begin_while_they_stand_and_go_on_afterwards() {
    let mut group = Clocked::new(r#""users": 3, "iterations": 300, "think_time": "99ms""#, None, SECOND_NS);
    assert_eq!(group.run_to(5_000).len(), 30);
    group.extend(6_000);
    let again = group.run_to(6_000);
    // Each at once, and nobody repeats an iteration.
    assert_eq!(again.iter().take(3).copied().collect::<Vec<_>>(), [(5_000, 30), (5_000, 31), (5_000, 32)]);
    assert_eq!(again.len(), 30);
    group.extend(600_000);
    assert_eq!(group.run_to(60_000).len(), 240);
    let (reason, stood_ns, _) = group.end();
    assert_eq!((reason, stood_ns), (FinishReason::ScheduleEnded, 4 * SECOND_NS));
}

#[test]
fn a_group_stands_for_as_long_as_its_node_has_patience_whatever_its_schedule() {
    for load in [
        r#""users": 1, "iterations": 1000000"#,
        r#""users": 1, "duration": "90s""#,
        r#""rate": "10/s", "duration": "90s""#,
        r#""rate": "10/s", "duration": "90s", "iterations": 800"#,
    ] {
        let mut group = Clocked::new(load, None, SECOND_NS);
        group.run_to(30_900);
        assert!(!group.dispatcher.is_over(), "{load}");
        group.run_to(60_000);
        assert_eq!(group.now_ns, START_NS + 31 * SECOND_NS, "{load}");
        let (reason, ..) = group.end();
        let is_told = matches!(&reason, FinishReason::Failed(text) if text.contains("30s (--orphan-limit)"));
        assert!(is_told, "{load}: {reason:?}");
    }
}

#[test]
fn a_stop_ends_one_that_stands_at_once() {
    for load in [r#""rate": "10/s", "duration": "90s""#, r#""users": 2, "duration": "90s""#] {
        let mut group = Clocked::new(load, None, SECOND_NS);
        group.run_to(2_000);
        group.control.stop(5 * SECOND_NS);
        group.run_to(2_000);
        assert_eq!(group.end().0, FinishReason::Stopped, "{load}");
    }
}

#[test]
fn shards_of_another_node_are_offered_from_the_instant_on_at_which_they_come() {
    let mut group = Clocked::new(r#""rate": "10/s", "duration": "6s""#, Some(2_050_000_000), u64::MAX);
    assert_eq!(group.instants(9_000), (21..60).map(|index| index * 100).collect::<Vec<u64>>());
    let (reason, stood_ns, seconds) = group.end();
    assert_eq!((reason, stood_ns), (FinishReason::ScheduleEnded, 0));
    assert_eq!(seconds.first(), Some(&(0, 0)));
}

#[test]
fn what_was_planned_before_they_were_taken_over_is_not_offered_late() {
    let mut group = Clocked::new(r#""rate": "10/s", "duration": "6s""#, Some(2_050_000_000), u64::MAX);
    group.now_ns = START_NS + 3_450_000_000;
    assert_eq!(group.instants(9_000), (35..60).map(|index| index * 100).collect::<Vec<u64>>());
    let (_, stood_ns, seconds) = group.end();
    // Of the time before it has nothing to tell.
    assert_eq!((stood_ns, seconds.first()), (0, Some(&(3, 3))));
}

#[test]
fn users_of_another_node_begin_when_they_come_and_repeat_none_of_its_iterations() {
    let load = r#""users": 2, "duration": "4s", "think_time": "999ms""#;
    let mut group = Clocked::new(load, Some(2 * SECOND_NS), u64::MAX);
    let began = group.run_to(9_000);
    let first = 2 * 2_000_001;
    assert_eq!(began, [(2_000, first), (2_000, first + 1), (3_000, first + 2), (3_000, first + 3)]);
}
