use nuncius_testkit::TempDir;

use super::*;
use crate::oco::config::OcoConfig;

fn live(config: OcoConfig) -> Live {
    Live::new(Settings::new(config).unwrap())
}

fn applications(config: OcoConfig) -> Applications {
    Applications::new(live(config), Keeper::Nowhere, Vec::new())
}

/// Applications in a file, as a process finds them.
fn filed(path: &std::path::Path, config: OcoConfig) -> Applications {
    let mut kept = Vec::new();
    let log = Log::open(path, |entry| kept.push((entry, 0))).unwrap();
    Applications::new(live(config), Keeper::File(log), kept)
}

async fn send(applications: &Applications, account: &str, app: &str, body: &str) -> (u16, String) {
    let answer = applications.take(account, app, body.as_bytes(), Form::Json).await;
    (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
}

async fn tell(applications: &Applications, event: &str) -> (u16, String) {
    send(applications, "a", "app00000", &format!(r#"{{"event":"{event}"}}"#)).await
}

async fn progress(applications: &Applications, event: &str, progress: i64) -> (u16, String) {
    send(applications, "a", "app00000", &format!(r#"{{"event":"{event}","param":{{"progress":{progress}}}}}"#)).await
}

#[tokio::test]
async fn errors_read_as_the_originals() {
    let applications = applications(OcoConfig::default());
    let detail = |text: &str| (400, format!(r#"{{"detail":"{text}"}}"#));
    assert_eq!(tell(&applications, "WHATS_NEXT").await, detail("Received event WHATS_NEXT for unknown app app00000"));
    assert_eq!(tell(&applications, "FOO").await, detail("Received event FOO for unknown app app00000"));
    assert_eq!(tell(&applications, "HELLO").await, (200, r#"{"status":"ok","message":null}"#.to_owned()));
    assert_eq!(tell(&applications, "WHATS_NEXT").await, (200, r#"{"cmd":"DESCRIBE","param":{}}"#.to_owned()));
    let error = "Sequence error for app00000: ";
    let next = detail(&format!("{error}Unexpected WHATS_NEXT in hello-received"));
    assert_eq!(tell(&applications, "WHATS_NEXT").await, next);
    let again = detail(&format!("{error}Unexpected event 'HELLO' in state hello-received"));
    assert_eq!(tell(&applications, "HELLO").await, again);
    let early = detail(&format!("{error}Unexpected event 'MEASUREMENT' (7%) in state hello-received"));
    assert_eq!(progress(&applications, "MEASUREMENT", 7).await, early);
    tell(&applications, "DESCRIPTION").await;
    assert_eq!(tell(&applications, "WHATS_NEXT").await.1, r#"{"cmd":"MEASURE","param":{}}"#);
    progress(&applications, "MEASUREMENT", 7).await;
    let back = detail(&format!("{error}Progress going backwards: old=7, new=6"));
    assert_eq!(progress(&applications, "MEASUREMENT", 6).await, back);
    tell(&applications, "MEASUREMENT").await;
    let adjust: serde_json::Value = serde_json::from_str(&tell(&applications, "WHATS_NEXT").await.1).unwrap();
    assert_eq!(adjust["param"]["state"]["application"]["components"]["java"]["settings"]["mem"]["value"], 2);
}

#[tokio::test]
async fn property_6_any_name_registers_and_in_strict_mode_accounts_do_not_matter() {
    let applications = applications(OcoConfig::default());
    assert_eq!(send(&applications, "a", "unlisted", r#"{"event":"HELLO"}"#).await.0, 200);
    assert_eq!(send(&applications, "b", "unlisted", r#"{"event":"WHATS_NEXT"}"#).await.0, 200);
    assert_eq!(statistics::summary(&applications), r#"{"n":1,"average":0.0,"min":0,"max":0}"#);
}

#[tokio::test]
async fn property_7_an_application_whose_hello_was_refused_counts() {
    let applications = applications(OcoConfig::default());
    assert_eq!(progress(&applications, "HELLO", 1).await.0, 400);
    assert!(tell(&applications, "WHATS_NEXT").await.1.contains("Unexpected WHATS_NEXT in initial"));
    assert!(statistics::summary(&applications).contains(r#""n":1"#));
}

#[tokio::test]
async fn property_8_a_book_that_is_kept_nowhere_begins_empty() {
    tell(&applications(OcoConfig::default()), "HELLO").await;
    assert!(tell(&applications(OcoConfig::default()), "WHATS_NEXT").await.1.contains("unknown app"));
}

#[tokio::test]
async fn service_mode_is_soft_and_tells_accounts_apart() {
    let config = OcoConfig { accounts: [("soft".to_owned(), Mode::Service)].into(), ..OcoConfig::default() };
    let applications = applications(config);
    let unexpected = |event: &str, expected: &str| {
        let reason = format!("out of order event {event}, expected {expected}, ignoring");
        (200, format!(r#"{{"message":null,"reason":"{reason}","status":"unexpected-event"}}"#))
    };
    let next = r#"{"event":"WHATS_NEXT","param":null,"servo_uid":"one"}"#;
    assert_eq!(send(&applications, "soft", "x", next).await, unexpected("WHATS_NEXT", "HELLO"));
    send(&applications, "soft", "x", r#"{"event":"HELLO","servo_uid":"one"}"#).await;
    let describe = (200, r#"{"cmd":"DESCRIBE","param":{},"cmd_uid":"cmd-1"}"#.to_owned());
    assert_eq!(send(&applications, "soft", "x", next).await, describe);
    assert_eq!(send(&applications, "soft", "x", next).await, describe);
    assert_eq!(
        send(&applications, "soft", "x", r#"{"event":"ADJUSTMENT"}"#).await,
        unexpected("ADJUSTMENT", "DESCRIPTION")
    );
    let other = send(&applications, "soft", "x", r#"{"event":"WHATS_NEXT","servo_uid":"two"}"#).await;
    assert_eq!(other, (410, r#"{"detail":"unexpected servo_uid"}"#.to_owned()));
    let stale = send(&applications, "soft", "x", r#"{"event":"DESCRIPTION","param":{"cmd_uid":"cmd-9"}}"#).await;
    assert_eq!(stale, (200, r#"{"reason":"unexpected cmd_uid","status":"invalid"}"#.to_owned()));
    // The strict application of the same name is another one.
    assert!(send(&applications, "hard", "x", r#"{"event":"WHATS_NEXT"}"#).await.1.contains("unknown app x"));
}

#[tokio::test]
async fn resync_lets_an_unknown_servo_go_on_where_it_is() {
    let applications = applications(OcoConfig { resync: true, ..OcoConfig::default() });
    assert_eq!(progress(&applications, "ADJUSTMENT", 50).await.0, 200);
    assert_eq!(tell(&applications, "ADJUSTMENT").await.0, 200);
    assert!(tell(&applications, "WHATS_NEXT").await.1.contains("MEASURE"));
    assert!(send(&applications, "a", "other", r#"{"event":"FOO"}"#).await.1.contains("unknown app other"));
    assert!(statistics::summary(&applications).contains(r#""n":1"#));
}

#[tokio::test]
async fn more_applications_than_may_register_are_turned_away_by_the_limits_name() {
    let applications = applications(OcoConfig { apps_max: 1, ..OcoConfig::default() });
    tell(&applications, "HELLO").await;
    let (status, text) = send(&applications, "a", "second", r#"{"event":"HELLO"}"#).await;
    assert!(status == 503 && text.contains("apps_max, 1"), "{text}");
    assert_eq!(tell(&applications, "DESCRIPTION").await.0, 200);
}

#[tokio::test]
async fn after_a_restart_a_servo_goes_on_and_its_last_event_is_answered_the_same_once() {
    let dir = TempDir::new("oco-applications").unwrap();
    let path = dir.path().join("state");
    let cycle: [(&str, Option<i64>); 12] = [
        ("HELLO", None),
        ("WHATS_NEXT", None),
        ("DESCRIPTION", None),
        ("WHATS_NEXT", None),
        ("MEASUREMENT", Some(10)),
        ("MEASUREMENT", Some(60)),
        ("MEASUREMENT", None),
        ("WHATS_NEXT", None),
        ("ADJUSTMENT", Some(5)),
        ("ADJUSTMENT", Some(9)),
        ("ADJUSTMENT", None),
        ("GOODBYE", None),
    ];
    for (event, value) in cycle {
        let send = async |applications: &Applications| match value {
            Some(value) => progress(applications, event, value).await,
            None => tell(applications, event).await,
        };
        let answered = send(&filed(&path, OcoConfig::default())).await;
        assert_eq!(answered.0, 200, "{event}: {answered:?}");
        // The answer is lost with the process.
        let again = filed(&path, OcoConfig::default());
        assert_eq!(send(&again).await, answered, "{event}");
        // Once it has been heard it is bound to the rules as before.
        if event == "WHATS_NEXT" {
            assert_eq!(send(&again).await.0, 400);
        }
        again.compact(true).unwrap();
    }
    assert_eq!(statistics::summary(&filed(&path, OcoConfig::default())), r#"{"n":1,"average":1.0,"min":1,"max":1}"#);
}

#[tokio::test]
async fn a_state_that_cannot_be_written_is_an_error_and_nothing_has_changed() {
    let dir = TempDir::new("oco-applications").unwrap();
    let full = dir.path().join("full");
    let log = Log::open(&dir.path().join("state"), |_| {}).unwrap();
    let applications = Applications::new(live(OcoConfig::default()), Keeper::File(log), Vec::new());
    tell(&applications, "HELLO").await;
    let Keeper::File(log) = &applications.keeper else { panic!("a file") };
    std::fs::File::create(&full).unwrap();
    log.break_for_tests(std::fs::File::open(&full).unwrap());
    let (status, text) = tell(&applications, "WHATS_NEXT").await;
    assert!(status == 503 && text.contains("could not be kept"), "{text}");
    log.rewrite(std::iter::empty()).unwrap();
    assert_eq!(tell(&applications, "WHATS_NEXT").await.1, r#"{"cmd":"DESCRIBE","param":{}}"#);
}

#[test]
fn events_of_one_application_from_many_threads_are_taken_one_after_another() {
    let applications = applications(OcoConfig::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        tell(&applications, "HELLO").await;
    });
    // A command is told once, whoever asks.
    let told: usize = std::thread::scope(|scope| {
        let ask = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            usize::from(runtime.block_on(tell(&applications, "WHATS_NEXT")).0 == 200)
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(told, 1);
}
