//! What is known of a processor without running it: its words ([`lexer`]), its imports and exports ([`modules`]), and
//! what its hooks do with their parameters ([`hooks`]). It is not parsed: for what is asked words are enough.

pub(crate) mod hooks;
pub(crate) mod lexer;
pub(crate) mod modules;
