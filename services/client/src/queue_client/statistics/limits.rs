//! How much is counted apart.

/// Most nodes counted apart; the rest is one, "other nodes".
pub const NODES_MAX: usize = 10_000;
/// Most error texts counted apart per node; the rest is "other errors".
pub const ERRORS_MAX: usize = 100;
/// Most devices, and most pods, counted apart per node; the rest is "other".
pub const NAMES_MAX: usize = 1_000;
/// Most names and error texts of all nodes together.
pub const TEXTS_MAX: usize = 200_000;
/// Longest name or error text kept, in characters.
pub const TEXT_CHARACTERS: usize = 200;
