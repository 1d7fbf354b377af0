//! The channel of what profiles wrote.

use super::channel::{Carrier, Channel, OCTETS};
use crate::subjects::Namespace;

pub(super) fn channels(ns: &Namespace) -> [Channel; 1] {
    [Channel {
        name: "bucket_profile",
        address: format!("$O.{}.>", ns.bucket_profile()),
        carrier: Carrier::ObjectStore(ns.bucket_profile()),
        messages: &[],
        content_types: &[OCTETS],
        headers: &[],
        inbound: false,
        description: "Outputs of commands beside the load, one object each, named <experiment>/<profile>/<node>. \
                      The oldest go when there is no room.",
    }]
}
