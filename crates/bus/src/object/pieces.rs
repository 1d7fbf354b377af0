//! Objects piece by piece: stored once for what is in them, and read without being held in memory.
//!
//! They are what other clients of NATS make and read (ADR-20): pieces under a number of their own, and a description
//! under the object's name that is written when all pieces are there. Whoever is interrupted leaves pieces that nobody
//! describes: no object.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Objects;
use crate::tail::{Start, Tail};
use crate::{BusError, Headers};

/// Header by which a message takes the place of those before it on its subject.
const HEADER_ROLLUP: &str = "Nats-Rollup";
/// What is before a digest in a description.
const DIGEST_PREFIX: &str = "SHA-256=";

/// What the store knows of an object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) name: String,
    bucket: String,
    #[serde(default)]
    pub(super) nuid: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    chunks: u64,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    options: Option<Options>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) deleted: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Options {
    #[serde(default)]
    max_chunk_size: Option<usize>,
}

/// An object that is being read.
#[derive(Debug)]
pub struct ObjectReader {
    /// For errors: "object x of nuncius_app".
    what: String,
    bytes: u64,
    pieces_left: u64,
    bytes_left: u64,
    /// None once it is over.
    tail: Option<Tail>,
}

/// A digest as descriptions have it; none for what are no hexadecimal digits.
fn digest_in_description(digest: &str) -> Option<String> {
    let pairs = digest.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    let bytes: Option<Vec<u8>> = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect();
    Some(format!("{DIGEST_PREFIX}{}", URL_SAFE.encode(bytes?)))
}

impl Objects {
    pub(super) fn stream(&self) -> String {
        format!("OBJ_{}", self.name)
    }

    pub(super) fn pieces_subject(&self, nuid: &str) -> String {
        format!("$O.{}.C.{nuid}", self.name)
    }

    fn description_subject(&self, object: &str) -> String {
        format!("$O.{}.M.{}", self.name, URL_SAFE.encode(object))
    }

    /// What the store knows of an object that is there.
    async fn described(&self, object: &str) -> Result<Option<Description>, BusError> {
        self.description_at(&self.description_subject(object)).await
    }

    /// The same, by the subject of its description.
    pub(super) async fn description_at(&self, subject: &str) -> Result<Option<Description>, BusError> {
        let Some(stored) = self.bus.last_direct(&self.stream(), subject).await? else { return Ok(None) };
        let description: Description = serde_json::from_slice(&stored.payload)
            .map_err(|error| BusError::BadAnswer { what: subject.to_owned(), reason: error.to_string() })?;
        Ok((!description.deleted).then_some(description))
    }

    /// Whether an object is there whose SHA-256 in hexadecimal digits is `digest`, as its description says.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn has(&self, object: &str, digest: &str) -> Result<bool, BusError> {
        let known = self.described(object).await?.and_then(|known| known.digest);
        Ok(known.is_some() && known == digest_in_description(digest))
    }

    /// Stores `bytes`, whose SHA-256 in hexadecimal digits is `digest`, as `object`, unless just these are there
    /// already. Whether they were stored now.
    ///
    /// # Errors
    /// When they cannot be stored; then no object is there that was not there before.
    pub async fn put_digested(&self, object: &str, bytes: &[u8], digest: &str) -> Result<bool, BusError> {
        let bad = || BusError::Options(format!("the digest of {object} is none: {digest}"));
        let in_description = digest_in_description(digest).ok_or_else(bad)?;
        if self.described(object).await?.is_some_and(|known| known.digest.as_ref() == Some(&in_description)) {
            return Ok(false);
        }
        let nuid = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let subject = self.pieces_subject(&nuid);
        let mut chunks = 0_u64;
        for piece in bytes.chunks(self.piece_bytes) {
            // One after the other, for they are read in the order in which they are stored.
            self.store(&subject, &Headers::new(), Bytes::copy_from_slice(piece), &format!("{nuid}.{chunks}")).await?;
            chunks += 1;
        }
        let description = Description {
            name: object.to_owned(),
            bucket: self.name.clone(),
            nuid: nuid.clone(),
            size: bytes.len() as u64,
            chunks,
            digest: Some(in_description),
            options: Some(Options { max_chunk_size: Some(self.piece_bytes) }),
            deleted: false,
        };
        let text = serde_json::to_vec(&description)
            .map_err(|error| BusError::jetstream(format!("describing {object} of {}", self.name), error))?;
        let headers = Headers::new().with(HEADER_ROLLUP, "sub");
        self.store(&self.description_subject(object), &headers, text.into(), &nuid).await?;
        Ok(true)
    }

    async fn store(&self, subject: &str, headers: &Headers, payload: Bytes, id: &str) -> Result<(), BusError> {
        match self.bus.publish_acked(subject, headers, payload, Some(id), None).await {
            Ok(_) => Ok(()),
            Err(BusError::NoStream { .. }) => Err(BusError::NotFound { kind: "object store", name: self.name.clone() }),
            Err(error) => Err(error),
        }
    }

    /// Opens an object to be read piece by piece; none where there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(&self, object: &str) -> Result<Option<ObjectReader>, BusError> {
        let Some(description) = self.described(object).await? else { return Ok(None) };
        let subject = self.pieces_subject(&description.nuid);
        let tail = self.bus.tail(&self.stream(), &subject, Start::All).await?;
        Ok(Some(ObjectReader {
            what: format!("object {object} of {}", self.name),
            bytes: description.size,
            pieces_left: description.chunks,
            bytes_left: description.size,
            tail: Some(tail),
        }))
    }
}

impl ObjectReader {
    /// Its size in bytes, as its description says.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next piece; none when all of them were given. Whether they are what they were, only their digest says.
    ///
    /// # Errors
    /// [`BusError::BadAnswer`] where pieces are missing, or have other sizes than they had. Outages are waited out.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BusError> {
        let damaged = |reason: &str| BusError::BadAnswer { what: self.what.clone(), reason: reason.to_owned() };
        if self.pieces_left == 0 {
            if let Some(tail) = self.tail.take() {
                tail.close().await;
            }
            return match self.bytes_left {
                0 => Ok(None),
                left => Err(damaged(&format!("{left} bytes of it are missing"))),
            };
        }
        let Some(tail) = &mut self.tail else { return Ok(None) };
        if tail.pending() == 0 {
            return Err(damaged("pieces of it are missing"));
        }
        let piece = tail.next().await?.payload;
        self.pieces_left -= 1;
        self.bytes_left = self.bytes_left.checked_sub(piece.len() as u64).ok_or_else(|| damaged("it is too long"))?;
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_as_other_clients_write_them() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let wanted = "SHA-256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0=";
        assert_eq!(digest_in_description(digest).as_deref(), Some(wanted));
        assert_eq!(digest_in_description("xy"), None);
        assert_eq!(digest_in_description("ü"), None);
    }
}
