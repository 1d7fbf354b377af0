//! The baseline of the bridge cell of `scripts/bench`, lapin and async-nats alone: messages of a RabbitMQ queue are
//! published into a stream with their ids, and acknowledged once the stream has them.
//!
//! `bare_bridge broker` runs a RabbitMQ until SIGTERM, and prints its address; `fill AMQP QUEUE MESSAGES` puts messages
//! with ids there; `run AMQP QUEUE NATS SUBJECT PREFETCH` hands them on until SIGTERM; `watch NATS STREAM MESSAGES`
//! waits until the stream has had so many, and prints how fast they came, by the times at which the server stored them.
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use nuncius_testkit::RabbitMq;
use tokio::signal::unix::{Signal, SignalKind, signal};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Unconfirmed messages while a queue is filled.
const WINDOW: usize = 512;
/// A job with one argument.
const BODY: &[u8] = br#"{"args": ["0.000000000000000000000000000000000000000000000000000001"]}"#;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args_os().skip(1).filter_map(|text| text.into_string().ok()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments.as_slice() {
        ["broker"] => broker().await,
        ["fill", amqp, queue, messages] => fill(amqp, queue, messages.parse()?).await,
        ["run", amqp, queue, nats, subject, prefetch] => run(amqp, queue, (nats, subject), prefetch.parse()?).await,
        ["watch", nats, stream, messages] => watch(nats, stream, messages.parse()?).await,
        _ => Err("usage: bare_bridge broker | fill AMQP QUEUE MESSAGES | run AMQP QUEUE NATS SUBJECT PREFETCH | \
                  watch NATS STREAM MESSAGES"
            .into()),
    }
}

async fn broker() -> Result<(), Failure> {
    let broker = RabbitMq::start().await.map_err(|problem| problem.to_string())?;
    println!("{}", broker.url());
    told_to_end()?.recv().await;
    Ok(())
}

fn told_to_end() -> std::io::Result<Signal> {
    signal(SignalKind::terminate())
}

async fn channel(amqp: &str) -> Result<(Connection, Channel), Failure> {
    let connection = Connection::connect(amqp, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

async fn fill(amqp: &str, queue: &str, messages: usize) -> Result<(), Failure> {
    let (_connection, channel) = channel(amqp).await?;
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut open = FuturesUnordered::new();
    for number in 0..messages {
        if open.len() >= WINDOW {
            open.next().await.transpose()?;
        }
        let id = format!("{queue}-{number}");
        let properties = BasicProperties::default().with_message_id(id.into()).with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        open.push(channel.basic_publish("".into(), queue.into(), options, BODY, properties).await?);
    }
    while let Some(confirm) = open.next().await {
        confirm?;
    }
    Ok(())
}

async fn run(amqp: &str, queue: &str, (nats, subject): (&str, &str), prefetch: u16) -> Result<(), Failure> {
    let (_connection, channel) = channel(amqp).await?;
    let context = jetstream::new(async_nats::connect(nats).await?);
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut consumer = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
    let mut open = FuturesUnordered::new();
    let mut end = told_to_end()?;
    loop {
        tokio::select! {
            _ = end.recv() => return Ok(()),
            Some(stored) = open.next() => {
                let tag: u64 = { let stored: Result<u64, Failure> = stored; stored? };
                channel.basic_ack(tag, BasicAckOptions::default()).await?;
            }
            Some(delivery) = consumer.next() => {
                let delivery = delivery?;
                let context = &context;
                open.push(async move {
                    let mut headers = HeaderMap::new();
                    if let Some(id) = delivery.properties.message_id() {
                        headers.insert(NATS_MESSAGE_ID, id.as_str());
                    }
                    let body = Bytes::from(delivery.data);
                    context.publish_with_headers(subject.to_owned(), headers, body).await?.await?;
                    Ok(delivery.delivery_tag)
                });
            }
            else => return Err("the connection to the broker has ended".into()),
        }
    }
}

async fn watch(nats: &str, stream: &str, messages: u64) -> Result<(), Failure> {
    let context = jetstream::new(async_nats::connect(nats).await?);
    let mut stream = context.get_stream(stream).await?;
    while stream.info().await?.state.messages < messages {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (first, last) = (stream.get_raw_message(1).await?, stream.get_raw_message(messages).await?);
    let seconds = (last.time - first.time).as_seconds_f64();
    println!("messages={messages} seconds={seconds:.3} rate={:.0}", messages as f64 / seconds);
    Ok(())
}
