//! What scripts can do and what they cannot, on a real interpreter.

mod exports;
mod fetch;
mod hostile;
mod requests;
mod sandbox;
mod support;
mod values;
mod watchdog;
