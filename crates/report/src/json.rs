//! The report for programs.

use nuncius_schemas::report::Report;

/// Why a report could not be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("the report of experiment `{id}` cannot be written as json: {source}; a value in it has no json form")]
pub struct JsonError {
    id: String,
    source: serde_json::Error,
}

/// The report as indented JSON with a newline at its end; it reads back to the same report.
///
/// # Errors
/// When a value has no JSON form.
pub fn pretty(report: &Report) -> Result<String, JsonError> {
    let mut text =
        serde_json::to_string_pretty(report).map_err(|source| JsonError { id: report.id.clone(), source })?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_back_as_it_was_written() {
        let mut report = crate::fixture::checkout();
        let steps = report.groups.iter_mut().flat_map(|group| &mut group.steps);
        for summary in steps.flat_map(|step| step.quantities.values_mut().chain(step.failed_quantities.values_mut())) {
            // Fractions that JSON and back do not round.
            summary.curve = vec![(0.5, 1), (0.75, 2)];
            summary.mean_ns = summary.mean_ns.round();
        }
        let text = pretty(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        assert!(text.ends_with("}\n"));
    }
}
