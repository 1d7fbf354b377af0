//! Bundles: what a test needs, as one file. A directory is packed so that the same contents give the same bytes
//! wherever and whenever that is; what was packed is unpacked with every guard, and kept once per host.
//!
//! A bundle is a tar file of regular files alone, compressed with gzip, so that any `tar xzf` reads one; its name is
//! the SHA-256 of its bytes. This crate must never know where bundles come from (that is `nuncius-bus`), believe a word
//! that one says of itself, or write outside of the directory that it was given.
//!
//! Layout: [`pack`](pack_directory) makes bundles, [`unpack`] reads them, both within [`Limits`], and [`read_through`]
//! without writing anything; [`Cache`] keeps them unpacked for all processes of a host; [`unpack_zip`] takes zip
//! archives, as Galileo's [applications](pack_app) are.

mod app;
mod cache;
mod digest;
mod error;
mod limits;
mod manifest;
mod names;
mod pack;
mod tree;
mod unpack;
mod zip;

pub use app::{APP_MANIFEST, PackedApp, manifest_of, pack_app};
pub use cache::{Cache, Held, Lookup, Place};
pub use digest::{Hasher, digest_of, digest_of_file};
pub use error::{BundleError, ZipError};
pub use limits::Limits;
pub use manifest::{FileEntry, Manifest, spec_among};
pub use pack::{Packed, pack_directory, pack_files};
pub use unpack::{read_through, unpack};
pub use zip::{ZipFile, read_zip, unpack_zip, write_zip};
