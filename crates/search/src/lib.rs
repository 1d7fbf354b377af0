//! Which experiments come next, and what came of them: searches for the highest load that meets the gates, and sweeps
//! over combinations of factors.
//!
//! Pure: no I/O, no clock, no tokio. It must never start an experiment, nor know how one is run: it says which one is
//! wanted, is told how it came out, and its state is plain data, so that whoever runs them goes on after a restart
//! where it was. It judges nothing itself: how an experiment came out is what the gates say.
//!
//! Layout: [`search`](mod@search) is the search: `loads` what is known of each load that was tried, `plan` what comes
//! next, `finding` what came of it. [`design`] says which runs a sweep has, in which order, and [`tables`] what is said
//! of their outcomes: of each combination, of each factor (`effects`), and of the load (`loads`).

pub mod design;
pub mod search;
pub mod tables;
