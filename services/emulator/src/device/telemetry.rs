//! What the device says of itself every second: figures that move as a real one's do.

use nuncius_schemas::units::SECOND_NS;
use nuncius_schemas::worker::DeviceSample;

use super::config::DeviceConfig;

/// The state that figures follow from.
pub(crate) struct Telemetry {
    config: DeviceConfig,
    sampled_ns: u64,
    busy_lane_ns: u128,
    temperature_celsius: f64,
}

impl Telemetry {
    /// As cold as its surroundings, at instant 0.
    pub(crate) fn new(config: &DeviceConfig) -> Self {
        let temperature_celsius = config.ambient_celsius;
        Self { config: config.clone(), sampled_ns: 0, busy_lane_ns: 0, temperature_celsius }
    }

    /// The figures at `now_ns`, since the sample before. `busy_lane_ns` is the time that lanes have been occupied so
    /// far, summed over the lanes; `running` the jobs that run now.
    pub(crate) fn sample(&mut self, now_ns: u64, busy_lane_ns: u128, running: u32) -> DeviceSample {
        let config = &self.config;
        let passed_ns = now_ns.saturating_sub(self.sampled_ns);
        let lanes = f64::from(config.lanes.max(1));
        let utilization = if passed_ns == 0 {
            f64::from(running) / lanes
        } else {
            busy_lane_ns.saturating_sub(self.busy_lane_ns) as f64 / (lanes * passed_ns as f64)
        };
        let utilization = utilization.clamp(0.0, 1.0);
        // The exact answer of a first-order lag to a target that stood still since the sample before.
        let target_celsius = config.ambient_celsius + config.heating_celsius * utilization;
        let passed_lags = passed_ns as f64 / SECOND_NS as f64 / config.thermal_lag.as_secs_f64();
        self.temperature_celsius += (target_celsius - self.temperature_celsius) * -libm::expm1(-passed_lags);
        self.sampled_ns = self.sampled_ns.max(now_ns);
        self.busy_lane_ns = busy_lane_ns;
        let jobs_bytes = config.memory_per_job_bytes.saturating_mul(u64::from(running));
        DeviceSample {
            name: config.name.clone(),
            emulated: true,
            utilization: Some(utilization),
            memory_used_bytes: Some(config.memory_base_bytes.saturating_add(jobs_bytes)),
            temperature_celsius: Some(self.temperature_celsius),
            power_watts: Some(config.idle_watts + (config.max_watts - config.idle_watts) * utilization),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn config() -> DeviceConfig {
        DeviceConfig {
            lanes: 4,
            ambient_celsius: 20.0,
            heating_celsius: 40.0,
            thermal_lag: Duration::from_secs(10),
            idle_watts: 50.0,
            max_watts: 250.0,
            memory_base_bytes: 1000,
            memory_per_job_bytes: 10,
            ..DeviceConfig::new("gpu-0", "lab")
        }
    }

    #[test]
    fn utilization_is_the_share_of_lane_time_since_the_sample_before() {
        let mut telemetry = Telemetry::new(&config());
        let idle = telemetry.sample(SECOND_NS, 0, 0);
        assert_eq!((idle.utilization, idle.memory_used_bytes), (Some(0.0), Some(1000)));
        assert_eq!((idle.temperature_celsius, idle.power_watts), (Some(20.0), Some(50.0)));
        let half = telemetry.sample(2 * SECOND_NS, 2 * u128::from(SECOND_NS), 3);
        assert_eq!((half.utilization, half.memory_used_bytes), (Some(0.5), Some(1030)));
        assert_eq!(half.power_watts, Some(150.0));
        assert!(half.emulated);
        let again = telemetry.sample(2 * SECOND_NS, 2 * u128::from(SECOND_NS), 1);
        assert_eq!(again.utilization, Some(0.25));
    }

    #[test]
    fn temperature_follows_utilization_by_its_lag_and_falls_back_to_ambient() {
        let mut telemetry = Telemetry::new(&config());
        let (mut busy_lane_ns, mut before) = (0, 20.0);
        for second in 1..=10 {
            busy_lane_ns += 4 * u128::from(SECOND_NS);
            let now = telemetry.sample(second * SECOND_NS, busy_lane_ns, 4).temperature_celsius.unwrap();
            assert!(now > before && now < 60.0);
            before = now;
        }
        // One lag of full use, in ten steps: 1 - 1/e of the way.
        assert!((before - (60.0 - 40.0 / std::f64::consts::E)).abs() < 1e-9, "{before}");
        let cold = telemetry.sample(1000 * SECOND_NS, busy_lane_ns, 0).temperature_celsius.unwrap();
        assert!((cold - 20.0).abs() < 1e-6, "{cold}");
    }
}
