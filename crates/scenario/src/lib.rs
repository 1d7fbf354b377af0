//! What a scenario does with data: values, templates, draws, captures, checks, think times, feeders, cookies.
//!
//! Everything here is a pure function of what it is given: no I/O (feeders read from what the caller opened), no clock,
//! no environment, no tokio; it must never send anything. All randomness is a function of (seed, group, iteration,
//! place in the program), so that it does not matter which node a session runs on. Nothing panics on input, and nothing
//! that a target answers can make it work or remember without a bound.
//!
//! Layout: [`template`] and [`json_template`] are filled in from a [`scope`] of variables by slots ([`names`]);
//! [`value`] says what values are as text, truth and number; [`draw`] and [`think`] are the randomness; [`capture`] and
//! [`check`] look at an [`answer`] and its [`body`]; [`feeder`] finds rows; [`cookies`], [`auth`] and [`multipart`] are
//! what requests carry.

pub mod answer;
pub mod auth;
pub mod body;
pub mod capture;
pub mod check;
pub mod compile_error;
pub mod cookies;
pub mod draw;
pub mod error;
mod expression;
pub mod feeder;
mod functions;
mod html;
mod json_path;
pub mod json_template;
pub mod multipart;
pub mod names;
pub mod output;
mod pattern;
pub mod scope;
pub mod template;
pub mod think;
pub mod value;

pub use answer::Answer;
pub use body::{Body, JsonError};
pub use capture::{Capture, CaptureError};
pub use check::{Check, Test, Verdict};
pub use compile_error::CompileError;
pub use cookies::{CookieError, Jar, Origin};
pub use draw::{DrawKey, Draws, pick};
pub use error::TemplateError;
pub use feeder::{AtEnd, FeederError, Format, Order, Row, RowBuffer, RowIndex, row_of};
pub use functions::decode_base64;
pub use html::{HTML_DEPTH_MAX, HTML_MAX_BYTES, HTML_NODES_MAX, HTML_NODES_OF_HAS_MAX, HTML_TAG_MAX_BYTES, HtmlError};
pub use json_path::{JSON_PATH_RESULTS_MAX, JSON_PATH_VISITS_MAX, QueryError};
pub use json_template::JsonTemplate;
pub use names::Names;
pub use output::Output;
pub use scope::Scope;
pub use template::Template;
pub use think::{Think, ThinkError};
