//! What headers must keep to.

use std::collections::BTreeMap;

use crate::spec::check::{SpecError, refuse};
use crate::spec::limits::VALUE_MAX_BYTES;

pub(crate) fn check_headers<'a>(
    field: &str,
    headers: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<(), SpecError> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (name, value) in headers {
        let token = !name.is_empty()
            && name.len() <= 256
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        if !token {
            let shown: String = name.chars().take(64).collect();
            return refuse(format!("{field}.{shown}"), "not a header name");
        }
        if let Some(first) = seen.insert(name.to_ascii_lowercase(), name) {
            let problem = format!("the same header as `{first}`: names of headers do not differ by case");
            return refuse(format!("{field}.{name}"), problem);
        }
        if value.len() > VALUE_MAX_BYTES || value.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
            let problem = format!("over {VALUE_MAX_BYTES} bytes, or holds line ends or other control characters");
            return refuse(format!("{field}.{name}"), problem);
        }
        if ["content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"]
            .contains(&name.to_ascii_lowercase().as_str())
        {
            return refuse(format!("{field}.{name}"), "is set by the engine");
        }
    }
    Ok(())
}
