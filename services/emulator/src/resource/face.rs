//! What all addresses over HTTP share: those of the emulator itself, and those of Testero.

use std::collections::BTreeMap;

use hyper::StatusCode;
use nuncius_schemas::resource::ResourceKind;
use nuncius_serve::HttpLimits;
use tokio::sync::Mutex;

use super::group::Group;
use super::refusal::Refusal;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// What every connection shares.
pub(crate) struct Face {
    pub(crate) name: String,
    pub(crate) groups: BTreeMap<ResourceKind, Group>,
    pub(crate) token: Option<String>,
    pub(crate) is_compat: bool,
    /// As Testero shows it.
    pub(crate) number_to_factor: String,
    pub(crate) slots: Slots,
    pub(crate) limits: HttpLimits,
}

/// One at a time for each kind.
#[derive(Debug, Default)]
pub(crate) struct Slots(pub(super) BTreeMap<ResourceKind, Mutex<()>>);

impl Slots {
    /// One for every kind.
    pub(crate) fn new() -> Self {
        Self(ResourceKind::ALL.into_iter().map(|kind| (kind, Mutex::new(()))).collect())
    }
}

/// The status that says it by itself.
pub(super) const fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Invalid(_) | Refusal::Amount(_) => StatusCode::BAD_REQUEST,
        Refusal::OverLimit { .. } | Refusal::NoRoom { .. } => StatusCode::CONFLICT,
        Refusal::Limit(_) | Refusal::ShutDown => StatusCode::SERVICE_UNAVAILABLE,
    }
}
