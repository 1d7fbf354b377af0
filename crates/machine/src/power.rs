//! Energy meters of processors (RAPL), power rails of boards (Jetson), thermal zones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nuncius_schemas::telemetry::{EnergyTelemetry, RailTelemetry, ThermalTelemetry};

use crate::counter::around;
use crate::source::{Source, Tree, names_at};

/// More than any part of a processor takes, in watts: a meter that would have taken more has begun anew.
const WATTS_MAX: u64 = 10_000;

/// Reads what meters and sensors there were at the beginning.
#[derive(Debug)]
pub(crate) struct Power {
    meters: Vec<Meter>,
    rails: Vec<Rail>,
    zones: Vec<(String, PathBuf)>,
    is_found: bool,
    read_ns: u64,
}

#[derive(Debug)]
struct Meter {
    zone: String,
    energy: PathBuf,
    range_microjoules: Option<u64>,
    before: Option<u64>,
    microjoules: u64,
}

/// Where a rail tells its power: in milliwatts, or as millivolts and milliamperes.
#[derive(Debug)]
enum Rail {
    Milliwatts(String, PathBuf),
    Product(String, PathBuf, PathBuf),
}

impl Power {
    pub(crate) fn new() -> Self {
        Self { meters: Vec::new(), rails: Vec::new(), zones: Vec::new(), is_found: false, read_ns: 0 }
    }

    fn find(&mut self, source: &mut Source, limit: usize) {
        self.meters = meters(source, limit);
        self.rails = rails(source, limit);
        self.zones = zones(source, limit);
        self.is_found = true;
    }

    /// Meters, rails and zones.
    pub(crate) fn read(
        &mut self,
        source: &mut Source,
        now_ns: u64,
        limit: usize,
    ) -> (Vec<EnergyTelemetry>, Vec<RailTelemetry>, Vec<ThermalTelemetry>) {
        if !self.is_found {
            self.find(source, limit);
        }
        let elapsed_ns = now_ns.saturating_sub(self.read_ns);
        self.read_ns = now_ns;
        let energy = self.meters.iter_mut().filter_map(|meter| meter.read(source, elapsed_ns)).collect();
        let rails = self.rails.iter().filter_map(|rail| rail.read(source)).collect();
        let zones = self.zones.iter().filter_map(|(zone, path)| {
            let millidegrees = source.signed_at(path)?;
            Some(ThermalTelemetry { zone: zone.clone(), temperature_celsius: millidegrees as f64 / 1e3 })
        });
        (energy, rails, zones.collect())
    }
}

impl Meter {
    fn read(&mut self, source: &mut Source, elapsed_ns: u64) -> Option<EnergyTelemetry> {
        let now = source.number_at(&self.energy)?;
        let before = self.before.replace(now);
        // Watts over nanoseconds are nanojoules.
        let most = elapsed_ns.saturating_mul(WATTS_MAX) / 1_000;
        let since = before.and_then(|before| around(before, now, self.range_microjoules, most));
        self.microjoules = self.microjoules.saturating_add(since.unwrap_or(0));
        let power_watts = since.filter(|_| elapsed_ns > 0).map(|since| since as f64 * 1e3 / elapsed_ns as f64);
        Some(EnergyTelemetry { zone: self.zone.clone(), energy_joules: self.microjoules as f64 / 1e6, power_watts })
    }
}

/// The zones of the kernel's power capping that meter energy: whole processors and their parts.
fn meters(source: &mut Source, limit: usize) -> Vec<Meter> {
    let directory = source.path(Tree::Sys, "class/powercap");
    let mut names = BTreeMap::new();
    let mut meters: Vec<Meter> = Vec::new();
    // `intel-rapl:0` before `intel-rapl:0:1`: shorter names come first. The same meters through registers of another
    // kind are `intel-rapl-mmio:0`.
    for entry in names_at(&directory) {
        let Some(place) = entry.strip_prefix("intel-rapl:") else { continue };
        let zone = directory.join(&entry);
        let Some(name) = source.line_at(&zone.join("name")) else { continue };
        let parent = place.rsplit_once(':').and_then(|(parent, _)| names.get(parent));
        let mut name = parent.map_or_else(|| name.clone(), |parent| format!("{parent}/{name}"));
        if meters.iter().any(|meter| meter.zone == name) {
            name = format!("{name}:{place}");
        }
        names.insert(place.to_owned(), name.clone());
        let energy = zone.join("energy_uj");
        if meters.len() < limit && energy.exists() {
            let range_microjoules = source.number_at(&zone.join("max_energy_range_uj"));
            meters.push(Meter { zone: name, energy, range_microjoules, before: None, microjoules: 0 });
        }
    }
    meters
}

impl Rail {
    fn read(&self, source: &mut Source) -> Option<RailTelemetry> {
        let (rail, power_watts) = match self {
            Self::Milliwatts(rail, power) => (rail, source.signed_at(power)? as f64 / 1e3),
            Self::Product(rail, voltage, current) => {
                let millivolts = source.signed_at(voltage)? as f64;
                (rail, millivolts * source.signed_at(current)? as f64 / 1e6)
            }
        };
        Some(RailTelemetry { rail: rail.clone(), power_watts })
    }
}

/// Rails behind INA3221 monitors: of TX1, TX2, Xavier and Nano as devices of an I/O subsystem, of later kernels as
/// hardware monitors.
fn rails(source: &mut Source, limit: usize) -> Vec<Rail> {
    let mut rails = Vec::new();
    let driver = source.path(Tree::Sys, "bus/i2c/drivers/ina3221x");
    for chip in names_at(&driver) {
        let chip = driver.join(chip);
        for device in names_at(&chip).into_iter().filter(|name| name.starts_with("iio:device")) {
            let device = chip.join(device);
            for number in 0..3 {
                let power = device.join(format!("in_power{number}_input"));
                if let Some(name) = source.line_at(&device.join(format!("rail_name_{number}")))
                    && power.exists()
                {
                    rails.push(Rail::Milliwatts(name, power));
                }
            }
        }
    }
    let monitors = source.path(Tree::Sys, "class/hwmon");
    for monitor in names_at(&monitors) {
        let monitor = monitors.join(monitor);
        if source.line_at(&monitor.join("name")).as_deref() != Some("ina3221") {
            continue;
        }
        for number in 1..=3 {
            let (voltage, current) =
                (monitor.join(format!("in{number}_input")), monitor.join(format!("curr{number}_input")));
            if let Some(name) = source.line_at(&monitor.join(format!("in{number}_label")))
                && voltage.exists()
                && current.exists()
            {
                rails.push(Rail::Product(name, voltage, current));
            }
        }
    }
    rails.truncate(limit);
    rails
}

/// Thermal zones, with their numbers where several have the same name.
fn zones(source: &mut Source, limit: usize) -> Vec<(String, PathBuf)> {
    let directory = source.path(Tree::Sys, "class/thermal");
    let mut zones: Vec<(String, PathBuf)> = Vec::new();
    for entry in names_at(&directory) {
        let Some(number) = entry.strip_prefix("thermal_zone") else { continue };
        let zone: &Path = &directory.join(&entry);
        let Some(name) = source.line_at(&zone.join("type")) else { continue };
        let name = if zones.iter().any(|(other, _)| *other == name) { format!("{name}-{number}") } else { name };
        zones.push((name, zone.join("temp")));
    }
    zones.truncate(limit);
    zones
}

#[cfg(test)]
mod tests {
    use nuncius_testkit::TempDir;

    use super::*;
    use crate::config::Roots;

    struct Tree(TempDir);

    impl Tree {
        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join("sys").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    fn tree() -> (Tree, Source) {
        let root = TempDir::new("power").unwrap();
        let source = Source::new(Roots::below(root.path()));
        (Tree(root), source)
    }

    #[test]
    fn a_meter_that_wraps_around_goes_on_and_one_that_begins_anew_loses_nothing_it_had() {
        const SECOND_NS: u64 = 1_000_000_000;
        let (tree, mut source) = tree();
        for (zone, name, energy) in [
            ("intel-rapl:0", "package-0", "262143000000"),
            ("intel-rapl:0:0", "core", "5"),
            ("intel-rapl:1", "package-1", "7"),
            ("intel-rapl:1:0", "core", "9"),
        ] {
            tree.write(&format!("class/powercap/{zone}/name"), name);
            tree.write(&format!("class/powercap/{zone}/energy_uj"), energy);
            tree.write(&format!("class/powercap/{zone}/max_energy_range_uj"), "262143328850");
        }
        tree.write("class/powercap/intel-rapl/enabled", "1");
        let mut power = Power::new();
        let (first, _, _) = power.read(&mut source, SECOND_NS, 64);
        let zones: Vec<&str> = first.iter().map(|meter| meter.zone.as_str()).collect();
        assert_eq!(zones, ["package-0", "package-1", "package-0/core", "package-1/core"]);
        assert!(first.iter().all(|meter| meter.energy_joules == 0.0 && meter.power_watts.is_none()));
        // Over its end by 1 J, in a second.
        tree.write("class/powercap/intel-rapl:0/energy_uj", "671150");
        // Less than before, and too far around: the driver was loaded anew.
        tree.write("class/powercap/intel-rapl:1/energy_uj", "6");
        let (second, _, _) = power.read(&mut source, 2 * SECOND_NS, 64);
        assert_eq!((second[0].energy_joules, second[0].power_watts), (1.0, Some(1.0)));
        assert_eq!((second[1].energy_joules, second[1].power_watts), (0.0, None));
        tree.write("class/powercap/intel-rapl:1/energy_uj", "2000006");
        let (third, _, _) = power.read(&mut source, 3 * SECOND_NS, 64);
        assert_eq!((third[1].energy_joules, third[1].power_watts), (2.0, Some(2.0)));
        // Vanished: nothing is told of it, and nothing else is lost.
        std::fs::remove_file(tree.0.path().join("sys/class/powercap/intel-rapl:0/energy_uj")).unwrap();
        assert_eq!(power.read(&mut source, 4 * SECOND_NS, 64).0.len(), 3);
        assert!(source.problems().take_fresh().is_empty());
    }

    #[test]
    fn rails_of_old_and_new_boards_are_told_in_watts() {
        let (tree, mut source) = tree();
        let old = "bus/i2c/drivers/ina3221x/0-0041/iio:device1";
        tree.write(&format!("{old}/rail_name_0"), "VDD_SYS_GPU\n");
        tree.write(&format!("{old}/in_power0_input"), "1234\n");
        tree.write(&format!("{old}/rail_name_1"), "VDD_SYS_SOC\n");
        let new = "class/hwmon/hwmon3";
        tree.write(&format!("{new}/name"), "ina3221\n");
        tree.write(&format!("{new}/in1_label"), "VDD_IN\n");
        tree.write(&format!("{new}/in1_input"), "5000\n");
        tree.write(&format!("{new}/curr1_input"), "800\n");
        tree.write("class/hwmon/hwmon0/name", "acpitz\n");
        let (_, rails, _) = Power::new().read(&mut source, 1, 64);
        let told: Vec<(&str, f64)> = rails.iter().map(|rail| (rail.rail.as_str(), rail.power_watts)).collect();
        assert_eq!(told, [("VDD_SYS_GPU", 1.234), ("VDD_IN", 4.0)]);
    }

    #[test]
    fn zones_of_the_same_name_are_told_apart() {
        let (tree, mut source) = tree();
        for (number, name, temperature) in
            [(0, "acpitz", "27800"), (1, "acpitz", "-5000"), (10, "x86_pkg_temp", "51500")]
        {
            tree.write(&format!("class/thermal/thermal_zone{number}/type"), name);
            tree.write(&format!("class/thermal/thermal_zone{number}/temp"), temperature);
        }
        let (_, _, zones) = Power::new().read(&mut source, 1, 64);
        let told: Vec<(&str, f64)> = zones.iter().map(|zone| (zone.zone.as_str(), zone.temperature_celsius)).collect();
        assert_eq!(told, [("acpitz", 27.8), ("acpitz-1", -5.0), ("x86_pkg_temp", 51.5)]);
    }
}
