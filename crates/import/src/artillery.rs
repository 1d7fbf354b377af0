//! Test files of Artillery, version 2 (and what is left in them of version 1), compiled to specifications of Nuncius.
//!
//! [`import`] does all of it. The formulas and the meaning of keys are those of Artillery 2.0.34, read in its source
//! and compared with 2.0.21 in runs; where its documentation and its source differ, the source counts.
//!
//! Layout: `read`, `merge` and `prepare` make one tree of the files; `view` goes through it, and what is said of keys
//! goes to the ledger in `state`. `texts` translates templates (`template`, `names`) and knows [`environment`];
//! `filtrex` its expressions. `config`, `load` ([`phases`]), `payload`, `variables` and `plugins` read `config`;
//! `scenario`, `flow` and `steps`, `request` (with `body`, `capture`, `expect`, `guard`), `ws` and `socketio` (with
//! `sockets`, `protocols`) the flows, of `pieces`. `processor` and `javascript` look through JavaScript, and `script`
//! makes one script of it, with its `meters`. `settle` sees that Nuncius takes what comes out.
//!
//! Of a run: [`collect`] makes [`metrics`] of what was measured (`times`, `endpoint`, and `origin`, what is remembered
//! of the file); by them [`ensure`] judges, and of them [`report`] is made.

mod body;
mod capture;
pub mod collect;
mod config;
mod endpoint;
pub mod ensure;
pub mod environment;
mod expect;
pub(crate) mod filtrex;
mod flow;
mod guard;
mod human;
mod imported;
mod javascript;
mod json_path;
mod load;
mod merge;
mod meters;
pub mod metrics;
mod names;
pub mod options;
mod origin;
mod payload;
pub mod phases;
mod pieces;
mod plugins;
mod prepare;
mod processor;
mod protocols;
mod read;
mod regexp;
pub mod report;
mod request;
mod scenario;
mod script;
mod settle;
mod socketio;
mod sockets;
mod state;
mod steps;
mod template;
mod texts;
mod times;
mod variables;
mod view;
mod ws;

pub use config::TIMEOUT_DEFAULT_S;
pub use ensure::Ensure;
pub use flow::{Act, Engine, StepOrigin};
pub use imported::{Imported, import};
pub use meters::{EventKind, MeterOrigin};
pub use options::Options;
pub use origin::Origin;
pub use payload::TABLE_MAX_BYTES;
pub use phases::Phase;
pub use plugins::ByEndpoint;
pub use processor::{PROCESSOR_FILES_MAX, PROCESSOR_MAX_BYTES};
pub use scenario::ScenarioOrigin;
pub use script::SCRIPT_PATH;
pub use state::ImportedFile;
