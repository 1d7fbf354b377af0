//! Whose telemetry is stored.

use super::{ENTRIES_MAX, SpecError, at_most, refuse};
use crate::names::TOKEN_MAX_BYTES;
use crate::spec::TelemetrySpec;
use crate::telemetry::check_period;

pub(super) fn check(telemetry: &TelemetrySpec) -> Result<(), SpecError> {
    at_most("telemetry.nodes", telemetry.nodes.0.len(), ENTRIES_MAX)?;
    for (index, pattern) in telemetry.nodes.0.iter().enumerate() {
        let may_be = |byte: u8| byte.is_ascii_alphanumeric() || b"_-*?".contains(&byte);
        if !(1..=TOKEN_MAX_BYTES).contains(&pattern.len()) || !pattern.bytes().all(may_be) {
            return refuse(
                format!("telemetry.nodes[{index}]"),
                format!("not a pattern of names: use 1 to {TOKEN_MAX_BYTES} of A-Z a-z 0-9 _ - * ?"),
            );
        }
    }
    telemetry.period.map_or(Ok(()), check_period).or_else(|error| refuse("telemetry.period", error.to_string()))
}

#[cfg(test)]
mod tests {
    use crate::spec::ExperimentSpec;

    #[test]
    fn telemetry_names_nodes_and_a_period_that_there_can_be() {
        let problem = |telemetry: &str| {
            let text = format!("groups: [{{target: http://a/, rate: 1, duration: 1s}}]\ntelemetry: {telemetry}");
            let spec: ExperimentSpec = crate::codec::from_text(&text).unwrap();
            spec.validate().err().map(|error| error.to_string())
        };
        assert_eq!(problem("{nodes: true}"), None);
        assert_eq!(problem("{nodes: [edge-*, db], period: 500ms}"), None);
        assert!(problem("{nodes: a.b}").unwrap().starts_with("telemetry.nodes[0]: not a pattern"));
        assert!(problem("{nodes: ''}").unwrap().starts_with("telemetry.nodes[0]"));
        let told = problem("{nodes: true, period: 10ms}").unwrap();
        assert_eq!(told, "telemetry.period: period 10ms: samples are taken every 100ms to 1h");
    }
}
