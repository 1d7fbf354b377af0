//! An answer as captures and checks see it.

use http::HeaderMap;

use crate::body::Body;
use crate::cookies::Jar;

/// What a request was answered with.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: &'a Body<'a>,
    /// From sent to answered, in nanoseconds.
    pub service_ns: u64,
    /// The cookies of the user, those of this answer included: where a redirect set one, it is only here.
    pub jar: Option<&'a Jar>,
}
