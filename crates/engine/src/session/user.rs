//! What belongs to one virtual user. In the closed model it is kept from iteration to iteration, but for the variables.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use nuncius_scenario::Jar;
use serde_json::{Map, Value};

use super::channels::Channels;
use crate::program::auth::Tokens;
use crate::program::machine::Memory;

/// A virtual user.
#[derive(Debug)]
pub(super) struct User {
    /// Tells its connections from those of others.
    pub(super) owner: u64,
    pub(super) memory: RefCell<Memory>,
    /// Variables that no template names: scripts know them.
    pub(super) unnamed: RefCell<Map<String, Value>>,
    pub(super) jar: RefCell<Jar>,
    /// Its tokens, by the number of their grant.
    pub(super) tokens: Tokens,
    /// Where connections of its own are: target and host.
    pub(super) reached: RefCell<BTreeSet<(u32, u32)>>,
    /// What it has open under names.
    pub(super) channels: Channels,
    /// A request of this iteration was sent.
    pub(super) has_sent: Cell<bool>,
}

impl User {
    pub(super) fn new(owner: u64) -> Self {
        Self {
            owner,
            memory: RefCell::default(),
            unnamed: RefCell::default(),
            jar: RefCell::default(),
            tokens: Tokens::default(),
            reached: RefCell::default(),
            channels: Channels::default(),
            has_sent: Cell::new(false),
        }
    }
}
