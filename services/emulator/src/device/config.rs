//! How a device is set up, and what keeps it from being there.

use std::time::Duration;

use nuncius_bus::BusError;
use nuncius_schemas::names::{NameError, check_token};

use crate::stub::ServiceTime;

/// Most lanes of a device.
pub const MOST_LANES: u32 = 10_000;
/// Most requests that may be let wait before a device.
pub const MOST_QUEUE: u32 = 1_000_000;
/// Coldest and hottest that a device may be set up to be, in degrees Celsius.
const TEMPERATURES_CELSIUS: std::ops::RangeInclusive<f64> = -273.15..=10_000.0;

/// What the device is.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceConfig {
    /// Name, a token: part of its subject. The node is registered under it too, with a suffix where that is taken.
    pub name: String,
    /// Host name as the host gives it.
    pub host: String,
    /// Jobs that run at once.
    pub lanes: u32,
    /// The work of requests that do not say theirs: their time on a device of their own.
    pub work: ServiceTime,
    /// Seed of the draws of work.
    pub seed: u64,
    /// Contention: the share of the work that is serial, 0 to 1.
    pub alpha: f64,
    /// Coherency: what each pair of jobs costs, 0 to 1.
    pub beta: f64,
    /// Requests that may wait for a lane; one more is answered with an error at once.
    pub queue: u32,
    /// Its memory, in bytes.
    pub memory_bytes: u64,
    /// Memory in use while nothing runs, in bytes.
    pub memory_base_bytes: u64,
    /// Memory that each running job takes, in bytes.
    pub memory_per_job_bytes: u64,
    /// Temperature around it and of it while it is idle, in degrees Celsius.
    pub ambient_celsius: f64,
    /// How much warmer it gets when it is fully used, in degrees Celsius.
    pub heating_celsius: f64,
    /// Time in which it comes 63 % nearer to the temperature it is heading for.
    pub thermal_lag: Duration,
    /// Power it takes while idle, in watts.
    pub idle_watts: f64,
    /// Power it takes when fully used, in watts.
    pub max_watts: f64,
}

impl DeviceConfig {
    /// The defaults for a name: one lane, work of 100 ms, no slowdown, 10,000 may wait.
    pub fn new(name: &str, host: &str) -> Self {
        Self {
            name: name.to_owned(),
            host: host.to_owned(),
            lanes: 1,
            work: ServiceTime::Constant { service_ns: 100_000_000 },
            seed: 0,
            alpha: 0.0,
            beta: 0.0,
            queue: 10_000,
            memory_bytes: 24 << 30,
            memory_base_bytes: 512 << 20,
            memory_per_job_bytes: 64 << 20,
            ambient_celsius: 30.0,
            heating_celsius: 45.0,
            thermal_lag: Duration::from_secs(20),
            idle_watts: 25.0,
            max_watts: 300.0,
        }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`DeviceError::Name`] or [`DeviceError::Setting`].
    pub fn check(&self) -> Result<(), DeviceError> {
        let wrong = |setting, problem: String| Err(DeviceError::Setting { setting, problem });
        check_token("device", &self.name)?;
        if !(1..=MOST_LANES).contains(&self.lanes) {
            return wrong("lanes", format!("{} is out of range; write 1 to {MOST_LANES}", self.lanes));
        }
        if self.queue > MOST_QUEUE {
            return wrong("queue", format!("{} is above the limit of {MOST_QUEUE}", self.queue));
        }
        for (setting, share) in [("alpha", self.alpha), ("beta", self.beta)] {
            if !(0.0..=1.0).contains(&share) {
                return wrong(setting, format!("{share} is no share; write 0 to 1"));
            }
        }
        let jobs_bytes = self.memory_per_job_bytes.saturating_mul(u64::from(self.lanes));
        let most_bytes = self.memory_base_bytes.saturating_add(jobs_bytes);
        if most_bytes > self.memory_bytes {
            let problem = format!(
                "{} are not enough for {most_bytes}, the base and {} jobs; lower memory_per_job_bytes or lanes, or raise it",
                self.memory_bytes, self.lanes
            );
            return wrong("memory_bytes", problem);
        }
        let hottest_celsius = self.ambient_celsius + self.heating_celsius;
        for (setting, celsius) in [("ambient_celsius", self.ambient_celsius), ("heating_celsius", hottest_celsius)] {
            if !TEMPERATURES_CELSIUS.contains(&celsius) {
                let (least, most) = (TEMPERATURES_CELSIUS.start(), TEMPERATURES_CELSIUS.end());
                return wrong(setting, format!("makes it {celsius} degrees Celsius; stay within {least} to {most}"));
            }
        }
        if self.thermal_lag.is_zero() {
            return wrong("thermal_lag", "0 would be no lag; write 1ms for next to none".to_owned());
        }
        if !(self.idle_watts >= 0.0 && self.idle_watts <= self.max_watts && self.max_watts.is_finite()) {
            let problem = format!("{} and {} are no range; write 0 <= idle <= max", self.idle_watts, self.max_watts);
            return wrong("idle_watts and max_watts", problem);
        }
        Ok(())
    }
}

/// Why there is no device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Its name is no token.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A setting that cannot be meant.
    #[error("device setting {setting}: {problem}")]
    Setting {
        /// Its name in [`DeviceConfig`].
        setting: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The bus.
    #[error("emulated device: {0}")]
    Bus(#[from] BusError),
    /// The kernel gave no timer.
    #[error("the device has no timer: {0}; the limit of open files may be too low (ulimit -n)")]
    Timer(std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_be_meant_is_refused_by_its_name() {
        let refused = |setting: &str, change: fn(&mut DeviceConfig)| {
            let mut config = DeviceConfig::new("gpu-0", "lab");
            assert!(config.check().is_ok());
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(setting), "{setting}: {error}");
        };
        refused("device `gpu.0`", |config| config.name = "gpu.0".to_owned());
        refused("lanes", |config| config.lanes = 0);
        refused("lanes", |config| config.lanes = MOST_LANES + 1);
        refused("queue", |config| config.queue = MOST_QUEUE + 1);
        refused("alpha", |config| config.alpha = f64::NAN);
        refused("beta", |config| config.beta = 1.1);
        refused("memory_bytes", |config| config.memory_per_job_bytes = u64::MAX);
        refused("memory_bytes", |config| config.lanes = 1000);
        refused("ambient_celsius", |config| config.ambient_celsius = -300.0);
        refused("heating_celsius", |config| config.heating_celsius = f64::INFINITY);
        refused("thermal_lag", |config| config.thermal_lag = Duration::ZERO);
        refused("idle_watts", |config| config.idle_watts = 301.0);
        refused("max_watts", |config| config.max_watts = f64::NAN);
    }
}
