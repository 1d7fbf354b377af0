//! What is known of a processor without running it: its words ([`lexer`]), its imports and exports ([`modules`]),
//! what its hooks do with their parameters ([`hooks`]), and what they count ([`meters`]). It is not parsed:
//! for what is asked words are enough.

pub(crate) mod hooks;
pub(crate) mod lexer;
pub(crate) mod meters;
pub(crate) mod modules;
