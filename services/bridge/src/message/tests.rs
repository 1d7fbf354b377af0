use lapin::types::{FieldTable, LongString, ShortString};
use percent_encoding::percent_decode_str;
use proptest::prelude::*;

use super::*;

const ORIGIN: Origin<'static> = Origin { queue: "jobs", exchange: "", routing_key: "jobs" };

fn with_headers(pairs: Vec<(String, AMQPValue)>) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert(ShortString::try_new(name).unwrap(), value);
    }
    BasicProperties::default().with_headers(table)
}

#[test]
fn a_message_id_that_can_be_a_job_id_is_it_and_any_other_becomes_a_digest() {
    assert_eq!(job_id("order-7"), "order-7");
    for strange in ["", "a b", "a.b", "*", ">", "ü", "a/b", &"x".repeat(255), "amqp-id-7"] {
        let id = job_id(strange);
        assert!(id.starts_with(DIGEST_PREFIX) && check_token("job", &id).is_ok(), "{strange}: {id}");
    }
    // It cannot be had by sending it.
    assert_ne!(job_id(&job_id("a b")), job_id("a b"));
}

#[test]
fn clients_of_queues_are_tokens_and_tell_queues_apart() {
    let names = ["jobs", "jobs ", "a.b", "a-b", "*", ">", &"q".repeat(255), &"q".repeat(254), "ü", ""];
    let mut clients: Vec<String> = names.iter().map(|name| client_of("/", name)).collect();
    clients.push(client_of("/jobs", ""));
    for client in &clients {
        assert!(check_token("client", client).is_ok(), "{client}");
    }
    let count = clients.len();
    clients.sort();
    clients.dedup();
    assert_eq!(clients.len(), count);
}

#[test]
fn the_most_urgent_of_amqp_is_the_most_urgent_here() {
    for (amqp, priorities, expected) in [
        (None, 1, 0),
        (Some(9), 1, 0),
        (None, 3, 2),
        (Some(3), 3, 2),
        (Some(4), 3, 1),
        (Some(7), 3, 0),
        (Some(255), 3, 0),
        (Some(4), 2, 1),
        (Some(5), 2, 0),
        (None, 0, 0),
    ] {
        assert_eq!(priority(amqp, priorities), expected, "{amqp:?} of {priorities}");
    }
}

#[test]
fn a_publisher_cannot_set_a_header_that_means_something() {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let properties = with_headers(vec![
        ("Nats-Rollup".into(), text("all")),
        ("Nuncius-If-Client".into(), text("present")),
        ("Nats-Msg-Id".into(), text("another")),
        ("a: b\r\nNats-TTL".into(), text("1\r\nNats-TTL: 1")),
        ("x-death".into(), AMQPValue::FieldTable(FieldTable::default())),
        ("bytes".into(), AMQPValue::LongString(LongString::from(vec![0xff, b'a', 0xc3]))),
        ("yes".into(), AMQPValue::Boolean(true)),
    ])
    .with_content_type("text/plain\r\nNats-TTL: 1".into())
    .with_correlation_id("7".into());
    let headers = headers(&properties, ORIGIN).unwrap();
    let expected = Headers::new()
        .with("Amqp-Queue", "jobs")
        .with("Amqp-Routing-Key", "jobs")
        .with("Amqp-Correlation-Id", "7")
        .with("Amqp-Header-Nats-Rollup", "all")
        .with("Amqp-Header-Nuncius-If-Client", "present")
        .with("Amqp-Header-Nats-Msg-Id", "another")
        .with("Amqp-Header-a%3A%20b%0D%0ANats-TTL", "1%0D%0ANats-TTL: 1")
        .with("Amqp-Header-bytes", "%FFa%C3")
        .with("Amqp-Header-yes", "true");
    assert_eq!(headers, expected);
}

#[test]
fn headers_over_their_limit_are_refused_with_their_size() {
    let value = AMQPValue::LongString("x".repeat(HEADERS_MAX_BYTES).as_str().into());
    let size_bytes = headers(&with_headers(vec![("long".into(), value)]), ORIGIN).unwrap_err();
    assert!(size_bytes > HEADERS_MAX_BYTES, "{size_bytes}");
}

#[test]
fn only_a_trace_context_is_handed_on_as_one() {
    let of = |text: &str| traceparent(&with_headers(vec![(TRACEPARENT.into(), AMQPValue::LongString(text.into()))]));
    let fine = format!("00-{:032x}-{:016x}-01", 7, 8);
    assert_eq!(of(&fine), Some(fine));
    assert_eq!(of("rubbish"), None);
    assert_eq!(traceparent(&BasicProperties::default()), None);
}

proptest! {
    #[test]
    fn any_header_is_written_so_that_it_can_be_read_back(
        name in "\\PC{1,40}",
        value in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let value_sent = AMQPValue::LongString(LongString::from(value.clone()));
        let written = headers(&with_headers(vec![(name.clone(), value_sent)]), ORIGIN).unwrap();
        // What breaks the wire format is refused here.
        let written = written.ready().unwrap();
        let (found_name, found) = written.iter().find(|(name, _)| name.starts_with(HEADER_PREFIX)).unwrap();
        let found_name = percent_decode_str(&found_name[HEADER_PREFIX.len()..]).decode_utf8().unwrap();
        prop_assert_eq!(found_name.as_ref(), name.as_str());
        prop_assert_eq!(percent_decode_str(found).collect::<Vec<u8>>(), value);
        prop_assert_eq!(found, found.trim());
    }

    #[test]
    fn ids_are_tokens_and_no_two_become_one(one in "\\PC{0,80}", other in "\\PC{0,80}") {
        prop_assert!(check_token("job", &job_id(&one)).is_ok());
        prop_assert_eq!(job_id(&one) == job_id(&other), one == other);
    }

    #[test]
    fn a_priority_is_one_of_the_queue_and_never_falls_with_urgency(urgency in 0u8..=254, priorities in 1u8..=3) {
        let (low, high) = (priority(Some(urgency), priorities), priority(Some(urgency + 1), priorities));
        prop_assert!(low < priorities && high <= low);
    }
}
