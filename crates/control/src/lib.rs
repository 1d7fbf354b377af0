//! What a face does over the bus, whichever face it is: the command line and the gateway do the same, with the same
//! words for what goes wrong.
//!
//! It must never read a database (what one has is asked of its daemon), print anything, or know of HTTP or of a
//! terminal: what a mistake costs, an exit code or a status, is the face's business.
//!
//! Layout: [`submit`], [`amend`], [`cancel`], [`mark`], [`removal`] change experiments, by way of `holder` those that
//! run; [`archive`] is what daemons have stored, [`reports`] and [`comparing`] are made of it; [`ids`] are ids as
//! people type them; [`experiments`] lists; [`events`] is what happened, [`audit`] what was changed beside that;
//! [`nodes`], [`routes`], [`resources`], [`apps`] are the rest of the system. [`recorded`] reads arrivals out of the
//! bundles of experiments, for daemons, too.

pub mod amend;
pub mod apps;
pub mod archive;
pub mod audit;
pub mod cancel;
pub mod comparing;
mod error;
pub mod events;
pub mod experiments;
mod holder;
pub mod ids;
pub mod mark;
pub mod nodes;
pub mod recorded;
pub mod removal;
pub mod reports;
pub mod resources;
pub mod routes;
pub mod submit;

pub use error::ControlError;

/// How long whoever is asked over the bus may take to answer.
pub const REQUEST_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
