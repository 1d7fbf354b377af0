use std::rc::Rc;
use std::sync::mpsc::Receiver;

use nuncius_schemas::metric::Series;
use tokio::task::LocalSet;

use super::*;
use crate::control::Control;
use crate::plan::GroupPlan;
use crate::sink::{EngineMessage, FinishReason, SecondReport};
use crate::testing::{http, plan, thread};

/// Runs all iterations of a group, each by `task`, until nothing is in flight or it is told to stop; what was measured.
fn run<F: Future<Output = ()> + 'static>(
    plan: &GroupPlan,
    stop: impl Fn(&Control) + 'static,
    task: impl Fn(Rc<InFlight>, Iteration) -> F,
) -> (Vec<Box<SecondReport>>, FinishReason) {
    let control = Control::new();
    let (pace, recorder, messages) = thread(plan, Arc::clone(&control), 100);
    let in_flight = Rc::new(InFlight::new(pace, recorder));
    let waker = Arc::new(Waker::new().unwrap());
    control.listen(Arc::clone(&waker));
    control.start(monotonic_ns(), u64::MAX);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = LocalSet::new();
    let launch = |iteration| {
        stop(&control);
        tokio::task::spawn_local(task(Rc::clone(&in_flight), iteration));
    };
    let outcome = local.block_on(&runtime, in_flight.offer(waker, || false, launch));
    in_flight.close(outcome);
    ended(&messages)
}

fn ended(messages: &Receiver<EngineMessage>) -> (Vec<Box<SecondReport>>, FinishReason) {
    let mut seconds = Vec::new();
    for message in messages.try_iter() {
        match message {
            EngineMessage::Second(report) => seconds.push(report),
            EngineMessage::Rows(_) => {}
            EngineMessage::Finished { reason, .. } => return (seconds, reason),
        }
    }
    panic!("it did not say that it has ended")
}

/// Of a group whose iterations may begin with any of their steps; users begin one iteration each.
fn of_any_steps(users: u32) -> GroupPlan {
    let mut any = plan(r#""engine": "servo", "target": "nats://", "users": 1, "duration": "9s""#);
    any.load = http(&format!(r#""users": {users}, "iterations": {users}"#)).load;
    any
}

fn sum(seconds: &[Box<SecondReport>], step: usize, of: fn(&crate::StepRecorder) -> u64) -> u64 {
    seconds.iter().map(|second| of(&second.steps[step])).sum()
}

#[test]
fn exchanges_that_are_open_at_once_count_each_by_itself_and_the_iteration_as_one() {
    let plan = of_any_steps(3);
    let (seconds, reason) = run(
        &plan,
        |_| {},
        |in_flight, iteration| async move {
            in_flight.begun(iteration);
            let (one, two) = (in_flight.first(iteration, 1), in_flight.later(iteration, 2, monotonic_ns()));
            assert_eq!(in_flight.trace_of(one), None);
            in_flight.permit(two).await;
            in_flight.sent(two);
            in_flight.sent(one);
            in_flight.sent(one);
            tokio::task::yield_now().await;
            in_flight.succeeded(two, 200, monotonic_ns());
            in_flight.failed(one, FailureKind::Check, 200, monotonic_ns(), || "no price".to_owned());
            let outcome = Outcome::Failed { kind: FailureKind::Check, status: 200, step: 1 };
            in_flight.finish(iteration, outcome, monotonic_ns());
        },
    );
    assert_eq!(reason, FinishReason::ScheduleEnded);
    let of = |step| {
        let sent = sum(&seconds, step, |step| step.sent);
        let [planned, succeeded, failed]: [u64; 3] = [
            |step: &crate::StepRecorder| step.planned,
            |step: &crate::StepRecorder| step.succeeded,
            |step: &crate::StepRecorder| step.failed,
        ]
        .map(|of| sum(&seconds, step, of));
        (planned, sent, succeeded, failed)
    };
    assert_eq!((of(1), of(2), of(8)), ((3, 3, 0, 3), (3, 3, 3, 0), (3, 3, 0, 3)));
    let first = seconds.iter().find_map(|second| second.steps[8].failures.first()).unwrap();
    assert_eq!((first.kind, first.sample.as_deref()), (FailureKind::Check, Some("at step 2")));
    assert_eq!(sum(&seconds, 1, |step| step.series.of(Series::FailedService).count()), 3);
}

#[test]
fn what_is_open_at_the_end_is_censored_every_exchange_and_every_iteration() {
    let plan = of_any_steps(2);
    let stop = |control: &Control| control.stop(0);
    let (seconds, reason) = run(&plan, stop, |in_flight, iteration| async move {
        in_flight.begun(iteration);
        let (one, _two) = (in_flight.first(iteration, 1), in_flight.first(iteration, 1));
        in_flight.sent(one);
        std::future::pending::<()>().await;
    });
    assert_eq!(reason, FinishReason::Stopped);
    let (begun, censored) = (sum(&seconds, 1, |step| step.planned), sum(&seconds, 1, |step| step.censored));
    assert_eq!(begun, censored);
    assert_eq!(begun % 2, 0, "those that began have two each");
    assert_eq!((sum(&seconds, 8, |step| step.planned), sum(&seconds, 8, |step| step.censored)), (2, 2));
    assert_eq!(sum(&seconds, 1, |step| step.series.of(Series::CensoredService).count()), begun / 2);
    assert!(seconds.last().unwrap().steps.iter().all(|step| step.in_flight == 0));
}

#[test]
fn an_iteration_that_ends_takes_what_it_left_open_with_it_and_a_skipped_one_pauses_its_user() {
    let mut plan = of_any_steps(1);
    plan.load = http(r#""users": 1, "iterations": 2"#).load;
    let (seconds, _) = run(
        &plan,
        |_| {},
        |in_flight, iteration| async move {
            in_flight.begun(iteration);
            if iteration.index == 0 {
                return in_flight.finish(iteration, Outcome::Skipped, monotonic_ns());
            }
            let _ = in_flight.first(iteration, 3);
            in_flight.finish(iteration, Outcome::Succeeded, monotonic_ns());
        },
    );
    let whole = |of| sum(&seconds, 8, of);
    assert_eq!((whole(|step| step.skipped), whole(|step| step.succeeded), whole(|step| step.backed_off)), (1, 1, 1));
    assert_eq!((sum(&seconds, 3, |step| step.planned), sum(&seconds, 3, |step| step.censored)), (1, 1));
}
