//! Registration with the NATS service API: `$SRV.PING`, `$SRV.INFO`, `$SRV.STATS`, what `nats micro` shows.

use std::collections::HashMap;

use async_nats::service::ServiceExt;
use futures_util::FutureExt;

use crate::{Bus, BusError};

/// A registered service; deregistered when dropped or stopped.
pub struct ServiceGuard {
    service: Option<async_nats::service::Service>,
    id: String,
}

impl std::fmt::Debug for ServiceGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceGuard").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Bus {
    /// Registers a service: `name` of letters, digits, `-` and `_` (from `Namespace::service`), `version` as in semver.
    /// `metadata` is shown with it (node, role).
    pub async fn register_service(
        &self,
        name: &str,
        version: &str,
        description: &str,
        metadata: &[(&str, &str)],
    ) -> Result<ServiceGuard, BusError> {
        let metadata: HashMap<String, String> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let builder = self.client().service_builder().description(description).metadata(metadata);
        let started = builder.start(name, version).await;
        let service = started.map_err(|e| BusError::Options(format!("service {name} {version}: {e}")))?;
        let id = service.info().await.id;
        self.flush().await?;
        Ok(ServiceGuard { service: Some(service), id })
    }
}

impl ServiceGuard {
    /// The id of this instance.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Deregisters.
    pub async fn stop(mut self) {
        if let Some(service) = self.service.take() {
            // Stopping cannot fail but where it is stopped already.
            let _ = service.stop().await;
        }
    }
}

impl Drop for ServiceGuard {
    fn drop(&mut self) {
        if let Some(service) = self.service.take() {
            // It has nothing to wait for.
            let _ = service.stop().now_or_never();
        }
    }
}
