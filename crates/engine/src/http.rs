//! HTTP/1.1 and HTTP/2: the plain engine for `http`, the general one for TLS, and what all of them need.

pub(crate) mod client;
pub(crate) mod decode;
pub(crate) mod general;
pub(crate) mod http2;
pub(crate) mod outgoing;
pub(crate) mod plain;
pub(crate) mod received;
pub(crate) mod redirect;
pub(crate) mod response;
pub(crate) mod reuse;
pub(crate) mod stream;
