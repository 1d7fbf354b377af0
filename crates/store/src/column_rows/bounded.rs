//! A file of Parquet whose pages are never larger than what its footer says of them: whoever lies about a page is
//! refused before memory is given to it.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// Bytes of a page's head that are looked at: its kind and its size stand first.
const HEAD_BYTES: u64 = 16;
/// What a number of 32 bits that follows the one before begins with, in the compact form of Thrift.
const NEXT_NUMBER: u8 = 0x15;

/// One column of one group of rows.
pub(super) struct Bounded {
    file: Arc<File>,
    length: u64,
    /// Bytes that its pages may still have, uncompressed.
    left: AtomicU64,
}

impl Bounded {
    pub(super) fn new(file: Arc<File>, length: u64, uncompressed_bytes: u64) -> Self {
        Self { file, length, left: AtomicU64::new(uncompressed_bytes) }
    }
}

impl Length for Bounded {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Bounded {
    type T = BufReader<File>;

    /// Heads of pages are read by this, and nothing else.
    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let at = || -> Result<File, ParquetError> {
            let mut file = self.file.try_clone()?;
            file.seek(SeekFrom::Start(start))?;
            Ok(file)
        };
        let mut head = Vec::new();
        at()?.take(HEAD_BYTES).read_to_end(&mut head)?;
        let size =
            page_size(&head).ok_or_else(|| ParquetError::General(format!("there is no page at byte {start}")))?;
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(size));
        taken.map_err(|left| {
            ParquetError::General(format!("the page at byte {start} has {size} bytes, {left} are left of its column"))
        })?;
        Ok(BufReader::new(at()?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.length);
        if end.is_none() {
            return Err(ParquetError::EOF(format!("{length} bytes at byte {start} are beyond the end of the file")));
        }
        self.file.get_bytes(start, length)
    }
}

/// How large a page is uncompressed, by its head: the second of its numbers.
fn page_size(head: &[u8]) -> Option<u64> {
    let mut rest = head;
    let mut next = || -> Option<u64> {
        let (first, after) = rest.split_first()?;
        if *first != NEXT_NUMBER {
            return None;
        }
        rest = after;
        let mut number = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let (byte, after) = rest.split_first()?;
            rest = after;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                // Zigzag: even ones are not negative.
                return number.is_multiple_of(2).then_some(number / 2);
            }
        }
        None
    };
    next()?;
    next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_page_stands_in_its_head() {
        assert_eq!(page_size(&[0x15, 0x00, 0x15, 0x14, 0x15, 0x10]), Some(10));
        assert_eq!(page_size(&[0x15, 0x04, 0x15, 0x80, 0x80, 0x80, 0x80, 0x10, 0]), Some(1 << 31));
        for no in [&[][..], &[0x15], &[0x15, 0, 0x15], &[0x15, 0, 0x25, 2], &[0x15, 0, 0x15, 0x01], &[0x15; 2]] {
            assert_eq!(page_size(no), None, "{no:?}");
        }
        assert_eq!(page_size(&[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
