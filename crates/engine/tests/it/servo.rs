//! Servos against a service that keeps the rules of the protocol strictly: every event must be legal where it comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Client, Outcome, Reply, Run, SECOND_NS, Seen, Server};
use nuncius_engine::FinishReason;
use nuncius_schemas::metric::FailureKind;
use serde_json::json;

// Positions of steps in a report; after the eight of them the cycle.
const HELLO: usize = 0;
const MEASUREMENT: usize = 4;
const ADJUSTMENT: usize = 6;
const GOODBYE: usize = 7;
const STEPS: usize = 8;
const CYCLE: usize = STEPS;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Initial,
    HelloReceived,
    StartMeasure,
    InMeasure,
    StartAdjust,
    InAdjust,
    Terminated,
}

#[derive(Debug, Default)]
struct App {
    state: State,
    command: Option<&'static str>,
    progress: Option<i64>,
    measured: u64,
}

/// One event as the service took it.
#[derive(Debug, Clone)]
struct Heard {
    app: String,
    event: String,
    param: serde_json::Value,
    legal: bool,
}

#[derive(Default)]
struct Service {
    apps: BTreeMap<String, App>,
    heard: Vec<Heard>,
}

impl App {
    /// The command for an event, `None` where it only has to be acknowledged; an error where it must not come.
    fn take(&mut self, event: &str, progress: Option<i64>) -> Result<Option<&'static str>, String> {
        use State::*;
        if event == "WHATS_NEXT" {
            self.progress = None;
            return self.command.take().map(Some).ok_or_else(|| format!("Unexpected WHATS_NEXT in {:?}", self.state));
        }
        let (next, command) = match (self.state, event, progress.is_some()) {
            (Initial | Terminated, "HELLO", false) => (HelloReceived, Some("DESCRIBE")),
            (HelloReceived, "DESCRIPTION", false) => (StartMeasure, Some("MEASURE")),
            (StartMeasure | InMeasure, "MEASUREMENT", true) => (InMeasure, None),
            (InMeasure, "MEASUREMENT", false) => (StartAdjust, Some("ADJUST")),
            (StartAdjust | InAdjust, "ADJUSTMENT", true) => (InAdjust, None),
            (InAdjust, "ADJUSTMENT", false) => (StartMeasure, Some("MEASURE")),
            (Initial | Terminated, _, _) => return Err(format!("Unexpected event {event} in {:?}", self.state)),
            (_, "GOODBYE", false) => (Terminated, None),
            (state, ..) => return Err(format!("Unexpected event {event} in {state:?} ({progress:?})")),
        };
        if progress < self.progress && progress.is_some() {
            return Err("Progress going backwards".to_owned());
        }
        self.progress = progress.or(self.progress);
        self.measured += u64::from(self.state == InMeasure && next == StartAdjust);
        (self.state, self.command) = (next, command);
        Ok(None)
    }
}

/// Status and body of the answer to an event.
fn hear(service: &Mutex<Service>, app: &str, body: &str) -> (&'static str, serde_json::Value) {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let (event, param) = (body["event"].as_str().unwrap().to_owned(), body["param"].clone());
    let mut service = service.lock().unwrap();
    let taken = service.apps.entry(app.to_owned()).or_default().take(&event, param["progress"].as_i64());
    service.heard.push(Heard { app: app.to_owned(), event, param, legal: taken.is_ok() });
    match taken {
        Ok(None) => ("200 OK", json!({"status": "ok", "message": null})),
        Ok(Some("ADJUST")) => {
            let components = json!({"web": {"settings": {"cpu": {"value": 2}}}});
            ("200 OK", json!({"cmd": "ADJUST", "param": {"state": {"application": {"components": components}}}}))
        }
        Ok(Some(command)) => ("200 OK", json!({"cmd": command, "param": {}})),
        Err(problem) => ("400 Bad Request", json!({"detail": format!("Sequence error for {app}: {problem}")})),
    }
}

fn serve(service: &Mutex<Service>, seen: &Seen) -> Reply {
    let path = seen.head.lines().next().unwrap().split(' ').nth(1).unwrap();
    let app = path.strip_prefix("/accounts/a/applications/").unwrap().strip_suffix("/servo").unwrap();
    let (status, body) = hear(service, app, &seen.body);
    let body = body.to_string();
    Reply::text(&format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

fn strict() -> (Server, Arc<Mutex<Service>>) {
    let service = Arc::new(Mutex::new(Service::default()));
    let shared = Arc::clone(&service);
    (Server::start(move |seen, _| serve(&shared, seen)), service)
}

/// `servo` holds what differs from short operations.
fn servos<'a>(server: &Server, users: u32, duration: &str, servo: &str) -> Run<'a> {
    let short = r#""measure": "uniform:40ms..120ms", "adjust": "uniform:20ms..60ms", "progress_interval": "30ms", "start_spread": "100ms""#;
    let group = format!(
        r#""target": "http://ADDRESS/", "engine": "servo", "users": {users}, "duration": "{duration}", "servo": {{{short}{servo}}}"#
    );
    Run::new(Client::General, server.address, &group)
}

fn balanced(outcome: &Outcome) {
    assert_eq!(outcome.steps.len(), STEPS + 1);
    for (index, step) in outcome.steps.iter().enumerate() {
        assert_eq!(step.planned, step.succeeded + step.failed + step.censored, "step {index}: {step:?}");
        assert_eq!(step.in_flight, 0, "step {index}");
    }
}

fn count(heard: &[Heard], event: &str) -> usize {
    heard.iter().filter(|heard| heard.event == event).count()
}

fn illegal(heard: &[Heard]) -> BTreeSet<String> {
    heard.iter().filter(|heard| !heard.legal).map(|heard| heard.event.clone()).collect()
}

#[test]
fn a_strict_service_sees_no_wrong_event_of_two_hundred_servos_and_all_say_goodbye() {
    let (server, service) = strict();
    let mut run = servos(&server, 200, "1500ms", "");
    run.threads = 2;
    let outcome = run.go();
    balanced(&outcome);
    let service = service.lock().unwrap();
    assert_eq!(illegal(&service.heard), BTreeSet::new());
    assert!(service.apps.values().all(|app| app.state == State::Terminated), "{:?}", service.apps);
    assert_eq!(service.apps.len(), 200);
    assert_eq!((count(&service.heard, "HELLO"), count(&service.heard, "GOODBYE")), (200, 200));
    assert_eq!((outcome.steps[HELLO].succeeded, outcome.steps[GOODBYE].succeeded), (200, 200));
    assert_eq!(outcome.steps.iter().map(|step| step.failed).sum::<u64>(), 0);
    let sent: u64 = outcome.steps.iter().take(STEPS).map(|step| step.sent).sum();
    assert_eq!(sent, service.heard.len() as u64);
    let adjusted = outcome.steps[ADJUSTMENT].succeeded;
    assert!(adjusted > 400, "{adjusted} cycles");
    assert_eq!(outcome.steps[CYCLE].succeeded, adjusted);
    assert_eq!(outcome.cycles.values().sum::<u64>(), 200);
    assert_eq!(outcome.cycles.iter().map(|(cycles, servos)| u64::from(*cycles) * servos).sum::<u64>(), adjusted);
    let (one, two) = (&outcome.steps[MEASUREMENT], &outcome.steps[CYCLE]);
    assert_eq!((one.lag.count(), one.service.count(), one.response.count()), (one.planned, one.sent, one.succeeded));
    assert_eq!(two.service.count(), two.succeeded);
    // Sixty-four connections for each thread, not one for each servo.
    assert!(server.connections() <= 128, "{} connections", server.connections());
    let told = service.heard.iter().find(|heard| heard.event == "ADJUSTMENT" && heard.param["status"] == "ok").unwrap();
    assert_eq!(told.param["state"]["application"]["components"]["web"]["settings"]["cpu"]["value"], 2);
}

#[test]
fn servos_say_goodbye_at_the_stop_and_each_in_its_own_name() {
    let (server, service) = strict();
    let mut run = servos(&server, 30, "60s", "");
    let waiting = &server;
    run.during = Box::new(move |control| {
        waiting.wait_for(200);
        control.stop(5 * SECOND_NS);
    });
    let outcome = run.go();
    balanced(&outcome);
    assert_eq!(outcome.reasons, [FinishReason::Stopped]);
    let service = service.lock().unwrap();
    assert_eq!(illegal(&service.heard), BTreeSet::new());
    let names: Vec<String> = (0..30).map(|number| format!("app{number:05}")).collect();
    assert!(service.apps.keys().eq(&names), "{:?}", service.apps.keys());
    assert!(service.apps.values().all(|app| app.state == State::Terminated));
}

#[test]
fn servos_stand_at_the_horizon_and_go_on_as_if_no_time_had_passed() {
    let (server, service) = strict();
    let mut run = servos(&server, 20, "2s", "");
    run.horizon_ns = SECOND_NS / 2;
    run.during = Box::new(move |control| {
        let left_ns = (control.start_at().unwrap() + SECOND_NS).saturating_sub(nuncius_engine::monotonic_ns());
        std::thread::sleep(std::time::Duration::from_nanos(left_ns));
        control.extend(60 * SECOND_NS);
    });
    let outcome = run.go();
    balanced(&outcome);
    assert_eq!(outcome.reasons, [FinishReason::ScheduleEnded]);
    assert_eq!(illegal(&service.lock().unwrap().heard), BTreeSet::new());
    // What follows from an answer that came late is planned then, and put off to the time after it.
    let sent = outcome.rows.iter().map(|row| row.sent_ns).filter(|sent_ns| *sent_ns > 0);
    let (before, after): (Vec<u64>, Vec<u64>) = sent.partition(|sent_ns| *sent_ns < SECOND_NS);
    assert!(before.iter().all(|sent_ns| *sent_ns < SECOND_NS * 7 / 10), "{before:?}");
    assert!(before.len() > 50 && after.len() > 50, "{} and {}", before.len(), after.len());
    assert!((490_000_000..700_000_000).contains(&outcome.stood_ns), "{}", outcome.stood_ns);
    // Nothing that was planned before is late by as much as the servos stood.
    assert!(outcome.steps.iter().all(|step| step.lag.summary().max_ns < 400_000_000));
}

#[test]
fn servos_of_another_node_begin_anew_when_they_come() {
    let (server, _service) = strict();
    let run = servos(&server, 20, "1500ms", "");
    let plan = run.plan().unwrap().joining(SECOND_NS / 2, 1, 20);
    let outcome = run.go_with(plan);
    balanced(&outcome);
    assert!(outcome.rows.iter().all(|row| row.planned_ns >= SECOND_NS / 2));
    // 20 servos, none of whose events has the number of one that they may have sent elsewhere.
    assert!(outcome.rows.iter().all(|row| row.index >= 20 * 500_001));
    assert!(outcome.rows.len() > 50, "{}", outcome.rows.len());
}

#[test]
fn servos_that_crash_leave_without_goodbye() {
    let (server, service) = strict();
    let outcome = servos(&server, 10, "5s", r#", "faults": {"crash": 1.0}"#).go();
    balanced(&outcome);
    let service = service.lock().unwrap();
    assert_eq!((count(&service.heard, "HELLO"), count(&service.heard, "GOODBYE")), (10, 0));
    assert!(service.apps.values().all(|app| app.state == State::InMeasure), "{:?}", service.apps);
    assert_eq!((outcome.steps[CYCLE].planned, outcome.steps[CYCLE].failed), (10, 10));
    assert_eq!(outcome.cycles, [(0, 10)].into());
}

#[test]
fn each_fault_does_what_it_says() {
    for (fault, wrong) in
        [("skip_progress", "MEASUREMENT"), ("double_whats_next", "WHATS_NEXT"), ("progress_backwards", "MEASUREMENT")]
    {
        let (server, service) = strict();
        let outcome = servos(&server, 5, "700ms", &format!(r#", "faults": {{"{fault}": 1.0}}"#)).go();
        balanced(&outcome);
        let service = service.lock().unwrap();
        assert_eq!(illegal(&service.heard), [wrong.to_owned()].into(), "{fault}");
        let failed: u64 = outcome.steps.iter().take(STEPS).map(|step| step.failed).sum();
        assert_eq!(failed, service.heard.iter().filter(|heard| !heard.legal).count() as u64, "{fault}");
        assert!(outcome.steps[CYCLE].failed >= 5, "{fault}");
        let kinds: BTreeSet<(FailureKind, u16)> =
            outcome.steps.iter().flat_map(|step| &step.failures).map(|one| (one.kind, one.status)).collect();
        assert_eq!(kinds, [(FailureKind::Status, 400)].into(), "{fault}");
        // After the failure it says goodbye: the service lets it begin again.
        assert!(service.apps.values().all(|app| app.state == State::Terminated), "{fault}");
    }
}

#[test]
fn a_dropped_connection_is_a_failure_of_a_report_that_came() {
    let (server, service) = strict();
    let outcome = servos(&server, 5, "700ms", r#", "faults": {"drop_connection": 1.0}"#).go();
    balanced(&outcome);
    let service = service.lock().unwrap();
    let dropped: u64 = outcome.steps.iter().take(STEPS).flat_map(|step| &step.failures).map(|one| one.count).sum();
    let kinds: BTreeSet<FailureKind> =
        outcome.steps.iter().flat_map(|step| &step.failures).map(|one| one.kind).collect();
    assert_eq!((dropped, kinds), (5, [FailureKind::Closed].into()));
    assert_eq!(service.heard.iter().filter(|heard| heard.param["progress"] == 0).count(), 5);
    assert_eq!(count(&service.heard, "GOODBYE"), 5);
}

#[test]
fn the_same_seed_sends_the_same_events_of_each_servo() {
    let play = || {
        let (server, service) = strict();
        let outcome = servos(&server, 8, "800ms", "").go();
        let mut planned: BTreeMap<u64, (u16, u64)> = BTreeMap::new();
        for row in outcome.rows.iter().filter(|row| usize::from(row.step) == HELLO) {
            planned.insert(row.index, (row.step, row.planned_ns));
        }
        let mut events: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for heard in &service.lock().unwrap().heard {
            let all = events.entry(heard.app.clone()).or_default();
            // What comes near the end depends on how fast the answers were.
            if all.len() < 12 {
                all.push(heard.event.clone());
            }
        }
        (planned, events)
    };
    assert_eq!(play(), play());
}

#[test]
fn a_service_that_never_answers_leaves_every_event_counted() {
    let server = Server::start(|_, _| Reply::Hang);
    let mut run = servos(&server, 100, "300ms", "");
    run.options.drain_ns = SECOND_NS / 5;
    let outcome = run.go();
    balanced(&outcome);
    assert_eq!((outcome.steps[HELLO].planned, outcome.steps[HELLO].censored), (100, 100));
    // The pool is full: the others never left.
    assert_eq!(outcome.steps[HELLO].sent, 64);
}

#[test]
fn what_is_tried_again_until_the_end_without_success_is_no_cycle_that_was_only_cut_off() {
    let (server, service) = strict();
    // Known already, from somebody who left without a goodbye: every hello of theirs is refused.
    for number in 0..3 {
        hear(&service, &format!("app{number:05}"), r#"{"event": "HELLO"}"#);
    }
    let outcome = servos(&server, 10, "600ms", r#", "retry": "always", "retry_delay": "50ms""#).go();
    balanced(&outcome);
    assert_eq!(outcome.steps[CYCLE].failed, 3);
    assert_eq!(outcome.cycles.get(&0), Some(&3), "{:?}", outcome.cycles);
}

#[test]
fn each_servo_has_a_connection_of_its_own_where_that_is_asked_for() {
    let (server, _service) = strict();
    let outcome = servos(&server, 20, "500ms", r#", "connections": "per_servo""#).go();
    balanced(&outcome);
    assert_eq!(server.connections(), 20);
    for app in 0..20 {
        let own: BTreeSet<usize> = server
            .seen()
            .iter()
            .filter(|seen| seen.head.contains(&format!("/app{app:05}/servo")))
            .map(|seen| seen.connection)
            .collect();
        assert_eq!(own.len(), 1, "servo {app}");
    }
}

#[test]
fn the_token_of_the_node_goes_with_every_event() {
    let (server, _service) = strict();
    let mut run = servos(&server, 2, "200ms", r#", "token": "${OCO_TOKEN}""#);
    run.environment = |name| (name == "OCO_TOKEN").then(|| "s3cret".to_owned());
    run.go();
    assert!(server.seen().iter().all(|seen| seen.header("authorization") == Some("Bearer s3cret")));
}

#[test]
fn a_service_that_is_slow_shows_as_blocked_and_response_and_not_as_lag() {
    let (server, service) = {
        let service = Arc::new(Mutex::new(Service::default()));
        let shared = Arc::clone(&service);
        let script = move |seen: &Seen, _| match serve(&shared, seen) {
            Reply::Pieces(pieces) => Reply::After(Duration::from_millis(60), pieces.concat()),
            other => other,
        };
        (Server::start(script), service)
    };
    let outcome = servos(&server, 5, "1s", "").go();
    balanced(&outcome);
    assert_eq!(illegal(&service.lock().unwrap().heard), BTreeSet::new());
    let final_ones = &outcome.steps[MEASUREMENT];
    assert!(final_ones.succeeded > 0);
    assert!(final_ones.lag.max_ns().unwrap() < 50_000_000, "{:?}", final_ones.lag.max_ns());
    assert!(final_ones.response.min_ns().unwrap() >= 60_000_000);
}

#[test]
fn servos_are_heard_over_the_bus_as_over_http() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
    let nats = runtime.block_on(nuncius_testkit::TestServer::start()).unwrap();
    let options = nuncius_bus::ConnectOptions { urls: vec![nats.url()], ..Default::default() };
    let bus = runtime.block_on(nuncius_bus::connect(options)).unwrap();
    let service = Arc::new(Mutex::new(Service::default()));
    let shared = Arc::clone(&service);
    let listening = bus.clone();
    runtime.block_on(async {
        let mut requests = listening.subscribe("nuncius.oco.a.*.servo").await.unwrap();
        listening.flush().await.unwrap();
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let app = request.subject.split('.').nth(3).unwrap();
                let (_, body) = hear(&shared, app, &String::from_utf8_lossy(&request.payload));
                let _ = request.respond(&nuncius_bus::Headers::new(), body.to_string().into()).await;
            }
        });
    });
    let group = r#""target": "nats://oco", "engine": "servo", "users": 20, "duration": "800ms", "servo": {"measure": "100ms",
        "adjust": "50ms", "progress_interval": "30ms", "start_spread": "100ms", "faults": {"skip_progress": 0.1}}"#;
    let mut run = Run::new(Client::General, "127.0.0.1:1".parse().unwrap(), group);
    run.bus = Some(bus);
    let outcome = run.go();
    balanced(&outcome);
    let service = service.lock().unwrap();
    assert!(service.apps.len() == 20 && service.apps.values().all(|app| app.state == State::Terminated));
    assert!(outcome.steps[CYCLE].succeeded >= 20);
    // An error is told apart from an acknowledgement, though both are answers.
    let failed: u64 = outcome.steps.iter().take(STEPS).map(|step| step.failed).sum();
    assert_eq!(failed, service.heard.iter().filter(|heard| !heard.legal).count() as u64);
    assert!(failed > 0);
}
