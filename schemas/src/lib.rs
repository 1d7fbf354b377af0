//! Wire types, subjects and names: everything two Nuncius processes, or a person and Nuncius, say to each other.
//!
//! This crate is the bottom of the tree: no I/O, no clock, no tokio. It must never know how a message travels
//! (that is `nuncius-bus`) nor how it is stored (that is `nuncius-store`). Every type that crosses the bus is here,
//! with its limits, and is documented by the JSON Schemas under `schemas/json`, which a test keeps true.
//!
//! Layout: [`units`], [`names`], [`target`] and [`variable`] are the vocabulary; [`spec`] (with [`flow`], [`servo`],
//! [`stress`], [`profile`], [`interarrival`] and [`amendment`]), [`gate`] (with [`default_gates`]) and [`galileo`] are
//! what people write, [`submission`] any of it, [`bundle`] what it needs, and [`steps`] numbers the steps of a group;
//! [`node`], [`metric`] (with [`meter`]), [`record`], [`event`], [`second`], [`run`], [`route`], [`change`] and
//! [`archive`] (with [`head`] and [`tag`]) travel between processes, [`job`], [`queue`] and [`worker`] for queues,
//! [`oco`] and [`resource`] for emulators, [`telemetry`] of machines; [`fault`] says whose fault something was;
//! [`report`] is what comes out, [`comparison`] how two of them differ; [`codec`] turns bytes into all of these and
//! says which field was wrong; [`subjects`] names the places.

pub mod amendment;
pub mod archive;
pub mod bundle;
pub mod change;
pub mod codec;
pub mod comparison;
pub mod default_gates;
pub mod document;
pub mod event;
pub mod fault;
pub mod flow;
pub mod foreign;
pub mod galileo;
pub mod gate;
pub mod head;
pub mod interarrival;
pub mod job;
pub mod meter;
pub mod metric;
pub mod names;
pub mod node;
pub mod oco;
pub mod profile;
pub mod queue;
pub mod record;
pub mod redact;
pub mod report;
pub mod resource;
pub mod route;
pub mod run;
pub mod scaling;
pub mod search;
pub mod second;
pub mod servo;
pub mod spec;
pub mod steps;
pub mod stress;
pub mod subjects;
pub mod submission;
pub mod suggest;
pub mod sweep;
pub mod tag;
pub mod target;
pub mod telemetry;
pub mod track;
pub mod tree;
pub mod units;
pub mod variable;
pub mod worker;
