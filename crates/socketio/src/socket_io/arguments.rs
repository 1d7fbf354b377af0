//! Arguments of events and acks: JSON values with places for attachments, and the attachments.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::error::ProtocolError;
use crate::json;
use crate::limits::{Limit, Limits};

const PLACEHOLDER: &str = "_placeholder";
const NUMBER: &str = "num";

/// What an event or an ack carries. `{"_placeholder":true,"num":0}` anywhere in the values is the place of the first
/// attachment, if there are attachments; without any it is an object like others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments {
    /// The values.
    pub values: Vec<Value>,
    /// Binary data, by the number in its place.
    pub attachments: Vec<Bytes>,
}

impl Arguments {
    /// Values without attachments.
    pub const fn of(values: Vec<Value>) -> Self {
        Self { values, attachments: Vec::new() }
    }

    /// Adds binary data; what comes back is its place, to be put among the values.
    pub fn attach(&mut self, data: Bytes) -> Value {
        self.attachments.push(data);
        placeholder(self.attachments.len() - 1)
    }

    /// The attachment whose place a value is.
    pub fn attachment(&self, value: &Value) -> Option<&Bytes> {
        self.attachments.get(usize::try_from(number_of(value)?).ok()?)
    }
}

/// The place of an attachment, counted from 0.
pub fn placeholder(number: usize) -> Value {
    json!({ PLACEHOLDER: true, NUMBER: number })
}

/// The number in a place; one that cannot be is `u64::MAX`.
fn number_of(value: &Value) -> Option<u64> {
    let is_place = value.get(PLACEHOLDER) == Some(&Value::Bool(true));
    is_place.then(|| value.get(NUMBER).and_then(Value::as_u64).unwrap_or(u64::MAX))
}

/// Whether the places of a packet that arrived are there.
pub(super) fn check_places(values: &[Value], attachments: usize) -> Result<(), ProtocolError> {
    let mut is_good = true;
    visit(values, &mut |number| is_good &= number < attachments as u64);
    let what = "an attachment has a place in the JSON with a number that there is not";
    if is_good { Ok(()) } else { Err(ProtocolError::Placeholder { what }) }
}

/// Whether what is to be sent is within limits, and each attachment has a place.
pub(super) fn check_sent(arguments: &Arguments, limits: &Limits) -> Result<(), ProtocolError> {
    json::check_depth_inside(arguments.values.iter(), limits)?;
    let attachments = arguments.attachments.len();
    if attachments == 0 {
        return Ok(());
    }
    limits.check(Limit::Attachments, attachments)?;
    limits.check(Limit::AttachmentBytes, arguments.attachments.iter().map(Bytes::len).sum())?;
    for data in &arguments.attachments {
        limits.check(Limit::PacketBytes, data.len())?;
    }
    check_places(&arguments.values, attachments)?;
    let mut is_used = vec![false; attachments];
    visit(&arguments.values, &mut |number| {
        if let Some(is_used) = usize::try_from(number).ok().and_then(|number| is_used.get_mut(number)) {
            *is_used = true;
        }
    });
    let what = "an attachment has no place in the JSON: write {\"_placeholder\":true,\"num\":0} for the first";
    if is_used.iter().all(|is_used| *is_used) { Ok(()) } else { Err(ProtocolError::Placeholder { what }) }
}

/// Tells the number of each place in these values, whose depth was checked.
fn visit(values: &[Value], tell: &mut impl FnMut(u64)) {
    for value in values {
        visit_one(value, tell);
    }
}

fn visit_one(value: &Value, tell: &mut impl FnMut(u64)) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        Value::Array(values) => visit(values, tell),
        Value::Object(members) => match number_of(value) {
            // Nothing inside of a place is looked at.
            Some(number) => tell(number),
            None => members.values().for_each(|value| visit_one(value, tell)),
        },
    }
}
