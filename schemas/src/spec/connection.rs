//! How requests share connections, and how those are secured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the requests of an HTTP group share connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Connections {
    /// A connection is used again for as long as both sides keep it open.
    #[default]
    KeepAlive,
    /// Every request opens a connection of its own and asks the server to close it.
    PerRequest,
}

impl Connections {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How the peer of a TLS connection is checked, and who we are to it. When absent the system's roots are trusted.
///
/// Certificates and the key travel as PEM text. `nuncius run` and `nuncius submit` read them where a file is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// Whether the peer's certificate is checked at all. Where it is not, the report says so.
    #[serde(default = "default_verify", skip_serializing_if = "is_true")]
    pub verify: bool,
    /// Certificates to trust instead of the system's: authorities, or the very certificate of the peer.
    #[serde(default, alias = "ca_pem", skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Certificate of the client with those that lead to its authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// Private key of `cert`; a secret, redacted wherever it is stored or shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Name to expect instead of the target's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self { verify: default_verify(), ca: None, cert: None, key: None, server_name: None }
    }
}

fn default_verify() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_true(value: &bool) -> bool {
    *value
}
