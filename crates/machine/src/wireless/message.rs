//! Messages of generic netlink, as far as nl80211 needs them (include/uapi/linux/netlink.h, genetlink.h, nl80211.h).
//!
//! All numbers are in the byte order of the machine.

use nuncius_schemas::telemetry::WirelessTelemetry;

/// Kinds of messages.
pub(super) const ERROR: u16 = 2;
pub(super) const DONE: u16 = 3;
const CONTROLLER: u16 = 16;
/// Flags: a request, and one for all there are.
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;

const GET_FAMILY: u8 = 3;
const ATTRIBUTE_FAMILY_ID: u16 = 1;
const ATTRIBUTE_FAMILY_NAME: u16 = 2;

const GET_STATION: u8 = 17;
const ATTRIBUTE_INTERFACE: u16 = 3;
const ATTRIBUTE_STATION: u16 = 21;
const STATION_SIGNAL: u16 = 7;
const STATION_SENT_RATE: u16 = 8;
const STATION_RECEIVED_RATE: u16 = 14;
const RATE_16: u16 = 1;
const RATE_32: u16 = 5;
/// Rates are in hundreds of kilobits per second.
const RATE_UNIT: u64 = 100_000;

/// Without nested and byte-order bits.
const TYPE_MASK: u16 = 0x3fff;
const HEADER_BYTES: usize = 16;
const GENERIC_BYTES: usize = 4;

/// A message: its kind and what follows its header.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) body: &'a [u8],
}

/// The question for a family's number.
pub(super) fn get_family(name: &str) -> Vec<u8> {
    let mut value = name.as_bytes().to_vec();
    value.push(0);
    request(CONTROLLER, 0, GET_FAMILY, ATTRIBUTE_FAMILY_NAME, &value)
}

/// The question for the stations of an interface.
pub(super) fn get_stations(family: u16, interface: u32) -> Vec<u8> {
    request(family, DUMP, GET_STATION, ATTRIBUTE_INTERFACE, &interface.to_ne_bytes())
}

fn request(kind: u16, flags: u16, command: u8, attribute: u16, value: &[u8]) -> Vec<u8> {
    let attribute_bytes = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let total = HEADER_BYTES + GENERIC_BYTES + value.len().next_multiple_of(4) + 4;
    let mut bytes = u32::try_from(total).unwrap_or(u32::MAX).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((REQUEST | flags).to_ne_bytes());
    // Sequence and port: one question at a time is asked on a socket.
    bytes.extend([0; 8]);
    bytes.extend([command, 0, 0, 0]);
    bytes.extend(attribute_bytes.to_ne_bytes());
    bytes.extend(attribute.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(total, 0);
    bytes
}

/// The messages of a datagram; those that are cut off are left out.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(number_32(bytes)?).ok().filter(|length| *length >= HEADER_BYTES)?;
        let message = bytes.get(..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind: number_16(message.get(4..)?)?, body: message.get(HEADER_BYTES..)? })
    })
}

/// Attributes: kind and value.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(number_16(bytes)?);
        let attribute = bytes.get(..length).filter(|attribute| attribute.len() >= 4)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((number_16(attribute.get(2..)?)? & TYPE_MASK, attribute.get(4..)?))
    })
}

/// The number of a family in the controller's answer.
pub(super) fn family(body: &[u8]) -> Option<u16> {
    attributes(body.get(GENERIC_BYTES..)?)
        .find(|(kind, _)| *kind == ATTRIBUTE_FAMILY_ID)
        .and_then(|(_, id)| number_16(id))
}

/// What a message says of a station.
pub(super) fn station(body: &[u8]) -> Option<WirelessTelemetry> {
    let station = attributes(body.get(GENERIC_BYTES..)?).find(|(kind, _)| *kind == ATTRIBUTE_STATION)?.1;
    let mut found = WirelessTelemetry::default();
    for (kind, value) in attributes(station) {
        match kind {
            STATION_SIGNAL => found.signal_dbm = value.first().map(|byte| f64::from(byte.cast_signed())),
            STATION_SENT_RATE => found.sent_bits_per_second = rate(value),
            STATION_RECEIVED_RATE => found.received_bits_per_second = rate(value),
            _ => {}
        }
    }
    Some(found)
}

fn rate(nested: &[u8]) -> Option<u64> {
    let find = |wanted| attributes(nested).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let units = find(RATE_32).and_then(number_32).or_else(|| find(RATE_16).and_then(number_16).map(u32::from))?;
    Some(u64::from(units) * RATE_UNIT)
}

/// The error that a message tells, as a number of the system; 0 is none.
pub(super) fn error(body: &[u8]) -> i32 {
    number_32(body).map_or(0, |number| number.cast_signed().saturating_neg())
}

fn number_16(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?))
}

fn number_32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(4 + value.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(HEADER_BYTES + body.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_station_is_told_in_bits_per_second() {
        let sent =
            [attribute(RATE_16, &65_535u16.to_ne_bytes()), attribute(RATE_32, &86_670u32.to_ne_bytes())].concat();
        let received = attribute(RATE_16, &60u16.to_ne_bytes());
        let station_bytes = [
            attribute(STATION_SIGNAL, &[(-55i8).cast_unsigned()]),
            attribute(STATION_SENT_RATE, &sent),
            attribute(STATION_RECEIVED_RATE, &received),
            attribute(99, &[1, 2, 3]),
        ]
        .concat();
        let body = [
            vec![19, 1, 0, 0],
            attribute(ATTRIBUTE_INTERFACE, &3u32.to_ne_bytes()),
            // Nested attributes may carry a bit that says so.
            attribute(ATTRIBUTE_STATION | 0x8000, &station_bytes),
        ]
        .concat();
        let datagram = [message(28, &body), message(DONE, &0u32.to_ne_bytes())].concat();
        let found: Vec<Message<'_>> = messages(&datagram).collect();
        assert_eq!(found.iter().map(|message| message.kind).collect::<Vec<_>>(), [28, DONE]);
        let wifi = station(found[0].body).unwrap();
        assert_eq!(wifi.signal_dbm, Some(-55.0));
        assert_eq!(wifi.sent_bits_per_second, Some(8_667_000_000));
        assert_eq!(wifi.received_bits_per_second, Some(6_000_000));
    }

    #[test]
    fn a_question_is_made_as_the_kernel_wants_it() {
        let bytes = get_family("nl80211");
        assert_eq!(bytes.len(), 32);
        let asked = messages(&bytes).next().unwrap();
        assert_eq!((asked.kind, asked.body[0]), (CONTROLLER, GET_FAMILY));
        let (kind, value) = attributes(&asked.body[GENERIC_BYTES..]).next().unwrap();
        assert_eq!((kind, value), (ATTRIBUTE_FAMILY_NAME, &b"nl80211\0"[..]));
        assert_eq!(error(&(-2i32).to_ne_bytes()), 2);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes: Vec<u8>) {
            for message in messages(&bytes) {
                station(message.body);
                family(message.body);
                error(message.body);
            }
            station(&bytes);
        }
    }
}
