use nuncius_testkit::TempDir;

use super::*;
use crate::oco::config::OcoConfig;

fn live(config: OcoConfig) -> Live {
    Live::new(Settings::new(config).unwrap())
}

fn book(config: OcoConfig) -> Book {
    Book::new(live(config), Keeper::Nowhere, Vec::new())
}

/// A book in a file, as a process finds it.
fn filed(path: &std::path::Path, config: OcoConfig) -> Book {
    let mut kept = Vec::new();
    let log = Log::open(path, |entry| kept.push((entry, 0))).unwrap();
    Book::new(live(config), Keeper::File(log), kept)
}

async fn send(book: &Book, account: &str, app: &str, body: &str) -> (u16, String) {
    let answer = book.take(account, app, body.as_bytes(), Form::Json).await;
    (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
}

async fn tell(book: &Book, event: &str) -> (u16, String) {
    send(book, "a", "app00000", &format!(r#"{{"event":"{event}"}}"#)).await
}

async fn progress(book: &Book, event: &str, progress: i64) -> (u16, String) {
    send(book, "a", "app00000", &format!(r#"{{"event":"{event}","param":{{"progress":{progress}}}}}"#)).await
}

#[tokio::test]
async fn errors_read_as_the_originals() {
    let book = book(OcoConfig::default());
    let detail = |text: &str| (400, format!(r#"{{"detail":"{text}"}}"#));
    assert_eq!(tell(&book, "WHATS_NEXT").await, detail("Received event WHATS_NEXT for unknown app app00000"));
    assert_eq!(tell(&book, "FOO").await, detail("Received event FOO for unknown app app00000"));
    assert_eq!(tell(&book, "HELLO").await, (200, r#"{"status":"ok","message":null}"#.to_owned()));
    assert_eq!(tell(&book, "WHATS_NEXT").await, (200, r#"{"cmd":"DESCRIBE","param":{}}"#.to_owned()));
    let error = "Sequence error for app00000: ";
    let next = detail(&format!("{error}Unexpected WHATS_NEXT in hello-received"));
    assert_eq!(tell(&book, "WHATS_NEXT").await, next);
    let again = detail(&format!("{error}Unexpected event 'HELLO' in state hello-received"));
    assert_eq!(tell(&book, "HELLO").await, again);
    let early = detail(&format!("{error}Unexpected event 'MEASUREMENT' (7%) in state hello-received"));
    assert_eq!(progress(&book, "MEASUREMENT", 7).await, early);
    tell(&book, "DESCRIPTION").await;
    assert_eq!(tell(&book, "WHATS_NEXT").await.1, r#"{"cmd":"MEASURE","param":{}}"#);
    progress(&book, "MEASUREMENT", 7).await;
    let back = detail(&format!("{error}Progress going backwards: old=7, new=6"));
    assert_eq!(progress(&book, "MEASUREMENT", 6).await, back);
    tell(&book, "MEASUREMENT").await;
    let adjust: serde_json::Value = serde_json::from_str(&tell(&book, "WHATS_NEXT").await.1).unwrap();
    assert_eq!(adjust["param"]["state"]["application"]["components"]["java"]["settings"]["mem"]["value"], 2);
}

#[tokio::test]
async fn property_6_any_name_registers_and_in_strict_mode_accounts_do_not_matter() {
    let book = book(OcoConfig::default());
    assert_eq!(send(&book, "a", "unlisted", r#"{"event":"HELLO"}"#).await.0, 200);
    assert_eq!(send(&book, "b", "unlisted", r#"{"event":"WHATS_NEXT"}"#).await.0, 200);
    assert_eq!(statistics::summary(&book), r#"{"n":1,"average":0.0,"min":0,"max":0}"#);
}

#[tokio::test]
async fn property_7_an_application_whose_hello_was_refused_counts() {
    let book = book(OcoConfig::default());
    assert_eq!(progress(&book, "HELLO", 1).await.0, 400);
    assert!(tell(&book, "WHATS_NEXT").await.1.contains("Unexpected WHATS_NEXT in initial"));
    assert!(statistics::summary(&book).contains(r#""n":1"#));
}

#[tokio::test]
async fn property_8_a_book_that_is_kept_nowhere_begins_empty() {
    tell(&book(OcoConfig::default()), "HELLO").await;
    assert!(tell(&book(OcoConfig::default()), "WHATS_NEXT").await.1.contains("unknown app"));
}

#[tokio::test]
async fn service_mode_is_soft_and_tells_accounts_apart() {
    let config = OcoConfig { accounts: [("soft".to_owned(), Mode::Service)].into(), ..OcoConfig::default() };
    let book = book(config);
    let unexpected = |event: &str, expected: &str| {
        let reason = format!("out of order event {event}, expected {expected}, ignoring");
        (200, format!(r#"{{"message":null,"reason":"{reason}","status":"unexpected-event"}}"#))
    };
    let next = r#"{"event":"WHATS_NEXT","param":null,"servo_uid":"one"}"#;
    assert_eq!(send(&book, "soft", "x", next).await, unexpected("WHATS_NEXT", "HELLO"));
    send(&book, "soft", "x", r#"{"event":"HELLO","servo_uid":"one"}"#).await;
    let describe = (200, r#"{"cmd":"DESCRIBE","param":{},"cmd_uid":"cmd-1"}"#.to_owned());
    assert_eq!(send(&book, "soft", "x", next).await, describe);
    assert_eq!(send(&book, "soft", "x", next).await, describe);
    assert_eq!(send(&book, "soft", "x", r#"{"event":"ADJUSTMENT"}"#).await, unexpected("ADJUSTMENT", "DESCRIPTION"));
    let other = send(&book, "soft", "x", r#"{"event":"WHATS_NEXT","servo_uid":"two"}"#).await;
    assert_eq!(other, (410, r#"{"detail":"unexpected servo_uid"}"#.to_owned()));
    let stale = send(&book, "soft", "x", r#"{"event":"DESCRIPTION","param":{"cmd_uid":"cmd-9"}}"#).await;
    assert_eq!(stale, (200, r#"{"reason":"unexpected cmd_uid","status":"invalid"}"#.to_owned()));
    // The strict application of the same name is another one.
    assert!(send(&book, "hard", "x", r#"{"event":"WHATS_NEXT"}"#).await.1.contains("unknown app x"));
}

#[tokio::test]
async fn resync_lets_an_unknown_servo_go_on_where_it_is() {
    let book = book(OcoConfig { resync: true, ..OcoConfig::default() });
    assert_eq!(progress(&book, "ADJUSTMENT", 50).await.0, 200);
    assert_eq!(tell(&book, "ADJUSTMENT").await.0, 200);
    assert!(tell(&book, "WHATS_NEXT").await.1.contains("MEASURE"));
    assert!(send(&book, "a", "other", r#"{"event":"FOO"}"#).await.1.contains("unknown app other"));
    assert!(statistics::summary(&book).contains(r#""n":1"#));
}

#[tokio::test]
async fn more_applications_than_may_register_are_turned_away_by_the_limits_name() {
    let book = book(OcoConfig { apps_max: 1, ..OcoConfig::default() });
    tell(&book, "HELLO").await;
    let (status, text) = send(&book, "a", "second", r#"{"event":"HELLO"}"#).await;
    assert!(status == 503 && text.contains("apps_max, 1"), "{text}");
    assert_eq!(tell(&book, "DESCRIPTION").await.0, 200);
}

#[tokio::test]
async fn after_a_restart_a_servo_goes_on_and_its_last_event_is_answered_the_same_once() {
    let dir = TempDir::new("oco-book").unwrap();
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
        let send = async |book: &Book| match value {
            Some(value) => progress(book, event, value).await,
            None => tell(book, event).await,
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
    let dir = TempDir::new("oco-book").unwrap();
    let full = dir.path().join("full");
    let log = Log::open(&dir.path().join("state"), |_| {}).unwrap();
    let book = Book::new(live(OcoConfig::default()), Keeper::File(log), Vec::new());
    tell(&book, "HELLO").await;
    let Keeper::File(log) = &book.keeper else { panic!("a file") };
    std::fs::File::create(&full).unwrap();
    log.break_for_tests(std::fs::File::open(&full).unwrap());
    let (status, text) = tell(&book, "WHATS_NEXT").await;
    assert!(status == 503 && text.contains("could not be kept"), "{text}");
    log.rewrite(std::iter::empty()).unwrap();
    assert_eq!(tell(&book, "WHATS_NEXT").await.1, r#"{"cmd":"DESCRIBE","param":{}}"#);
}

#[test]
fn events_of_one_application_from_many_threads_are_taken_one_after_another() {
    let book = book(OcoConfig::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        tell(&book, "HELLO").await;
    });
    // A command is told once, whoever asks.
    let told: usize = std::thread::scope(|scope| {
        let ask = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            usize::from(runtime.block_on(tell(&book, "WHATS_NEXT")).0 == 200)
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(told, 1);
}
