//! How large a bundle may be.

use nuncius_schemas::bundle::{FILES_MAX, UNPACKED_MAX_BYTES};

/// What a tar file has for each file beside its contents: a header, and padding to whole blocks.
const FILE_OVERHEAD_BYTES: u64 = 1_024;
/// What it has at its end: writers fill up to a record of 20 blocks, and then some.
pub(crate) const END_MAX_BYTES: u64 = 64 << 10;

/// Most that a bundle may have. Whoever packs and whoever unpacks have limits of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files.
    pub files: u32,
    /// Bytes of all files together.
    pub unpacked_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: FILES_MAX, unpacked_bytes: UNPACKED_MAX_BYTES }
    }
}

impl Limits {
    /// Most bytes of the tar file.
    pub(crate) fn tar_bytes(&self) -> u64 {
        let overhead_bytes = u64::from(self.files).saturating_mul(FILE_OVERHEAD_BYTES);
        self.unpacked_bytes.saturating_add(overhead_bytes).saturating_add(END_MAX_BYTES)
    }

    /// Most bytes of a bundle as it is packed: what cannot be compressed grows by less than a thousandth.
    pub fn packed_bytes(&self) -> u64 {
        let tar_bytes = self.tar_bytes();
        tar_bytes.saturating_add(tar_bytes / 1_000)
    }
}
