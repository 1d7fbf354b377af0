//! What the subject of a message says.

use nuncius_schemas::subjects::Signal;

/// The signal of a subject.
pub(super) fn signal_of(subject: &str) -> Option<Signal> {
    Signal::of(subject.rsplit('.').next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_says_what_its_messages_are_about() {
        let names = nuncius_bus::Namespace::default();
        for signal in Signal::ALL {
            assert_eq!(signal_of(&names.otlp(signal)), Some(signal));
        }
        assert_eq!(signal_of("nuncius.otlp.profiles"), None);
    }
}
