//! The control page's HTTP server.
//!
//! | path | what it does |
//! |---|---|
//! | `GET /stats`, `/nodes`, `/pods`, `/fails`, `/reqs-per-sec` | reads; also as `/reqs-per-seq` |
//! | `GET /parallel` | the parallelism in force; also as `/parallelism` |
//! | `POST /parallel` with `value=N`, `GET /parallel?value=N` | changes it, resets the statistics, answers it |
//! | `POST /reset`, `GET /reset` | resets the statistics |
//! | `GET /` | leads to `/stats` |
//!
//! `type=plain`, `json` or `html` chooses how the answer is written. Nobody is asked who he is: listen on loopback or
//! within a cluster. What a browser sends on behalf of another site is refused, and so is a change asked for under a
//! name that is not meant ([`nuncius_serve::sites`]).

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use nuncius_serve::{HttpLimits, ServeError};

use self::routes::Face;
use super::control::LoadControl;

mod form;
mod routes;
#[cfg(test)]
mod tests;

/// Takes the address of the control page, host and port.
///
/// # Errors
/// [`ServeError::Listen`] with the address and the flag.
pub async fn listen(address: &str) -> Result<TcpListener, ServeError> {
    nuncius_serve::listen("the control page", address, "--caddr").await
}

/// Serves the control page until `shutdown`; answers that were begun then have [`HttpLimits::read_timeout`] to end.
pub async fn serve(listener: TcpListener, control: Arc<LoadControl>, limits: HttpLimits, shutdown: CancellationToken) {
    let face = Arc::new(Face { control: Arc::clone(&control), limits: limits.clone() });
    let handler = move |request, peer| {
        let face = Arc::clone(&face);
        async move { routes::answer(request, peer, &face).await }
    };
    // What no page sees is a query that was rejected, too.
    let refused = move || control.statistics().count_query(false);
    nuncius_serve::serve(listener, limits, shutdown, handler, refused).await;
}
