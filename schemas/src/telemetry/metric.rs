//! What every figure of telemetry is: its name, unit and kind, what it is of, and how telemd called it.
//!
//! A figure that telemd has keeps telemd's name and gets a base unit.

/// Whether a figure only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It grows until what it is of begins anew.
    Counter,
    /// It rises and falls.
    Gauge,
}

/// The unit of a figure: a base unit, never a thousandth or a thousandfold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricUnit {
    /// A number of things.
    Number,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share, 0 to 1.
    Ratio,
    /// Hertz.
    Hertz,
    /// Watts.
    Watts,
    /// Joules.
    Joules,
    /// Degrees Celsius.
    Celsius,
    /// Bytes per second.
    BytesPerSecond,
    /// Bits per second.
    BitsPerSecond,
    /// Decibels over a milliwatt.
    DecibelMilliwatts,
}

impl MetricUnit {
    /// Its name, as it ends the names of metrics; empty for numbers of things.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
            Self::Hertz => "hertz",
            Self::Watts => "watts",
            Self::Joules => "joules",
            Self::Celsius => "celsius",
            Self::BytesPerSecond => "bytes_per_second",
            Self::BitsPerSecond => "bits_per_second",
            Self::DecibelMilliwatts => "dbm",
        }
    }
}

/// What a figure is of, where a machine has several: what its subsystem names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricOf {
    /// The whole machine: there is no subsystem.
    Machine,
    /// A processor.
    Core,
    /// `some` or `full`.
    Stall,
    /// A network interface.
    Interface,
    /// A disk.
    Disk,
    /// A state of sockets.
    State,
    /// A control group: the first twelve characters of a container's id, else the group's path.
    Cgroup,
    /// A meter of energy.
    Meter,
    /// A power rail.
    Rail,
    /// A thermal zone.
    Zone,
    /// A GPU, by its index.
    Gpu,
}

impl MetricOf {
    /// Name of the label that has it; none for the whole machine.
    pub const fn label(self) -> Option<&'static str> {
        match self {
            Self::Machine => None,
            Self::Core => Some("core"),
            Self::Stall => Some("stall"),
            Self::Interface => Some("interface"),
            Self::Disk => Some("disk"),
            Self::State => Some("state"),
            Self::Cgroup => Some("cgroup"),
            Self::Meter => Some("meter"),
            Self::Rail => Some("rail"),
            Self::Zone => Some("zone"),
            Self::Gpu => Some("gpu"),
        }
    }
}

/// What a figure is called by telemd, and what was mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelemdMetric {
    /// Unit there.
    pub unit: &'static str,
    /// What is different here, beside the unit.
    pub mended: &'static str,
}

/// A figure of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelemetryMetric {
    /// Its name, as it is stored and exported: telemd's where it has one.
    pub name: &'static str,
    /// Its name among the machine's metrics, without unit: the same for figures that differ only in whose group it is.
    pub family: &'static str,
    /// What tells it apart from the others of its family that are of the same thing: a label and its value.
    pub member: Option<(&'static str, &'static str)>,
    /// Its unit.
    pub unit: MetricUnit,
    /// Whether it only grows.
    pub kind: MetricKind,
    /// What it is of.
    pub of: MetricOf,
    /// What it tells, in a sentence without a stop.
    pub help: &'static str,
    /// What telemd has under this name.
    pub telemd: Option<TelemdMetric>,
}

impl TelemetryMetric {
    /// The name of its family for Prometheus: `nuncius_machine_cpu_user_seconds_total`.
    pub fn family_name(&self) -> String {
        let mut name = format!("nuncius_machine_{}", self.family);
        if !self.unit.name().is_empty() {
            name.push('_');
            name.push_str(self.unit.name());
        }
        if self.kind == MetricKind::Counter {
            name.push_str("_total");
        }
        name
    }
}
