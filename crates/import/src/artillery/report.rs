//! Reports in the forms of Artillery: the JSON and the text of version 2, and the text of version 1.
//!
//! They say the same as [`ArtilleryMetrics`](super::metrics::ArtilleryMetrics): what is in none of them is not made up.

mod json;
mod legacy;
mod local;
mod text;

pub use json::to_json;
pub use legacy::to_legacy_text;
pub use local::LocalTime;
pub use text::{checks_text, period_text, summary_text, to_text};
