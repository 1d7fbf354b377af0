//! The emulators against a real nats-server. One binary, so that it is linked once; tests run in parallel, each with a
//! server of its own.

#[cfg(test)]
mod device;
#[cfg(test)]
mod oco;
#[cfg(test)]
mod oco_idle;
#[cfg(test)]
mod resource;
