use proptest::prelude::*;

use super::*;

const STRICT: Rules<'static> = Rules { mode: Mode::Strict, script: &Command::ORIGINAL };
const SERVICE: Rules<'static> = Rules { mode: Mode::Service, script: &Command::ORIGINAL };
const STATES: [State; 7] = [
    State::Initial,
    State::HelloReceived,
    State::StartMeasure,
    State::InMeasure,
    State::StartAdjust,
    State::InAdjust,
    State::Terminated,
];

fn input(event: Event, progress: Option<i64>) -> Input {
    Input { event, progress, servo: None, command: None }
}

/// Sends events and expects each to be accepted.
fn drive(machine: &mut Machine, rules: Rules<'_>, events: &[(Event, Option<i64>)]) -> Vec<Reply> {
    let mut replies = Vec::new();
    for (event, progress) in events {
        replies.push(machine.step(&input(*event, *progress), rules).unwrap_or_else(|refusal| {
            panic!("{event:?} {progress:?}: {refusal:?} of {machine:?}");
        }));
    }
    replies
}

fn at(state: State) -> Machine {
    // The script is where that state has it.
    let cursor = match state {
        State::StartMeasure | State::InMeasure => 0,
        State::StartAdjust | State::InAdjust => 1,
        State::Initial | State::HelloReceived | State::Terminated => BEFORE_SCRIPT,
    };
    Machine { state, cursor, cycles: 7, ..Machine::new() }
}

const HELLO: (Event, Option<i64>) = (Event::Hello, None);
const NEXT: (Event, Option<i64>) = (Event::WhatsNext, None);
const DESCRIPTION: (Event, Option<i64>) = (Event::Description, None);
const MEASURED: (Event, Option<i64>) = (Event::Measurement, None);
const ADJUSTED: (Event, Option<i64>) = (Event::Adjustment, None);
const GOODBYE: (Event, Option<i64>) = (Event::Goodbye, None);

fn measuring(progress: i64) -> (Event, Option<i64>) {
    (Event::Measurement, Some(progress))
}

fn adjusting(progress: i64) -> (Event, Option<i64>) {
    (Event::Adjustment, Some(progress))
}

/// State, event, whether it has progress; the state after it, the command that is wanted then, cycles more.
type Row = (State, Event, bool, State, Option<Reply>, u64);

fn table() -> Vec<Row> {
    use State::{HelloReceived, InAdjust, InMeasure, Initial, StartAdjust, StartMeasure, Terminated};
    let (describe, measure, adjust) = (Some(Reply::Describe), Some(Reply::Measure), Some(Reply::Adjust));
    let mut table = vec![
        (Initial, Event::Hello, false, HelloReceived, describe, 0),
        (HelloReceived, Event::Description, false, StartMeasure, measure, 0),
        (StartMeasure, Event::Measurement, true, InMeasure, None, 0),
        (InMeasure, Event::Measurement, true, InMeasure, None, 0),
        (InMeasure, Event::Measurement, false, StartAdjust, adjust, 1),
        (StartAdjust, Event::Adjustment, true, InAdjust, None, 0),
        (InAdjust, Event::Adjustment, true, InAdjust, None, 0),
        (InAdjust, Event::Adjustment, false, StartMeasure, measure, 0),
        (Terminated, Event::Hello, false, HelloReceived, describe, 0),
    ];
    for state in [HelloReceived, StartMeasure, InMeasure, StartAdjust, InAdjust] {
        table.push((state, Event::Goodbye, false, Terminated, None, 0));
    }
    table
}

#[test]
fn every_row_of_the_originals_table_is_followed_and_every_other_combination_refused() {
    let table = table();
    let mut accepted = 0;
    for state in STATES {
        for event in Event::ALL.into_iter().filter(|event| *event != Event::WhatsNext) {
            for progress in [None, Some(10)] {
                let before = at(state);
                let mut machine = before;
                let outcome = machine.step(&input(event, progress), STRICT);
                let row = table.iter().find(|row| (row.0, row.1, row.2) == (state, event, progress.is_some()));
                let Some((_, _, _, after, next, cycles)) = row else {
                    assert_eq!(outcome, Err(Refusal::OutOfOrder { state, progress }), "{state:?} {event:?}");
                    assert_eq!(machine, before, "a refused event changes nothing");
                    continue;
                };
                accepted += 1;
                assert_eq!(outcome, Ok(Reply::Ok), "{state:?} {event:?} {progress:?}");
                assert_eq!((machine.state, machine.cycles), (*after, 7 + cycles));
                let told = machine.step(&input(Event::WhatsNext, None), STRICT);
                assert_eq!(told, next.ok_or(Refusal::NoCommand { state: *after }), "{state:?} {event:?}");
                assert_eq!(machine.state, *after);
            }
        }
    }
    assert_eq!(accepted, table.len());
}

#[test]
fn the_wire_cycle_is_the_originals() {
    let mut machine = Machine::new();
    let told = drive(&mut machine, STRICT, &[HELLO, NEXT, DESCRIPTION]);
    assert_eq!(told, [Reply::Ok, Reply::Describe, Reply::Ok]);
    for cycles in 1..=3 {
        let cycle = [NEXT, measuring(0), measuring(100), MEASURED, NEXT, adjusting(3), ADJUSTED];
        let told = drive(&mut machine, STRICT, &cycle);
        assert_eq!((told[0], told[4], machine.cycles), (Reply::Measure, Reply::Adjust, cycles));
    }
    drive(&mut machine, STRICT, &[GOODBYE]);
}

#[test]
fn property_1_a_final_without_a_progress_before_it_is_refused() {
    let mut machine = Machine::new();
    drive(&mut machine, STRICT, &[HELLO, DESCRIPTION]);
    assert!(machine.step(&input(Event::Measurement, None), STRICT).is_err());
    drive(&mut machine, STRICT, &[measuring(1), MEASURED]);
    assert!(machine.step(&input(Event::Adjustment, None), STRICT).is_err());
    drive(&mut machine, STRICT, &[adjusting(1), ADJUSTED]);
}

#[test]
fn property_2_a_command_is_told_once_and_need_not_be_asked_for() {
    let mut machine = Machine::new();
    drive(&mut machine, STRICT, &[HELLO, NEXT]);
    let again = machine.step(&input(Event::WhatsNext, None), STRICT);
    assert_eq!(again, Err(Refusal::NoCommand { state: State::HelloReceived }));
    // Neither a progress in WHATS_NEXT nor not asking at all matters.
    drive(&mut machine, STRICT, &[DESCRIPTION, (Event::WhatsNext, Some(5)), measuring(1), MEASURED, adjusting(1)]);
    assert!(machine.step(&input(Event::WhatsNext, None), STRICT).is_err(), "an adjustment that runs is not told");
}

#[test]
fn property_3_hello_and_goodbye_take_turns_and_cycles_stay() {
    let mut machine = Machine::new();
    assert!(machine.step(&input(Event::Goodbye, None), STRICT).is_err());
    drive(&mut machine, STRICT, &[HELLO]);
    assert!(machine.step(&input(Event::Hello, None), STRICT).is_err());
    drive(&mut machine, STRICT, &[DESCRIPTION, measuring(1), MEASURED, GOODBYE]);
    assert!(machine.step(&input(Event::Goodbye, None), STRICT).is_err());
    drive(&mut machine, STRICT, &[HELLO]);
    assert_eq!(machine.cycles, 1);
}

#[test]
fn property_4_progress_does_not_fall_until_a_command_is_asked_for_and_a_final_does_not_clear_it() {
    let mut machine = Machine::new();
    drive(&mut machine, STRICT, &[HELLO, DESCRIPTION, NEXT, measuring(10), measuring(10), measuring(250)]);
    let before = machine;
    assert_eq!(
        machine.step(&input(Event::Measurement, Some(249)), STRICT),
        Err(Refusal::Backwards { old: 250, new: 249 })
    );
    assert_eq!(machine, before);
    drive(&mut machine, STRICT, &[MEASURED]);
    let skipped = machine.step(&input(Event::Adjustment, Some(1)), STRICT);
    assert_eq!((skipped, machine.state), (Err(Refusal::Backwards { old: 250, new: 1 }), State::StartAdjust));
    drive(&mut machine, STRICT, &[NEXT, adjusting(1)]);
    // Out of order comes before backwards.
    assert!(matches!(machine.step(&input(Event::Measurement, Some(0)), STRICT), Err(Refusal::OutOfOrder { .. })));
}

#[test]
fn property_5_what_an_event_says_of_success_is_not_looked_at() {
    // Input has no place for a status; the reader passes it over.
    let body = br#"{"event":"DESCRIPTION","param":{"status":"failed","descriptor":7}}"#;
    let heard = crate::oco::request::read(body, crate::form::Form::Json).unwrap();
    let mut machine = at(State::HelloReceived);
    assert_eq!((machine.step(&heard.input, STRICT), machine.state), (Ok(Reply::Ok), State::StartMeasure));
}

#[test]
fn property_7_hello_with_a_progress_leaves_an_application_initial() {
    let mut machine = Machine::new();
    assert!(machine.step(&input(Event::Hello, Some(1)), STRICT).is_err());
    assert_eq!(machine, Machine::new());
    for event in Event::ALL.into_iter().filter(|event| *event != Event::Hello) {
        assert!(machine.step(&input(event, None), STRICT).is_err(), "{event:?}");
    }
}

#[test]
fn service_mode_repeats_commands_and_takes_quick_operations_and_new_servos() {
    let mut machine = Machine::new();
    let told = drive(&mut machine, SERVICE, &[HELLO, NEXT, NEXT, DESCRIPTION, NEXT, NEXT, MEASURED, ADJUSTED]);
    assert_eq!(
        (told[1], told[2], told[4], told[5]),
        (Reply::Describe, Reply::Describe, Reply::Measure, Reply::Measure)
    );
    drive(&mut machine, SERVICE, &[measuring(50), measuring(10), HELLO, NEXT]);
    assert_eq!((machine.state, machine.cycles), (State::HelloReceived, 1));
    assert_eq!(
        machine.step(&input(Event::Measurement, None), SERVICE),
        Err(Refusal::OutOfOrder { state: State::HelloReceived, progress: None })
    );
    drive(&mut machine, SERVICE, &[GOODBYE]);
    assert!(machine.step(&input(Event::WhatsNext, None), SERVICE).is_err());
}

#[test]
fn service_mode_knows_its_servo_and_its_command() {
    let mut machine = Machine::new();
    let from = |servo, event, command| Input { event, progress: None, servo, command };
    machine.step(&from(Some(1), Event::Hello, None), SERVICE).unwrap();
    assert_eq!(machine.step(&from(Some(2), Event::WhatsNext, None), SERVICE), Err(Refusal::OtherServo));
    assert_eq!(machine.step(&from(Some(1), Event::Description, Some(9)), SERVICE), Err(Refusal::OtherCommand));
    assert_eq!(machine.step(&from(Some(1), Event::Description, Some(1)), SERVICE), Ok(Reply::Ok));
    assert_eq!(machine.step(&from(None, Event::WhatsNext, None), SERVICE), Ok(Reply::Measure));
    assert_eq!(machine.step(&from(None, Event::Measurement, Some(1)), SERVICE), Err(Refusal::OtherCommand));
    // The one that greets last is the one.
    machine.step(&from(Some(2), Event::Hello, None), SERVICE).unwrap();
    assert_eq!(machine.step(&from(Some(1), Event::WhatsNext, None), SERVICE), Err(Refusal::OtherServo));
}

#[test]
fn a_script_is_followed_over_and_over_and_sleep_is_told_between() {
    let sleep = Command::Sleep { seconds: 3.0 };
    let [measure, adjust] = Command::ORIGINAL;
    for mode in [Mode::Strict, Mode::Service] {
        let rules = Rules { mode, script: &[sleep, measure, sleep, sleep, adjust, Command::Describe] };
        let slept = Reply::Sleep { seconds: 3.0 };
        let mut machine = Machine::new();
        drive(&mut machine, rules, &[HELLO, NEXT, DESCRIPTION]);
        for _ in 0..2 {
            assert_eq!(drive(&mut machine, rules, &[NEXT, NEXT]), [slept, Reply::Measure]);
            drive(&mut machine, rules, &[measuring(1), MEASURED]);
            assert_eq!(drive(&mut machine, rules, &[NEXT, NEXT, NEXT]), [slept, slept, Reply::Adjust]);
            drive(&mut machine, rules, &[adjusting(1), ADJUSTED]);
            assert_eq!(drive(&mut machine, rules, &[NEXT, DESCRIPTION]), [Reply::Describe, Reply::Ok]);
        }
        // A servo that does not ask does not sleep.
        drive(&mut machine, rules, &[measuring(1), MEASURED, adjusting(1), ADJUSTED, DESCRIPTION, measuring(1)]);
    }
}

#[test]
fn a_script_that_changes_under_an_application_still_tells_it_what_is_in_order() {
    let mut machine = Machine::new();
    drive(&mut machine, STRICT, &[HELLO, DESCRIPTION, measuring(1), MEASURED]);
    let rules = Rules { script: &[Command::Measure { cancel_at: None }], ..STRICT };
    assert_eq!(drive(&mut machine, rules, &[NEXT, adjusting(1), ADJUSTED])[0], Reply::Adjust);
    assert_eq!(drive(&mut machine, rules, &[NEXT, measuring(1), MEASURED, NEXT])[3], Reply::Measure);
}

#[test]
fn an_operation_is_cancelled_from_the_scripted_progress_on_and_its_final_accepted() {
    let rules = Rules { mode: Mode::Service, script: &[Command::Measure { cancel_at: Some(50) }] };
    let mut machine = Machine::new();
    let told = drive(&mut machine, rules, &[HELLO, DESCRIPTION, NEXT, measuring(49), measuring(50), MEASURED, NEXT]);
    assert_eq!(told[3..], [Reply::Ok, Reply::Cancel, Reply::Ok, Reply::Measure]);
}

#[test]
fn a_servo_that_is_heard_in_the_middle_is_taken_to_be_where_it_must_be() {
    for (event, progress, after, next) in [
        (Event::Measurement, Some(40), State::InMeasure, None),
        (Event::Measurement, None, State::StartAdjust, Some(Reply::Adjust)),
        (Event::Adjustment, Some(40), State::InAdjust, None),
        (Event::Adjustment, None, State::StartMeasure, Some(Reply::Measure)),
        (Event::Description, None, State::StartMeasure, Some(Reply::Measure)),
        (Event::Goodbye, None, State::Terminated, None),
    ] {
        let mut machine = Machine::inferred(event, STRICT.script).unwrap();
        assert_eq!(machine.step(&input(event, progress), STRICT), Ok(Reply::Ok), "{event:?}");
        assert_eq!(machine.state, after);
        assert_eq!(machine.step(&input(Event::WhatsNext, None), STRICT).ok(), next);
    }
    let mut machine = Machine::inferred(Event::WhatsNext, STRICT.script).unwrap();
    assert_eq!(drive(&mut machine, STRICT, &[NEXT, measuring(1), MEASURED, NEXT])[3], Reply::Adjust);
    assert!(Machine::inferred(Event::Hello, STRICT.script).is_none());
    assert!(Machine::inferred(Event::Unknown, STRICT.script).is_none());
}

/// The original once more, as a table of texts and four variables.
struct Model {
    state: &'static str,
    next: &'static str,
    progress: Option<i64>,
    cycles: u64,
}

impl Model {
    fn take(&mut self, event: &str, progress: Option<i64>) -> Result<&'static str, ()> {
        if event == "WHATS_NEXT" {
            if self.next.is_empty() {
                return Err(());
            }
            self.progress = None;
            return Ok(std::mem::take(&mut self.next));
        }
        let mark = if progress.is_some() { "%" } else { "" };
        let (state, next) = match format!("{}/{event}{mark}", self.state).as_str() {
            "initial/HELLO" | "terminated/HELLO" => ("hello-received", "DESCRIBE"),
            "hello-received/DESCRIPTION" => ("start-measure", "MEASURE"),
            "start-measure/MEASUREMENT%" | "in-measure/MEASUREMENT%" => ("in-measure", ""),
            "in-measure/MEASUREMENT" => ("start-adjust", "ADJUST"),
            "start-adjust/ADJUSTMENT%" | "in-adjust/ADJUSTMENT%" => ("in-adjust", ""),
            "in-adjust/ADJUSTMENT" => ("start-measure", "MEASURE"),
            "hello-received/GOODBYE"
            | "start-measure/GOODBYE"
            | "in-measure/GOODBYE"
            | "start-adjust/GOODBYE"
            | "in-adjust/GOODBYE" => ("terminated", ""),
            _ => return Err(()),
        };
        if let Some(new) = progress {
            if self.progress.is_some_and(|old| new < old) {
                return Err(());
            }
            self.progress = Some(new);
        }
        if self.state == "in-measure" && state == "start-adjust" {
            self.cycles += 1;
        }
        (self.state, self.next) = (state, next);
        Ok("ok")
    }
}

fn word(reply: Reply) -> &'static str {
    match reply {
        Reply::Ok => "ok",
        Reply::Cancel => "cancel",
        Reply::Describe => "DESCRIBE",
        Reply::Measure => "MEASURE",
        Reply::Adjust => "ADJUST",
        Reply::Sleep { .. } => "SLEEP",
    }
}

proptest! {
    #[test]
    fn strict_mode_does_what_the_original_does(
        events in prop::collection::vec((0usize..7, prop::option::of(-1i64..4), any::<bool>()), 0..300),
    ) {
        let mut machine = Machine::new();
        let mut model = Model { state: "initial", next: "", progress: None, cycles: 0 };
        for (chosen, progress, is_likely) in events {
            // Chance alone would hardly ever leave the first states.
            let likely = Event::named(machine.state.expects());
            let event = if is_likely { likely } else { Event::ALL[chosen] };
            let expected = model.take(event.name(), progress);
            let outcome = machine.step(&input(event, progress), STRICT);
            prop_assert_eq!(outcome.map(word).map_err(drop), expected);
            prop_assert_eq!((machine.state.name(), machine.cycles), (model.state, model.cycles));
            prop_assert_eq!(machine.last_progress, model.progress);
        }
    }

    #[test]
    fn service_mode_never_breaks_whatever_comes(
        events in prop::collection::vec((0usize..7, prop::option::of(any::<i64>()), prop::option::of(0u64..3)), 0..100),
        script in prop::collection::vec(0usize..4, 1..5),
    ) {
        let commands = [
            Command::Describe,
            Command::Measure { cancel_at: Some(0) },
            Command::Adjust { cancel_at: None },
            Command::Sleep { seconds: 1.0 },
        ];
        let script: Vec<Command> = script.into_iter().map(|command| commands[command]).collect();
        let mut machine = Machine::new();
        for (chosen, progress, servo) in events {
            let before = machine;
            let input = Input { event: Event::ALL[chosen], progress, servo, command: servo };
            if machine.step(&input, Rules { mode: Mode::Service, script: &script }).is_err() {
                prop_assert_eq!(machine, before);
            }
        }
    }
}
