//! Where applications and their bundles are.

use super::{Carrier, Channel, JSON, MESSAGE_PACK, OCTETS};
use crate::subjects::Namespace;

/// The bucket of applications and the store of bundles.
pub(super) fn channels(ns: &Namespace) -> Vec<Channel> {
    vec![
        Channel {
            name: "bucket_app",
            address: format!("$KV.{}.{{app}}", ns.bucket_app()),
            carrier: Carrier::KeyValue(ns.bucket_app()),
            messages: &["app"],
            content_types: &[MESSAGE_PACK, JSON],
            headers: &[],
            inbound: true,
            description: "Deployed applications, changed by compare-and-set only.",
        },
        Channel {
            name: "app_bundle",
            address: format!("$O.{}.>", ns.bucket_app()),
            carrier: Carrier::ObjectStore(ns.bucket_app()),
            messages: &[],
            content_types: &[OCTETS],
            headers: &[],
            inbound: true,
            description: "Bundles: tar files of regular files alone, compressed with gzip, one object each, named \
                          <app>/<SHA-256 of the object>.",
        },
    ]
}
