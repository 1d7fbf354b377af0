//! Messages instead of bytes: MessagePack with named fields, with its content type, schema name and trace context.

use std::time::Duration;

use bytes::Bytes;
use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::subjects::{HEADER_CONTENT_TYPE, HEADER_SCHEMA, HEADER_TRACEPARENT};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Bus, BusError, Headers, Message, PubAck, inject_current};

/// MIME type of JSON.
pub const CONTENT_TYPE_JSON: &str = "application/json";

/// MIME type of MessagePack.
pub const CONTENT_TYPE_MESSAGE_PACK: &str = "application/msgpack";

/// A message that could not be sent, or an answer that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TypedError {
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The bytes.
    #[error("{what}: {source}")]
    Codec {
        /// Subject or type.
        what: String,
        /// What was wrong.
        source: CodecError,
    },
}

/// Headers of a message of this schema, with the current span as its parent.
pub fn headers(schema: &str) -> Headers {
    let mut headers = headers_of(schema, None);
    inject_current(&mut headers);
    headers
}

/// The same with the span that a `traceparent` names as its parent, or none.
pub fn headers_of(schema: &str, traceparent: Option<&str>) -> Headers {
    let headers = Headers::new().with(HEADER_CONTENT_TYPE, CONTENT_TYPE_MESSAGE_PACK).with(HEADER_SCHEMA, schema);
    match traceparent {
        Some(traceparent) => headers.with(HEADER_TRACEPARENT, traceparent),
        None => headers,
    }
}

fn bytes_of<T: Serialize>(what: &str, message: &T) -> Result<Bytes, TypedError> {
    codec::encode(message).map(Bytes::from).map_err(|source| TypedError::Codec { what: what.to_owned(), source })
}

/// Headers and bytes of an answer, in the form of its question: JSON to JSON and other text, else MessagePack.
///
/// No map of MessagePack begins with an ASCII character; a question without a payload is a process's own.
fn answer_in_form_of<T: Serialize>(
    question: &[u8],
    schema: &str,
    answer: &T,
    what: &str,
) -> Result<(Headers, Bytes), TypedError> {
    let is_text = question.trim_ascii_start().first().is_some_and(u8::is_ascii);
    if !is_text {
        return Ok((headers(schema), bytes_of(what, answer)?));
    }
    let text = serde_json::to_vec(answer)
        .map_err(|error| TypedError::Codec { what: what.to_owned(), source: CodecError::Encode(error.to_string()) })?;
    Ok((headers(schema).with(HEADER_CONTENT_TYPE, CONTENT_TYPE_JSON), text.into()))
}

impl Bus {
    /// Publishes an answer to a question that came some other way, in the form of the question; may be lost.
    ///
    /// # Errors
    /// When it cannot be written or sent.
    pub async fn publish_answer<T: Serialize>(
        &self,
        subject: &str,
        schema: &str,
        answer: &T,
        question: &[u8],
    ) -> Result<(), TypedError> {
        let (headers, payload) = answer_in_form_of(question, schema, answer, subject)?;
        Ok(self.publish(subject, &headers, payload).await?)
    }

    /// Publishes without any acknowledgement: may be lost.
    pub async fn publish_message<T: Serialize>(
        &self,
        subject: &str,
        schema: &str,
        message: &T,
    ) -> Result<(), TypedError> {
        let payload = bytes_of(subject, message)?;
        Ok(self.publish(subject, &headers(schema), payload).await?)
    }

    /// Publishes into a stream and waits for its acknowledgement.
    pub async fn store_message<T: Serialize>(
        &self,
        subject: &str,
        schema: &str,
        message: &T,
        message_id: Option<&str>,
    ) -> Result<PubAck, TypedError> {
        self.store_with(subject, &headers(schema), message, message_id).await
    }

    /// The same with headers of one's own.
    ///
    /// # Errors
    /// As [`Bus::publish_acked`], and when it cannot be written.
    pub async fn store_with<T: Serialize>(
        &self,
        subject: &str,
        headers: &Headers,
        message: &T,
        message_id: Option<&str>,
    ) -> Result<PubAck, TypedError> {
        let payload = bytes_of(subject, message)?;
        Ok(self.publish_acked(subject, headers, payload, message_id, None).await?)
    }

    /// Asks and reads the answer.
    pub async fn request_message<T: Serialize, R: DeserializeOwned>(
        &self,
        subject: &str,
        schema: &str,
        message: &T,
        timeout: Duration,
    ) -> Result<R, TypedError> {
        self.request_with(subject, &headers(schema), message, timeout).await
    }

    /// The same with headers of one's own.
    ///
    /// # Errors
    /// As [`Bus::request`], and when question or answer are not what they should be.
    pub async fn request_with<T: Serialize, R: DeserializeOwned>(
        &self,
        subject: &str,
        headers: &Headers,
        message: &T,
        timeout: Duration,
    ) -> Result<R, TypedError> {
        let payload = bytes_of(subject, message)?;
        let answer = self.request(subject, headers, payload, timeout).await?;
        answer.decode().map_err(|source| TypedError::Codec { what: format!("answer of {subject}"), source })
    }
}

impl Message {
    /// The payload as a message.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, CodecError> {
        codec::decode(&self.payload)
    }

    /// Answers with a message, in the form of the question.
    ///
    /// # Errors
    /// When it cannot be written or sent.
    pub async fn respond_message<T: Serialize>(&self, schema: &str, message: &T) -> Result<(), TypedError> {
        let (headers, payload) = answer_in_form_of(&self.payload, schema, message, &self.subject)?;
        Ok(self.respond(&headers, payload).await?)
    }
}
