//! What all kinds of devices are found and told by.

use std::fs;
use std::path::Path;

use nuncius_schemas::worker::DeviceSample;

/// A device that has said nothing yet.
pub(super) fn silent(name: &str) -> DeviceSample {
    DeviceSample {
        name: name.to_owned(),
        emulated: false,
        utilization: None,
        memory_used_bytes: None,
        temperature_celsius: None,
        power_watts: None,
    }
}

/// The sample, unless it says nothing.
pub(super) fn if_any(sample: DeviceSample) -> Option<DeviceSample> {
    (sample != silent(&sample.name)).then_some(sample)
}

/// The files in a directory whose names are one of these prefixes and a number: (prefix's place, number, name), in
/// order.
pub(super) fn numbered(directory: &Path, prefixes: &[&str]) -> Vec<(usize, u32, String)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (place, digits) =
                prefixes.iter().enumerate().find_map(|(place, prefix)| Some((place, name.strip_prefix(prefix)?)))?;
            let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
            Some((place, number, name))
        })
        .collect();
    found.sort();
    found
}
