//! What pressure on nodes must keep to.

use crate::resource::ResourceKind;
use crate::spec::NodeSelection;
use crate::spec::check::{SpecError, refuse};
use crate::spec::limits::DURATION_MAX_NS;
use crate::stress::{STRESS_MAX, StressStep};
use crate::units::HumanDuration;

/// Refuses steps that cannot be meant; `check_nodes` looks at a selection, and the load ends at `end_ns`.
pub(super) fn check(
    steps: &[StressStep],
    end_ns: Option<u64>,
    check_nodes: impl Fn(&str, &NodeSelection) -> Result<(), SpecError>,
) -> Result<(), SpecError> {
    if steps.len() > STRESS_MAX {
        return refuse("stress".to_owned(), format!("{} entries, at most {STRESS_MAX} are taken", steps.len()));
    }
    for (index, step) in steps.iter().enumerate() {
        let path = format!("stress[{index}]");
        check_nodes(&format!("{path}.nodes"), &step.nodes)?;
        if step.duration.0 == 0 {
            return refuse(format!("{path}.for"), "0 would be no pressure");
        }
        for (name, duration) in [("at", step.at), ("for", step.duration), ("ramp", step.ramp.unwrap_or_default())] {
            if duration.0 > DURATION_MAX_NS {
                return refuse(format!("{path}.{name}"), "longer than 30 days");
            }
        }
        if let Some(end_ns) = end_ns.filter(|end_ns| step.at.0 >= *end_ns) {
            let problem = format!("{} is not before the end of the load, {}", step.at, HumanDuration(end_ns));
            return refuse(format!("{path}.at"), problem);
        }
        if step.amounts().next().is_none() {
            return refuse(path, "nothing is wanted: give `memory`, `disk` or `cpu`");
        }
        for (kind, amount) in step.amounts() {
            let checked = match kind {
                ResourceKind::Cpu => amount.to_core_millipercent().map(|_| ()),
                ResourceKind::Memory | ResourceKind::Disk => amount.to_bytes(u64::MAX / 1_000).map(|_| ()),
            };
            if let Err(error) = checked {
                return refuse(format!("{path}.{}", kind.name()), error.to_string());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_that_would_begin_after_the_load_is_refused() {
        let step: StressStep = serde_json::from_str(r#"{"at": "9s", "for": "1s", "cpu": "10%"}"#).unwrap();
        let check = |end_ns| check(std::slice::from_ref(&step), end_ns, |_, _| Ok(()));
        let error = check(Some(9_000_000_000)).unwrap_err();
        assert_eq!(
            (error.field.as_str(), error.problem.as_str()),
            ("stress[0].at", "9s is not before the end of the load, 9s")
        );
        assert!(check(Some(9_000_000_001)).is_ok() && check(None).is_ok());
    }
}
