//! Test files of Artillery, version 2 (and what is left in them of version 1), compiled to the specification of Nuncius.

pub mod environment;
mod human;
mod json_path;
mod merge;
mod names;
pub mod options;
pub mod phases;
mod read;
mod regexp;
mod template;
mod view;
