//! What a part listens with.

use std::sync::Arc;

use nuncius_bus::Bus;

use super::own::Own;
use super::settings::MetricsSettings;

/// The bus, and where a part of what is shown keeps what it hears there.
#[derive(Debug)]
pub(crate) struct Listener<T> {
    pub(crate) bus: Bus,
    pub(crate) settings: Arc<MetricsSettings>,
    pub(crate) own: Arc<Own>,
    pub(crate) part: Arc<T>,
}

impl<T> Clone for Listener<T> {
    fn clone(&self) -> Self {
        let Self { bus, settings, own, part } = self;
        Self { bus: bus.clone(), settings: Arc::clone(settings), own: Arc::clone(own), part: Arc::clone(part) }
    }
}
