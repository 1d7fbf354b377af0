//! What is fixed of a family of samples before there are any.

/// What a sample says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A count since some start: it only grows. Its name ends in `_total`.
    Counter,
    /// A level that goes up and down.
    Gauge,
    /// A distribution, in buckets.
    Histogram,
    /// Always 1: what it says are its labels. Its name ends in `_info`.
    Info,
}

impl Kind {
    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// What a value is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Things that are counted: what they are is in the name.
    None,
    /// Seconds; of instants, since the Unix epoch.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share, most often 0 to 1.
    Ratio,
    /// Degrees Celsius.
    Celsius,
    /// Watts.
    Watts,
    /// Joules.
    Joules,
    /// Hertz.
    Hertz,
    /// Volts.
    Volts,
    /// Amperes.
    Amperes,
    /// Bytes in a second.
    BytesPerSecond,
    /// Bits in a second.
    BitsPerSecond,
    /// Decibels relative to a milliwatt.
    DecibelMilliwatts,
    /// Processor cores.
    Cores,
}

impl Unit {
    /// How names end, before any `_total`; empty where there is no unit.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
            Self::Celsius => "celsius",
            Self::Watts => "watts",
            Self::Joules => "joules",
            Self::Hertz => "hertz",
            Self::Volts => "volts",
            Self::Amperes => "amperes",
            Self::BytesPerSecond => "bytes_per_second",
            Self::BitsPerSecond => "bits_per_second",
            Self::DecibelMilliwatts => "dbm",
            Self::Cores => "cores",
        }
    }

    /// The unit as OpenTelemetry writes it (UCUM). Things that are counted have an annotation, which is no part of any
    /// name that is made from it.
    pub const fn ucum(self) -> &'static str {
        match self {
            Self::None => "{count}",
            Self::Seconds => "s",
            Self::Bytes => "By",
            Self::Ratio => "1",
            Self::Celsius => "Cel",
            Self::Watts => "W",
            Self::Joules => "J",
            Self::Hertz => "Hz",
            Self::Volts => "V",
            Self::Amperes => "A",
            Self::BytesPerSecond => "By/s",
            Self::BitsPerSecond => "bit/s",
            Self::DecibelMilliwatts => "dB[mW]",
            Self::Cores => "{core}",
        }
    }
}

/// Who reports a family, and so which of its series are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The gateway makes it from messages that speak for the whole system. Its labels are all there are.
    Gateway,
    /// Every process has its own: at the gateway the label `node`, the name of the process in the registry, comes
    /// before its labels.
    Process,
    /// Whoever holds the thing that its labels name, on behalf of all: of two who tell of it the later one counts.
    Holder,
}

/// A family of samples: everything but the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Metric {
    /// Its name as it is scraped: with its unit, and `_total` of counters.
    pub name: &'static str,
    /// What it says, for people; one sentence or two.
    pub help: &'static str,
    /// What its values are measured in.
    pub unit: Unit,
    /// What its samples are.
    pub kind: Kind,
    /// Names of its labels, in the order of their values.
    pub labels: &'static [&'static str],
    /// Who reports it.
    pub source: Source,
}

impl Metric {
    /// A counter, of whichever process reports it.
    pub const fn counter(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, help, unit, kind: Kind::Counter, labels, source: Source::Process }
    }

    /// A gauge, of whichever process reports it.
    pub const fn gauge(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, help, unit, kind: Kind::Gauge, labels, source: Source::Process }
    }

    /// A histogram, of whichever process reports it.
    pub const fn histogram(
        name: &'static str,
        unit: Unit,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, help, unit, kind: Kind::Histogram, labels, source: Source::Process }
    }

    /// Labels and no value, of whichever process reports it.
    pub const fn info(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, help, unit: Unit::None, kind: Kind::Info, labels, source: Source::Process }
    }

    /// The same, made by the gateway.
    pub const fn of_gateway(self) -> Self {
        Self { source: Source::Gateway, ..self }
    }

    /// The same, reported by whoever holds the thing.
    pub const fn of_holder(self) -> Self {
        Self { source: Source::Holder, ..self }
    }

    /// Its labels as they are scraped from the gateway.
    pub fn labels_scraped(&self) -> impl Iterator<Item = &'static str> + use<> {
        let node = match self.source {
            Source::Process => Some("node"),
            Source::Gateway | Source::Holder => None,
        };
        node.into_iter().chain(self.labels.iter().copied())
    }

    /// Its name without what its kind adds: `_total` and `_info`.
    pub fn base_name(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }
}
