//! The report of an experiment as text for a terminal, as one self-contained HTML file and as JSON.
//!
//! Pure functions from [`nuncius_schemas::report::Report`] and [`nuncius_schemas::second::ExperimentSecond`] to text.
//! This crate must never read or write a file, look at a clock or the environment, nor judge anything: what it shows
//! was decided by whoever made the report. Everything in a report may come from a stranger (names, samples of
//! failures, metadata), so text for terminals holds no control characters and HTML is escaped throughout and refers to
//! nothing outside.
//!
//! Layout: [`format`] turns numbers into words; [`text`] is the terminal; [`html`] is the page; [`json`] is for
//! programs; [`traces`] leads to the slowest requests; [`flame`] draws profiles; [`scaling`] is the report of a scaling
//! experiment, as text and as a page; [`comparison`] is two runs against each other; `study` is what a search or a
//! sweep found, within the report.

pub mod comparison;
pub mod flame;
pub mod format;
pub mod html;
pub mod json;
pub mod scaling;
mod study;
pub mod text;
pub mod traces;

#[cfg(test)]
mod fixture;
