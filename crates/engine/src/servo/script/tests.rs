use proptest::prelude::*;

use super::*;

const SECOND_NS: u64 = 1_000_000_000;

fn rules(options: &str) -> Rules {
    Rules { seed: 7, group: 0, options: serde_json::from_str(options).unwrap() }
}

/// Answers every event at once, as the commands of the service have it, and says what was planned.
fn play(rules: &Rules, number: u32, events: usize, delay_ns: u64) -> Vec<(Event, u64)> {
    let mut servo = Servo::new(rules, number, 0);
    let mut commands =
        [Command::Describe].into_iter().chain([Command::Measure, Command::Adjust(None)].into_iter().cycle());
    let mut seen = Vec::new();
    while let Some(planned) = servo.next().filter(|_| seen.len() < events) {
        seen.push((planned.event, planned.planned_ns));
        let is_asking = planned.event == Event::WhatsNext;
        let answer = if is_asking { commands.next().map(Answer::Command).unwrap() } else { Answer::Accepted };
        servo.answered(rules, answer, planned.planned_ns + delay_ns);
    }
    seen
}

const SHORT: &str = r#"{"measure": "uniform:1s..3s", "adjust": "exponential:1s", "progress_interval": "500ms"}"#;

#[test]
fn the_same_seed_gives_the_same_instants_and_another_servo_others() {
    let rules = rules(SHORT);
    assert_eq!(play(&rules, 3, 200, 0), play(&rules, 3, 200, 0));
    assert_ne!(play(&rules, 3, 200, 0), play(&rules, 4, 200, 0));
    assert_ne!(play(&rules, 3, 200, 0), play(&Rules { seed: 8, ..rules.clone() }, 3, 200, 0));
}

#[test]
fn reports_and_the_end_keep_to_the_servos_own_clock_however_slow_the_answers() {
    let rules = rules(r#"{"measure": "2s", "progress_interval": "500ms", "start_spread": "0"}"#);
    let mut servo = Servo::new(&rules, 0, 0);
    servo.answered(&rules, Answer::Accepted, 0);
    servo.answered(&rules, Answer::Command(Command::Measure), SECOND_NS);
    let mut planned = Vec::new();
    while let Some(next) = servo.next().filter(|next| next.event != Event::WhatsNext) {
        planned.push((next.event, next.planned_ns / 1_000_000));
        servo.answered(&rules, Answer::Accepted, next.planned_ns + 300_000_000);
    }
    let report = Event::MeasurementProgress;
    let wanted = [(report, 1_000), (report, 1_500), (report, 2_000), (report, 2_500), (Event::Measurement, 3_000)];
    assert_eq!(planned, wanted);
}

#[test]
fn while_time_stands_still_nothing_comes_due_and_no_operation_takes_longer() {
    let rules = rules(r#"{"measure": "2s", "progress_interval": "500ms", "start_spread": "0"}"#);
    let mut servo = Servo::new(&rules, 0, 0);
    servo.answered(&rules, Answer::Accepted, 0);
    servo.answered(&rules, Answer::Command(Command::Measure), SECOND_NS);
    servo.answered(&rules, Answer::Accepted, SECOND_NS);
    servo.put_off(false, 10 * SECOND_NS);
    let mut planned = Vec::new();
    while let Some(next) = servo.next().filter(|next| next.event != Event::WhatsNext) {
        planned.push((next.event, next.planned_ns / 1_000_000, next.told_ns / 1_000_000));
        servo.answered(&rules, Answer::Accepted, next.planned_ns);
    }
    let report = Event::MeasurementProgress;
    let wanted = [(report, 11_500), (report, 12_000), (report, 12_500), (Event::Measurement, 13_000)];
    assert_eq!(planned, wanted.map(|(event, at_ms)| (event, at_ms, at_ms)));
    // What is under way keeps the instant at which it was planned.
    servo.put_off(true, SECOND_NS);
    assert_eq!(servo.next().map(|next| next.planned_ns), Some(13 * SECOND_NS));
}

#[test]
fn a_failure_without_retry_is_a_goodbye_and_a_hello_after_a_pause() {
    let rules = rules(r#"{"start_spread": "0"}"#);
    let mut servo = Servo::new(&rules, 0, 0);
    servo.answered(&rules, Answer::Accepted, 10);
    let effect = servo.answered(&rules, Answer::Failed(FailureKind::Status, 400), 20);
    assert_eq!(effect, Effect::Broken);
    assert_eq!(servo.next().map(|next| (next.event, next.planned_ns)), Some((Event::Goodbye, 20)));
    servo.answered(&rules, Answer::Accepted, 30);
    assert_eq!(servo.next().map(|next| (next.event, next.planned_ns)), Some((Event::Hello, 20 + SECOND_NS)));
}

#[test]
fn a_service_that_is_away_is_asked_less_and_less_often() {
    let rules = rules(r#"{"start_spread": "0"}"#);
    let mut servo = Servo::new(&rules, 0, 0);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let at_ns = servo.next().unwrap().planned_ns;
        servo.answered(&rules, Answer::Failed(FailureKind::Connect, 0), at_ns);
        pauses.push((servo.next().unwrap().planned_ns - at_ns) / SECOND_NS);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 20, 20, 20]);
}

#[test]
fn a_legacy_servo_sends_the_same_event_again() {
    let rules = rules(r#"{"retry": "legacy", "start_spread": "0"}"#);
    let mut servo = Servo::new(&rules, 0, 0);
    servo.answered(&rules, Answer::Accepted, 0);
    let failed = || Answer::Failed(FailureKind::Status, 400);
    for (at_ns, next_ns) in [(0, 1), (1, 21), (21, 41)].map(|(a, b)| (a * SECOND_NS, b * SECOND_NS)) {
        assert_eq!(servo.answered(&rules, failed(), at_ns), Effect::Continues);
        assert_eq!(servo.next().map(|next| (next.event, next.planned_ns)), Some((Event::WhatsNext, next_ns)));
    }
    servo.answered(&rules, Answer::Command(Command::Measure), 0);
    servo.answered(&rules, failed(), 0);
    assert_eq!(servo.next().unwrap().planned_ns, 20 * SECOND_NS);
    servo.answered(&rules, failed(), 20 * SECOND_NS);
    // One retry of a report, then on with the operation.
    assert_eq!(
        servo.next().map(|next| (next.event, next.planned_ns)),
        Some((Event::MeasurementProgress, 5 * SECOND_NS))
    );
    servo.stop(false, 0);
    for _ in 0..4 {
        assert_eq!(servo.next().map(|next| next.event), Some(Event::Goodbye));
        servo.answered(&rules, failed(), 0);
    }
    assert_eq!(servo.next(), None);
}

#[test]
fn what_is_sent_again_is_the_same_however_late_and_what_follows_never_tells_less() {
    let rules = rules(r#"{"retry": "always", "retry_delay": "60s", "start_spread": "0", "measure": "30s"}"#);
    let mut servo = Servo::new(&rules, 0, 0);
    servo.answered(&rules, Answer::Accepted, 0);
    servo.answered(&rules, Answer::Command(Command::Measure), 0);
    servo.answered(&rules, Answer::Accepted, 0);
    let first = servo.next().unwrap();
    let body = super::super::body::render(&rules, &servo, first);
    servo.answered(&rules, Answer::Failed(FailureKind::Connect, 0), first.planned_ns);
    let again = servo.next().unwrap();
    assert_eq!(again.planned_ns, first.planned_ns + 60 * SECOND_NS);
    assert_eq!(super::super::body::render(&rules, &servo, again), body);
    servo.answered(&rules, Answer::Accepted, again.planned_ns);
    assert!(servo.next().unwrap().told_ns >= first.told_ns);
}

#[test]
fn an_operation_that_is_cancelled_ends_at_once() {
    let rules = rules("{}");
    let mut servo = Servo::new(&rules, 0, 0);
    servo.answered(&rules, Answer::Accepted, 0);
    servo.answered(&rules, Answer::Command(Command::Measure), 5);
    servo.answered(&rules, Answer::Cancel, 6);
    assert_eq!(servo.next().map(|next| (next.event, next.planned_ns)), Some((Event::Measurement, 6)));
    assert!(servo.operation.as_ref().unwrap().is_cancelled);
}

#[test]
fn a_servo_that_is_not_wanted_ends_and_one_that_is_refused_begins_its_loop_again() {
    let rules = rules("{}");
    let mut servo = Servo::new(&rules, 0, 0);
    servo.answered(&rules, Answer::Accepted, 0);
    servo.answered(&rules, Answer::Command(Command::Measure), 0);
    assert_eq!(servo.answered(&rules, Answer::Refused(200), 1), Effect::Broken);
    assert_eq!(servo.next().map(|next| next.event), Some(Event::WhatsNext));
    servo.answered(&rules, Answer::Gone(410), 2);
    assert_eq!(servo.next(), None);
}

proptest! {
    #[test]
    fn whatever_is_answered_instants_go_on_and_a_stopped_servo_ends(
        answers in prop::collection::vec(0u8..8, 1..200), number: u32, faults in 0.0..1.0f64, legacy: bool
    ) {
        let retry = if legacy { "legacy" } else { "none" };
        let text = format!(
            r#"{{"measure": "3s", "adjust": "1s", "progress_interval": "1s", "retry": "{retry}", "faults": {{"skip_progress": {faults},
                "double_whats_next": {faults}, "progress_backwards": {faults}, "drop_connection": {faults}}}}}"#
        );
        let rules = rules(&text);
        let mut servo = Servo::new(&rules, number, 0);
        let mut now_ns = 0;
        for answer in answers {
            let Some(planned) = servo.next() else { break };
            now_ns = planned.planned_ns.max(now_ns) + 1;
            let answer = match answer {
                0 => Answer::Cancel,
                1 => Answer::Refused(200),
                2 => Answer::Failed(FailureKind::Status, 400),
                3 => Answer::Failed(FailureKind::Connect, 0),
                _ if planned.event != Event::WhatsNext => Answer::Accepted,
                4 => Answer::Command(Command::Describe),
                5 => Answer::Command(Command::Measure),
                6 => Answer::Command(Command::Adjust(Some("{}".into()))),
                _ => Answer::Command(Command::Sleep(5)),
            };
            servo.answered(&rules, answer, now_ns);
        }
        servo.stop(false, now_ns);
        let mut left = 0;
        while let Some(planned) = servo.next() {
            prop_assert_eq!(planned.event, Event::Goodbye);
            servo.answered(&rules, Answer::Failed(FailureKind::Status, 400), planned.planned_ns);
            left += 1;
            prop_assert!(left <= 4);
        }
    }
}
