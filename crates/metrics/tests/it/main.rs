//! Names against their document, and the forms of exposition against the official library.

mod document;
mod forms;
