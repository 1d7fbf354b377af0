//! How far a reader has come: the id of an event of the stream, and what a reader says in `Last-Event-ID`.

use std::fmt;
use std::str::FromStr;

use super::frame::Kind;

/// Two sequences: `SECOND.EVENT`. `SECOND` alone is taken, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Of the stream of seconds.
    pub(crate) second: u64,
    /// Of the stream of events.
    pub(crate) event: u64,
}

impl Place {
    /// Notes that a message was told.
    pub(crate) fn pass(&mut self, kind: Kind, sequence: u64) {
        match kind {
            Kind::Second => self.second = self.second.max(sequence),
            Kind::Event => self.event = self.event.max(sequence),
            Kind::Reset => *self = Self::default(),
        }
    }

    /// Whether a message comes after it.
    pub(crate) fn is_before(&self, kind: Kind, sequence: u64) -> bool {
        match kind {
            Kind::Second => sequence > self.second,
            Kind::Event => sequence > self.event,
            Kind::Reset => true,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.second, self.event)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (second, event) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
        let number = |text: &str| text.parse::<u64>().map_err(|_| ());
        Ok(Self { second: number(second)?, event: number(event)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place = Place { second: 7, event: 12 };
        assert_eq!(place.to_string().parse(), Ok(place));
        assert_eq!("7".parse(), Ok(Place { second: 7, event: 0 }));
        for wrong in ["", ".", "a", "1.b", "-1", "1.2.3"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_was_told_is_not_after_it() {
        let mut place = Place::default();
        place.pass(Kind::Second, 5);
        place.pass(Kind::Event, 9);
        assert_eq!(place, Place { second: 5, event: 9 });
        assert!(place.is_before(Kind::Second, 6) && !place.is_before(Kind::Second, 5));
        assert!(place.is_before(Kind::Event, 10) && !place.is_before(Kind::Event, 9));
    }
}
