//! Systems under test: targets whose behaviour is known, so that what a load engine reports can be checked.
//!
//! [`stub`] is an HTTP target with a known queue, known service times and known failures. It is a measuring instrument:
//! it must never be the slower party without having been told to, and it must never answer early. It knows neither the
//! bus nor the load engines; a service that starts it registers it.
//!
//! [`device`] is a device that is not there: requests on the bus occupy it, and it slows down, warms up and fills as a
//! real one does. It registers itself.
//!
//! [`oco`] is thousands of optimisation backends: servos tell it what they do, and it tells them what to do next.
//!
//! [`resource`] consumes memory, disk and processor time on request, by HTTP and on the bus, so that whatever shares a
//! host with it feels the lack. It registers itself.

pub mod device;
mod form;
mod joining;
pub mod oco;
pub mod resource;
mod spans;
pub mod stub;
mod timer;

pub use joining::ComingBus;
