//! HTTP/1.1: the plain engine for `http`, the general one for everything else, and what both need.

pub(crate) mod client;
pub(crate) mod general;
pub(crate) mod plain;
pub(crate) mod response;
pub(crate) mod reuse;
