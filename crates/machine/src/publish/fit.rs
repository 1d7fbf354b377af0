//! No message is longer than its limit: of the longest lists the ends are left out, and counted.

use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::telemetry::{NodeTelemetry, Omitted};

/// The bytes of a message, shortened until they are no more than `limit_bytes`.
///
/// # Errors
/// What cannot be written at all.
pub(super) fn encode(message: &mut NodeTelemetry, limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
    loop {
        let bytes = codec::encode(message)?;
        if bytes.len() <= limit_bytes || !shorten(message) {
            return Ok(bytes);
        }
    }
}

/// Leaves out a quarter of the list that takes most; `false` where there is none.
fn shorten(message: &mut NodeTelemetry) -> bool {
    // Bytes of one, about.
    let cores = message.cpu.as_ref().map_or(0, |cpu| cpu.cores.len());
    let lists =
        [("cores", cores, 240), ("networks", message.networks.len(), 280), ("cgroups", message.cgroups.len(), 700)];
    let Some((what, count, _)) = lists.into_iter().max_by_key(|(_, count, bytes)| count * bytes) else { return false };
    if count == 0 {
        return false;
    }
    let kept = count * 3 / 4;
    match (what, &mut message.cpu) {
        ("cores", Some(cpu)) => cpu.cores.truncate(kept),
        ("networks", _) => message.networks.truncate(kept),
        _ => message.cgroups.truncate(kept),
    }
    let left_out = (count - kept) as u64;
    match message.omitted.iter_mut().find(|omitted| omitted.what == what) {
        Some(omitted) => (omitted.count, omitted.limit) = (omitted.count + left_out, kept as u64),
        None => message.omitted.push(Omitted { what: what.to_owned(), count: left_out, limit: kept as u64 }),
    }
    true
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::telemetry::{CgroupNetwork, CgroupTelemetry, CoreTelemetry, CpuTelemetry, NetworkTelemetry};

    use super::*;

    #[test]
    fn the_largest_machine_fits_and_says_what_is_left_out() {
        let network = CgroupNetwork { interface: "x".repeat(64), received_bytes: u64::MAX, sent_bytes: u64::MAX };
        let group = |number: usize| CgroupTelemetry {
            name: number.to_string(),
            path: "p".repeat(500),
            networks: vec![network.clone(); 8],
            ..CgroupTelemetry::default()
        };
        let mut message = NodeTelemetry {
            cpu: Some(CpuTelemetry { cores: vec![CoreTelemetry::default(); 256], ..CpuTelemetry::default() }),
            networks: vec![NetworkTelemetry::default(); 64],
            cgroups: (0..256).map(group).collect(),
            ..NodeTelemetry::default()
        };
        let limit_bytes = 240 * 1024;
        let bytes = encode(&mut message, limit_bytes).unwrap();
        assert!(bytes.len() <= limit_bytes, "{}", bytes.len());
        let read: NodeTelemetry = codec::decode(&bytes).unwrap();
        let groups = read.cgroups.len() as u64;
        let omitted = read.omitted.iter().find(|omitted| omitted.what == "cgroups").unwrap();
        assert_eq!((omitted.count + groups, omitted.limit), (256, groups));
        assert!(groups > 50, "{groups}");
        // What has nothing to leave out is sent as it is.
        assert!(!encode(&mut NodeTelemetry::default(), 1).unwrap().is_empty());
    }
}
