//! The promises of the bus, kept against a real nats-server. One binary, so that it is linked once; tests run in
//! parallel, each with a server of its own.
#[cfg(test)]
mod apps;
#[cfg(test)]
mod child;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod core;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod kv;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod work;
