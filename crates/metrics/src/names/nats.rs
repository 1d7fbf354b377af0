//! NATS itself: asked by the gateway, of the servers where it has the credentials of a system account, and always of
//! the streams and consumers of its own account.

use crate::{Metric, Unit};

/// A server that answered.
pub const SERVER_INFO: Metric =
    Metric::info("nuncius_nats_server_info", &["server", "version", "cluster"], "A server that answered.").of_gateway();

/// When the server started, since the Unix epoch.
pub const SERVER_START_TIME_SECONDS: Metric = Metric::gauge(
    "nuncius_nats_server_start_time_seconds",
    Unit::Seconds,
    &["server"],
    "When the server started, since the Unix epoch.",
)
.of_gateway();

/// Connections to the server.
pub const SERVER_CONNECTIONS: Metric =
    Metric::gauge("nuncius_nats_server_connections", Unit::None, &["server"], "Connections to the server.")
        .of_gateway();

/// Subscriptions of the server.
pub const SERVER_SUBSCRIPTIONS: Metric =
    Metric::gauge("nuncius_nats_server_subscriptions", Unit::None, &["server"], "Subscriptions of the server.")
        .of_gateway();

/// Connections that the server ended because they did not read fast enough.
pub const SERVER_SLOW_CONSUMERS: Metric = Metric::counter(
    "nuncius_nats_server_slow_consumers_total",
    Unit::None,
    &["server"],
    "Connections that the server ended because they did not read fast enough.",
)
.of_gateway();

/// Bytes that wait to be read by connections of the server.
pub const SERVER_PENDING_BYTES: Metric = Metric::gauge(
    "nuncius_nats_server_pending_bytes",
    Unit::Bytes,
    &["server"],
    "Bytes that wait to be read by connections of the server.",
)
.of_gateway();

/// Messages that the server received.
pub const SERVER_IN_MESSAGES: Metric = Metric::counter(
    "nuncius_nats_server_in_messages_total",
    Unit::None,
    &["server"],
    "Messages that the server received.",
)
.of_gateway();

/// Messages that the server sent.
pub const SERVER_OUT_MESSAGES: Metric = Metric::counter(
    "nuncius_nats_server_out_messages_total",
    Unit::None,
    &["server"],
    "Messages that the server sent.",
)
.of_gateway();

/// Bytes that the server received.
pub const SERVER_IN_BYTES: Metric =
    Metric::counter("nuncius_nats_server_in_bytes_total", Unit::Bytes, &["server"], "Bytes that the server received.")
        .of_gateway();

/// Bytes that the server sent.
pub const SERVER_OUT_BYTES: Metric =
    Metric::counter("nuncius_nats_server_out_bytes_total", Unit::Bytes, &["server"], "Bytes that the server sent.")
        .of_gateway();

/// Processor cores that the server uses.
pub const SERVER_CPU_CORES: Metric =
    Metric::gauge("nuncius_nats_server_cpu_cores", Unit::Cores, &["server"], "Processor cores that the server uses.")
        .of_gateway();

/// Resident memory of the server.
pub const SERVER_MEMORY_BYTES: Metric =
    Metric::gauge("nuncius_nats_server_memory_bytes", Unit::Bytes, &["server"], "Resident memory of the server.")
        .of_gateway();

/// Bytes of streams that the server keeps on disk.
pub const SERVER_STORE_BYTES: Metric = Metric::gauge(
    "nuncius_nats_server_store_bytes",
    Unit::Bytes,
    &["server"],
    "Bytes of streams that the server keeps on disk.",
)
.of_gateway();

/// Most bytes that it may keep on disk.
pub const SERVER_STORE_LIMIT_BYTES: Metric = Metric::gauge(
    "nuncius_nats_server_store_limit_bytes",
    Unit::Bytes,
    &["server"],
    "Most bytes that it may keep on disk.",
)
.of_gateway();

/// Requests to the JetStream API that the server refused.
pub const SERVER_API_ERRORS: Metric = Metric::counter(
    "nuncius_nats_server_api_errors_total",
    Unit::None,
    &["server"],
    "Requests to the JetStream API that the server refused.",
)
.of_gateway();

/// Bytes of streams of the own account on disk.
pub const ACCOUNT_STORE_BYTES: Metric =
    Metric::gauge("nuncius_nats_account_store_bytes", Unit::Bytes, &[], "Bytes of streams of the own account on disk.")
        .of_gateway();

/// Most bytes that the own account may keep on disk; absent without a limit.
pub const ACCOUNT_STORE_LIMIT_BYTES: Metric = Metric::gauge(
    "nuncius_nats_account_store_limit_bytes",
    Unit::Bytes,
    &[],
    "Most bytes that the own account may keep on disk; absent without a limit.",
)
.of_gateway();

/// Streams of the own account.
pub const ACCOUNT_STREAMS: Metric =
    Metric::gauge("nuncius_nats_account_streams", Unit::None, &[], "Streams of the own account.").of_gateway();

/// Consumers of the own account.
pub const ACCOUNT_CONSUMERS: Metric =
    Metric::gauge("nuncius_nats_account_consumers", Unit::None, &[], "Consumers of the own account.").of_gateway();

/// Messages in a stream.
pub const STREAM_MESSAGES: Metric =
    Metric::gauge("nuncius_nats_stream_messages", Unit::None, &["stream"], "Messages in a stream.").of_gateway();

/// Bytes of a stream.
pub const STREAM_BYTES: Metric =
    Metric::gauge("nuncius_nats_stream_bytes", Unit::Bytes, &["stream"], "Bytes of a stream.").of_gateway();

/// Most bytes of a stream; absent without a limit.
pub const STREAM_LIMIT_BYTES: Metric = Metric::gauge(
    "nuncius_nats_stream_limit_bytes",
    Unit::Bytes,
    &["stream"],
    "Most bytes of a stream; absent without a limit.",
)
.of_gateway();

/// Most messages of a stream; absent without a limit.
pub const STREAM_LIMIT_MESSAGES: Metric = Metric::gauge(
    "nuncius_nats_stream_limit_messages",
    Unit::None,
    &["stream"],
    "Most messages of a stream; absent without a limit.",
)
.of_gateway();

/// Messages that a stream has taken: its last sequence.
pub const STREAM_PUBLISHED_MESSAGES: Metric = Metric::counter(
    "nuncius_nats_stream_published_messages_total",
    Unit::None,
    &["stream"],
    "Messages that a stream has taken: its last sequence.",
)
.of_gateway();

/// Consumers of a stream.
pub const STREAM_CONSUMERS: Metric =
    Metric::gauge("nuncius_nats_stream_consumers", Unit::None, &["stream"], "Consumers of a stream.").of_gateway();

/// Messages that a consumer has yet to be given.
pub const CONSUMER_PENDING_MESSAGES: Metric = Metric::gauge(
    "nuncius_nats_consumer_pending_messages",
    Unit::None,
    &["stream", "consumer"],
    "Messages that a consumer has yet to be given.",
)
.of_gateway();

/// Messages that a consumer was given and has not acknowledged.
pub const CONSUMER_ACK_PENDING_MESSAGES: Metric = Metric::gauge(
    "nuncius_nats_consumer_ack_pending_messages",
    Unit::None,
    &["stream", "consumer"],
    "Messages that a consumer was given and has not acknowledged.",
)
.of_gateway();

/// Messages that a consumer was given more than once and has not acknowledged.
pub const CONSUMER_REDELIVERED_MESSAGES: Metric = Metric::gauge(
    "nuncius_nats_consumer_redelivered_messages",
    Unit::None,
    &["stream", "consumer"],
    "Messages that a consumer was given more than once and has not acknowledged.",
)
.of_gateway();

/// Pulls that wait for a message of a consumer.
pub const CONSUMER_WAITING_PULLS: Metric = Metric::gauge(
    "nuncius_nats_consumer_waiting_pulls",
    Unit::None,
    &["stream", "consumer"],
    "Pulls that wait for a message of a consumer.",
)
.of_gateway();

/// Questions to servers that were not answered, by what was asked.
pub const SCRAPE_ERRORS: Metric = Metric::counter(
    "nuncius_nats_scrape_errors_total",
    Unit::None,
    &["what"],
    "Questions to servers that were not answered, by what was asked.",
)
.of_gateway();

/// All of them.
pub const ALL: &[&Metric] = &[
    &SERVER_INFO,
    &SERVER_START_TIME_SECONDS,
    &SERVER_CONNECTIONS,
    &SERVER_SUBSCRIPTIONS,
    &SERVER_SLOW_CONSUMERS,
    &SERVER_PENDING_BYTES,
    &SERVER_IN_MESSAGES,
    &SERVER_OUT_MESSAGES,
    &SERVER_IN_BYTES,
    &SERVER_OUT_BYTES,
    &SERVER_CPU_CORES,
    &SERVER_MEMORY_BYTES,
    &SERVER_STORE_BYTES,
    &SERVER_STORE_LIMIT_BYTES,
    &SERVER_API_ERRORS,
    &ACCOUNT_STORE_BYTES,
    &ACCOUNT_STORE_LIMIT_BYTES,
    &ACCOUNT_STREAMS,
    &ACCOUNT_CONSUMERS,
    &STREAM_MESSAGES,
    &STREAM_BYTES,
    &STREAM_LIMIT_BYTES,
    &STREAM_LIMIT_MESSAGES,
    &STREAM_PUBLISHED_MESSAGES,
    &STREAM_CONSUMERS,
    &CONSUMER_PENDING_MESSAGES,
    &CONSUMER_ACK_PENDING_MESSAGES,
    &CONSUMER_REDELIVERED_MESSAGES,
    &CONSUMER_WAITING_PULLS,
    &SCRAPE_ERRORS,
];
