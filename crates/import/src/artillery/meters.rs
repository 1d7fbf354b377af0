//! What a processor counts and measures itself: meters here, which a specification declares by name.

use std::collections::BTreeMap;

use nuncius_schemas::meter::DeclaredMeter;
use nuncius_schemas::meter::{METERS_MAX, MeterKind, MeterUnit};
use serde::Serialize;

/// Meters that protocols have of their own, at most.
const OF_PROTOCOLS: usize = 6;
/// Names of meters begin with none of these: they are those of protocols.
const PROTOCOLS: [&str; 4] = ["ws_", "socketio_", "nats_", "amqp_"];
/// Longest name that is made, in bytes: there is room for a number behind it.
const NAME_MAX_BYTES: usize = 56;

/// What a processor emits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A sum.
    Counter,
    /// How values are distributed.
    Histogram,
    /// How often it happens.
    Rate,
    /// An error by its name: a counter `errors.<name>`.
    Error,
}

impl EventKind {
    /// As `emit` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Rate => "rate",
            Self::Error => "error",
        }
    }
}

/// A meter of the specification, and what the processor calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MeterOrigin {
    /// Its name in the specification.
    pub meter: String,
    /// What the processor emits.
    pub kind: EventKind,
    /// Under this name.
    pub name: String,
}

/// The meters of a processor.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    all: Vec<MeterOrigin>,
}

impl Meters {
    /// Adds a meter, unless it is there already.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn add(&mut self, kind: EventKind, name: &str) -> Result<(), String> {
        if self.all.iter().any(|known| known.kind == kind && known.name == name) {
            return Ok(());
        }
        let most = METERS_MAX - OF_PROTOCOLS;
        if self.all.len() >= most {
            return Err(format!("the processor counts and measures more than {most} things: `{name}` is left out"));
        }
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
        let mut base: String = name.chars().map(plain).take(NAME_MAX_BYTES).collect();
        if kind == EventKind::Error || PROTOCOLS.iter().any(|prefix| base.starts_with(prefix)) {
            base = format!("{}_{base}", kind.as_str()).chars().take(NAME_MAX_BYTES).collect();
        }
        let mut meter = base.clone();
        let mut number = 2;
        while self.all.iter().any(|known| known.meter == meter) {
            meter = format!("{base}_{number}");
            number += 1;
        }
        self.all.push(MeterOrigin { meter, kind, name: name.to_owned() });
        Ok(())
    }

    /// By kind and the name that the processor has for it: the name of the meter.
    pub(crate) fn by_event(&self) -> BTreeMap<&str, BTreeMap<&str, &str>> {
        let mut made: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        for MeterOrigin { meter, kind, name } in &self.all {
            made.entry(kind.as_str()).or_default().insert(name, meter);
        }
        made
    }

    /// As the specification declares them.
    pub(crate) fn declared(&self) -> BTreeMap<String, DeclaredMeter> {
        let declared = |origin: &MeterOrigin| {
            let kind = match origin.kind {
                EventKind::Histogram => MeterKind::Histogram,
                EventKind::Counter | EventKind::Rate | EventKind::Error => MeterKind::Counter,
            };
            (origin.meter.clone(), DeclaredMeter { kind, unit: MeterUnit::Number })
        };
        self.all.iter().map(declared).collect()
    }

    pub(crate) fn into_origins(self) -> Vec<MeterOrigin> {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::meter::{Meter, check_meters};

    use super::*;

    #[test]
    fn meters_have_names_that_a_specification_takes_and_keep_those_of_the_processor() {
        let mut meters = Meters::default();
        for (kind, name) in [
            (EventKind::Counter, "tokens.fresh"),
            (EventKind::Histogram, "tokens.fresh"),
            (EventKind::Counter, "tokens fresh"),
            (EventKind::Counter, "ws_sent"),
            (EventKind::Error, "E TOKEN"),
            (EventKind::Counter, "tokens.fresh"),
        ] {
            meters.add(kind, name).unwrap();
        }
        let names: Vec<&str> = meters.all.iter().map(|origin| origin.meter.as_str()).collect();
        assert_eq!(names, ["tokens_fresh", "tokens_fresh_2", "tokens_fresh_3", "counter_ws_sent", "error_E_TOKEN"]);
        assert_eq!(meters.by_event()["counter"]["tokens fresh"], "tokens_fresh_3");
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_names_the_meters_are_ones_that_a_group_may_have(
            names in proptest::collection::vec(".{1,80}", 0..90),
        ) {
            let mut meters = Meters::default();
            let added = names.iter().filter(|name| meters.add(EventKind::Counter, name).is_ok()).count();
            proptest::prop_assert!(added == names.len() || names.len() > METERS_MAX - OF_PROTOCOLS);
            let declared: Vec<Meter> = meters
                .declared()
                .into_iter()
                .map(|(name, declared)| Meter { name, kind: declared.kind, unit: declared.unit })
                .collect();
            proptest::prop_assert_eq!(check_meters(&declared), Ok(()));
        }
    }
}
