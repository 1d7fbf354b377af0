//! Memory that is mapped, written and kept. A part that is dropped goes back to the system at once.

use std::sync::atomic::Ordering::Relaxed;

use memmap2::MmapMut;

use super::group::{Gauge, HoldError};
use super::ladder::{MEMORY, Plan, STEPS};
use super::noise::Noise;

/// So much is written between looks at whether to go on, in bytes.
const CHUNK_BYTES: usize = 4 << 20;

/// So much of a part is shown, in bytes.
const SHOWN_BYTES: usize = 64;

/// What is held.
#[derive(Debug)]
pub(crate) struct Memory {
    parts: [Vec<MmapMut>; STEPS],
    rest: Option<MmapMut>,
    noise: Noise,
}

impl Memory {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { parts: Default::default(), rest: None, noise: Noise::new(fastrand::u64(..)) }
    }

    /// What is held, as parts.
    pub(crate) fn plan(&self) -> Plan {
        let counts = self.parts.each_ref().map(|parts| parts.len() as u64);
        Plan { counts, rest_bytes: self.rest.as_ref().map_or(0, |rest| rest.len() as u64) }
    }

    /// Length and first bytes of each part, the smallest parts first.
    pub(crate) fn beginnings(&self) -> impl Iterator<Item = (usize, String)> {
        self.parts.iter().flatten().chain(&self.rest).map(|part| {
            let bytes = part.iter().take(SHOWN_BYTES);
            (part.len(), bytes.map(|byte| format!("{byte:02x}")).collect())
        })
    }

    fn settle(&self, gauge: &Gauge) {
        gauge.held.store(MEMORY.total_bytes(&self.plan()), Relaxed);
    }

    /// Gives back and takes until this plan is held. What was got before an error stays.
    ///
    /// # Errors
    /// Of `may_grow`, which is asked before every part; [`HoldError::Memory`]; [`HoldError::Cancelled`].
    pub(crate) fn hold(
        &mut self,
        wanted: &Plan,
        gauge: &Gauge,
        may_grow: impl Fn(u64) -> Result<(), HoldError>,
    ) -> Result<(), HoldError> {
        let counts = wanted.counts.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        for (parts, count) in self.parts.iter_mut().zip(counts) {
            parts.truncate(count);
        }
        if self.plan().rest_bytes != wanted.rest_bytes {
            self.rest = None;
        }
        self.settle(gauge);
        let noise = &mut self.noise;
        let mut grow = || -> Result<(), HoldError> {
            for ((parts, count), size_bytes) in self.parts.iter_mut().zip(counts).zip(MEMORY.sizes_bytes()) {
                while parts.len() < count {
                    may_grow(size_bytes)?;
                    parts.push(written(size_bytes, noise, gauge)?);
                }
            }
            if self.rest.is_none() && wanted.rest_bytes > 0 {
                may_grow(wanted.rest_bytes)?;
                self.rest = Some(written(wanted.rest_bytes, noise, gauge)?);
            }
            Ok(())
        };
        let grown = grow();
        self.settle(gauge);
        grown
    }
}

/// A new part, every byte of it written.
fn written(size_bytes: u64, noise: &mut Noise, gauge: &Gauge) -> Result<MmapMut, HoldError> {
    let failed = |source| HoldError::Memory { bytes: size_bytes, source };
    let length = usize::try_from(size_bytes).map_err(|error| failed(std::io::Error::other(error)))?;
    let mut part = MmapMut::map_anon(length).map_err(failed)?;
    for chunk in part.chunks_mut(CHUNK_BYTES) {
        if gauge.cancel.load(Relaxed) {
            return Err(HoldError::Cancelled);
        }
        noise.fill(chunk);
        gauge.held.fetch_add(chunk.len() as u64, Relaxed);
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_taken_and_given_back_and_told() {
        let (mut memory, gauge) = (Memory::new(), Gauge::default());
        for bytes in [3 << 20, (1 << 20) + 5, 9 << 20, 0] {
            let plan = MEMORY.exact(bytes);
            memory.hold(&plan, &gauge, |_| Ok(())).unwrap();
            assert_eq!((memory.plan(), gauge.held.load(Relaxed)), (plan, bytes));
        }
    }

    #[test]
    fn each_part_begins_otherwise() {
        let (mut memory, gauge) = (Memory::new(), Gauge::default());
        memory.hold(&MEMORY.exact((6 << 20) + 5), &gauge, |_| Ok(())).unwrap();
        let shown: Vec<_> = memory.beginnings().collect();
        let lengths = shown.iter().map(|(length, _)| *length).sum::<usize>();
        let mut begins: Vec<_> = shown.iter().map(|(_, begins)| begins.as_str()).collect();
        assert!(begins.iter().rev().skip(1).all(|begins| begins.len() == 2 * SHOWN_BYTES), "{begins:?}");
        begins.sort_unstable();
        begins.dedup();
        assert_eq!((lengths, begins.len()), ((6 << 20) + 5, shown.len()));
    }

    #[test]
    fn what_was_got_before_it_was_stopped_stays_and_is_told() {
        let (mut memory, gauge) = (Memory::new(), Gauge::default());
        let refuse = |bytes| if bytes > 1 << 20 { Err(HoldError::Cancelled) } else { Ok(()) };
        assert!(memory.hold(&MEMORY.exact(55 << 20), &gauge, refuse).is_err());
        assert_eq!(memory.plan().counts, [20, 22, 0, 0, 0]);
        assert_eq!(gauge.held.load(Relaxed), 27 << 20);
        gauge.cancel.store(true, Relaxed);
        assert!(matches!(memory.hold(&MEMORY.exact(55 << 20), &gauge, |_| Ok(())), Err(HoldError::Cancelled)));
        assert_eq!(gauge.held.load(Relaxed), 27 << 20);
    }
}
