//! The form in which a record is written: that of the job. Who submits JSON reads JSON; Nuncius' own programs read
//! MessagePack.

use bytes::Bytes;
use nuncius_bus::typed::CONTENT_TYPE_MESSAGE_PACK;
use nuncius_bus::{Headers, TypedError};
use nuncius_schemas::codec;
use nuncius_schemas::job::JobResult;
use nuncius_schemas::subjects::{HEADER_ACCEPT, HEADER_CONTENT_TYPE};

use crate::JobError;

/// MIME type of JSON.
const CONTENT_TYPE_JSON: &str = "application/json";

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    MessagePack,
    Json,
}

impl Form {
    /// What the job asks for with `Nuncius-Accept`, else what its `Content-Type` says it is, else what it looks like:
    /// MessagePack where it is a MessagePack map, and JSON otherwise, also where it is empty or nothing at all.
    pub(crate) fn of(headers: &Headers, payload: &[u8]) -> Self {
        let named = |header| headers.get(header).and_then(Self::named);
        if let Some(form) = named(HEADER_ACCEPT).or_else(|| named(HEADER_CONTENT_TYPE)) {
            return form;
        }
        match payload.first() {
            Some(0x80..=0x8f | 0xde | 0xdf) => Self::MessagePack,
            Some(_) | None => Self::Json,
        }
    }

    /// Parameters, as in `application/json; charset=utf-8`, change nothing.
    fn named(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" | "text/json" => Some(Self::Json),
            "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => Some(Self::MessagePack),
            _ => None,
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::MessagePack => CONTENT_TYPE_MESSAGE_PACK,
            Self::Json => CONTENT_TYPE_JSON,
        }
    }

    pub(crate) fn encode(self, result: &JobResult) -> Result<Bytes, JobError> {
        let failed = |source| TypedError::Codec { what: format!("record of job {}", result.job), source };
        match self {
            Self::MessagePack => Ok(codec::encode(result).map_err(failed)?.into()),
            Self::Json => serde_json::to_vec(result)
                .map(Bytes::from)
                .map_err(|error| failed(codec::CodecError::Encode(error.to_string())).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_form_of_the_question_unless_another_is_asked_for() {
        let none = Headers::new();
        for (payload, form) in [
            (b"{\"args\":[]}" as &[u8], Form::Json),
            (b" {}", Form::Json),
            (b"", Form::Json),
            (b"rubbish", Form::Json),
            (b"\x80", Form::MessagePack),
            (b"\xde\x00\x00", Form::MessagePack),
        ] {
            assert_eq!(Form::of(&none, payload), form, "{payload:?}");
        }
        let typed = Headers::new().with(HEADER_CONTENT_TYPE, "application/json; charset=utf-8");
        assert_eq!(Form::of(&typed, b"\x80"), Form::Json);
        let typed = typed.with(HEADER_ACCEPT, "Application/X-MsgPack");
        assert_eq!(Form::of(&typed, b"{}"), Form::MessagePack);
        let unknown = Headers::new().with(HEADER_ACCEPT, "text/html");
        assert_eq!(Form::of(&unknown, b"{}"), Form::Json);
    }
}
