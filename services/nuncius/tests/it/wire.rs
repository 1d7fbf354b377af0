//! What is really sent is what the description of the bus says; answers have the form of their questions.

use std::collections::BTreeSet;
use std::time::Duration;

use nuncius_bus::Headers;
use nuncius_schemas::document::asyncapi::{Channel, channels};
use nuncius_schemas::document::messages;
use nuncius_schemas::subjects::{HEADER_CONTENT_TYPE, HEADER_REPLY, HEADER_SCHEMA, HEADER_TRACEPARENT};
use serde_json::Value;

use crate::harness::{PATIENCE, System, beside_others, open_spec};

/// Whether a subject is one of a channel, whose parameters stand for one token each.
fn is_of(channel: &Channel, subject: &str) -> bool {
    let (wanted, found): (Vec<&str>, Vec<&str>) = (channel.address.split('.').collect(), subject.split('.').collect());
    wanted.len() == found.len() && wanted.iter().zip(&found).all(|(w, f)| w.starts_with('{') || w == f)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_travels_is_what_the_description_of_the_bus_says() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let mut heard = system.bus.subscribe("nuncius.>").await.unwrap();
    system.publish(open_spec("wire", &address, "50/s", "2s", "records: all").as_bytes()).await;
    system.publish(b"- no map\n").await;
    system.wait_for_end("wire").await;
    let channels = channels();
    let known: BTreeSet<String> = messages().iter().map(|message| message.schema_name()).collect();
    let mut told = BTreeSet::new();
    while let Ok(Some(message)) = tokio::time::timeout(Duration::from_millis(500), heard.next()).await {
        let subject = &message.subject;
        let channel = channels.iter().find(|channel| is_of(channel, subject));
        let channel = channel.unwrap_or_else(|| panic!("{subject} is not described"));
        let names: Vec<String> = messages()
            .iter()
            .filter(|message| channel.messages.contains(&message.name))
            .map(|message| message.schema_name())
            .collect();
        if let Some(schema) = message.headers.get(HEADER_SCHEMA) {
            assert!(known.contains(schema) && names.contains(&schema.to_owned()), "{subject}: {schema}, not {names:?}");
            told.insert(schema.to_owned());
        }
        for (name, _) in message.headers.iter() {
            let common = [HEADER_SCHEMA, HEADER_CONTENT_TYPE, HEADER_TRACEPARENT];
            let is_ours = name.starts_with("Nuncius-");
            let is_listed = common.contains(&name) || channel.headers.contains(&name);
            assert!(!is_ours || is_listed, "{subject}: the header {name} is not listed");
        }
    }
    for schema in ["experiment-event.v1", "metric-delta.v1", "record-batch.v1", "node-command.v2"] {
        assert!(told.contains(schema), "{schema} was not sent: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_the_form_of_its_question() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let namespace = system.bus.namespace().clone();
    let inbox = system.bus.new_inbox();
    let mut answers = system.bus.subscribe(&inbox).await.unwrap();
    let submission = open_spec("form", &address, "10/s", "20s", "");
    let spec = nuncius_schemas::submission::from_bytes(submission.as_bytes()).unwrap();
    let pack = nuncius_schemas::codec::encode(&spec.to_value().unwrap()).unwrap();
    for (payload, content_type) in [(submission.into_bytes(), "application/json"), (pack, "application/msgpack")] {
        let headers = Headers::new().with(HEADER_REPLY, inbox.clone());
        let subject = namespace.experiment_submit();
        system.bus.publish_acked(&subject, &headers, payload.into(), None, None).await.unwrap();
        let answer = tokio::time::timeout(PATIENCE, answers.next()).await.expect("an answer comes").unwrap();
        assert_eq!(answer.headers.get(HEADER_CONTENT_TYPE), Some(content_type));
        let is_json = serde_json::from_slice::<Value>(&answer.payload).is_ok();
        assert_eq!(is_json, content_type == "application/json");
    }
    system.wait_for_status("form", nuncius_schemas::run::RunStatus::Running).await;
    let control = namespace.experiment_control("form");
    let question = br#"{"control": "cancel", "reason": "enough"}"#;
    let answer = system.bus.request(&control, &Headers::new(), question.to_vec().into(), PATIENCE).await.unwrap();
    assert!(serde_json::from_slice::<Value>(&answer.payload).unwrap().is_object());
    system.wait_for_end("form").await;
}
