//! What came of taking over shards.

use crate::engines::PrepareError;

/// What came of taking over shards.
pub(super) struct Taken {
    pub(super) key: (String, u32, u32),
    pub(super) outcome: Result<(), PrepareError>,
}
