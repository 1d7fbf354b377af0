//! The pages of the gateway, in a real browser, as a person walks through them.

mod compared;
mod curve;
mod every;
mod faults;
mod hostile;
mod imported;
mod letters;
mod look;
mod steps;
mod tagged;
mod walk;
