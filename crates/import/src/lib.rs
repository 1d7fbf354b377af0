//! Test files of other programs, compiled to the specification of Nuncius; and reports in the form of those programs.
//!
//! Everything here is a pure function of what it is given: no network, no process, no clock, no environment. The files
//! that a test file names are asked for by a function that the caller hands in. It must never pass over a key of a
//! foreign file in silence: each is told as supported, approximated (and what differs), refused (and why) or unknown.
//!
//! Layout: [`artillery`] reads the YAML and JSON of Artillery; [`keys`] is what is said of the keys of a file,
//! [`files`] how further files are asked for; [`error`] is why nothing came out.

pub mod artillery;
pub mod error;
pub mod files;
pub mod keys;

pub use error::ImportError;
pub use files::{Base, Wanted};
pub use keys::{KeyReport, Support, Warning};
