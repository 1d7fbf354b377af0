//! The files of arrivals that an experiment names, read from its bundle on this host.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use nuncius_load::recorded::read;
use nuncius_schemas::bundle::check_path;
use nuncius_schemas::node::Prepare;
use nuncius_schemas::spec::{Instants, RecordedArrivals};

/// A file of arrivals that cannot be offered.
#[derive(Debug, thiserror::Error)]
#[error("groups[{group}].arrivals.file: {file}: {problem}")]
pub(crate) struct ArrivalsError {
    group: usize,
    file: String,
    problem: String,
}

/// The same with what is in its files of arrivals. Blocks, and leaves everything as it is where there is none.
///
/// # Errors
/// The first row that cannot be.
pub(crate) fn with_arrivals(prepare: Arc<Prepare>, bundle: Option<&Path>) -> Result<Arc<Prepare>, ArrivalsError> {
    if !prepare.spec.wants_instants() {
        return Ok(prepare);
    }
    let mut prepare = Prepare::clone(&prepare);
    for (group, duration_ns, recorded) in prepare.spec.recorded_mut() {
        let problem = |problem| ArrivalsError { group, file: recorded.file.clone(), problem };
        let instants = instants(recorded, bundle, duration_ns).map_err(problem)?;
        recorded.instants = Some(instants);
    }
    Ok(Arc::new(prepare))
}

fn instants(recorded: &RecordedArrivals, bundle: Option<&Path>, duration_ns: u64) -> Result<Instants, String> {
    let bundle = bundle.ok_or("it travels in a bundle, and the experiment has none")?;
    // Nothing outside of the bundle is read, whoever sent the name.
    check_path(&recorded.file).map_err(|error| error.to_string())?;
    let mut file = File::open(bundle.join(&recorded.file)).map_err(|error| error.to_string())?;
    read(&mut file, recorded, duration_ns).map_err(|error| error.to_string())
}
