use proptest::prelude::*;

use super::*;
use crate::{Histogram, Totals};

/// The first attempt of a process.
fn of(epoch: u64) -> Incarnation {
    Incarnation { epoch, attempt: 1 }
}

fn ledger() -> Ledger {
    let mut ledger = Ledger::new();
    ledger.enroll("a", of(7)).unwrap();
    ledger
}

#[test]
fn only_members_are_heard_and_every_incarnation_for_itself() {
    let mut ledger = ledger();
    assert_eq!(ledger.accept("a", of(7), 1, 0, 1), Ok(Accept::New));
    assert_eq!(ledger.accept("a", of(7), 1, 0, 1), Ok(Accept::Duplicate));
    assert_eq!(ledger.accept("a", of(6), 1, 0, 1), Ok(Accept::Stale));
    assert_eq!(ledger.accept("b", of(7), 1, 0, 1), Ok(Accept::Stale));
    ledger.enroll("a", of(3)).unwrap();
    ledger.enroll("a", of(7)).unwrap();
    assert_eq!(ledger.accept("a", of(3), 1, 0, 1), Ok(Accept::New));
    assert_eq!(ledger.accept("a", of(7), 2, 0, 1), Ok(Accept::New));
    assert_eq!((ledger.complete_through("a", of(7)), ledger.complete_through("a", of(3))), (2, 1));
    assert_eq!(ledger.complete_through("b", of(1)), 0);
}

#[test]
fn another_attempt_of_the_same_process_counts_its_sequences_anew() {
    let mut ledger = ledger();
    let again = Incarnation { epoch: 7, attempt: 2 };
    assert_eq!(ledger.accept("a", of(7), 1, 0, 1), Ok(Accept::New));
    assert_eq!(ledger.accept("a", again, 1, 0, 1), Ok(Accept::Stale));
    ledger.enroll("a", again).unwrap();
    assert_eq!(ledger.accept("a", again, 1, 0, 1), Ok(Accept::New));
    assert_eq!((ledger.complete_through("a", of(7)), ledger.complete_through("a", again)), (1, 1));
    assert_eq!(Ledger::from_entries(&ledger.entries()), Ok(ledger));
}

#[test]
fn a_sequence_is_complete_with_all_its_parts() {
    let mut ledger = ledger();
    for (sequence, part, parts, complete) in [(2, 0, 1, 0), (1, 2, 3, 0), (1, 0, 3, 0), (1, 1, 3, 2), (3, 63, 64, 2)] {
        assert_eq!(ledger.accept("a", of(7), sequence, part, parts), Ok(Accept::New));
        assert_eq!(ledger.complete_through("a", of(7)), complete);
    }
    assert_eq!(ledger.accept("a", of(7), 1, 1, 3), Ok(Accept::Duplicate));
    assert_eq!(ledger.accept("a", of(7), 3, 63, 64), Ok(Accept::Duplicate));
}

#[test]
fn holes_are_what_is_missing_before_what_came() {
    let mut ledger = ledger();
    let hole = |from, through| Hole { node: "a".to_owned(), incarnation: of(7), from, through };
    assert!(ledger.holes().is_empty());
    for sequence in [1, 3, 4, 8] {
        ledger.accept("a", of(7), sequence, 0, 1).unwrap();
    }
    ledger.accept("a", of(7), 10, 0, 2).unwrap();
    assert_eq!(ledger.holes(), [hole(2, 2), hole(5, 7), hole(9, 10)]);
}

#[test]
fn impossible_numbers_are_refused_with_the_limit_and_change_nothing() {
    let mut ledger = ledger();
    ledger.accept("a", of(7), 2, 0, 2).unwrap();
    let before = ledger.clone();
    assert_eq!(ledger.accept("a", of(7), 0, 0, 1), Err(LedgerError::SequenceZero));
    assert_eq!(ledger.accept("a", of(7), 1, 1, 1), Err(LedgerError::Part { part: 1, parts: 1 }));
    assert_eq!(ledger.accept("a", of(7), 1, 0, 0), Err(LedgerError::Part { part: 0, parts: 0 }));
    assert_eq!(ledger.accept("a", of(7), 1, 0, 65), Err(LedgerError::Part { part: 0, parts: 65 }));
    assert_eq!(ledger.accept("a", of(7), 2, 1, 3), Err(LedgerError::PartsDiffer { sequence: 2, parts: 3, before: 2 }));
    let error = ledger.accept("a", of(7), 4_097, 0, 1).unwrap_err();
    assert!(error.to_string().contains("4096"), "{error}");
    assert_eq!(ledger, before);
    for epoch in 0..MEMBERS_MAX as u64 - 1 {
        ledger.enroll("b", of(epoch)).unwrap();
    }
    assert_eq!(ledger.enroll("c", of(0)), Err(LedgerError::TooManyMembers));
    assert_eq!(ledger.enroll("b", of(0)), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_shuffle_and_repetition_of_deltas_gives_the_same_counts(
        sequences in 1u64..30,
        parts in 1u32..4,
        repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        seed in any::<u64>(),
        restart in any::<prop::sample::Index>(),
    ) {
        let delta = |sequence: u64, part: u32| {
            let mut histogram = Histogram::new();
            histogram.record_ns_many(sequence * 1_000_000 + u64::from(part) * 5_000, sequence + u64::from(part));
            histogram.encode_delta()
        };
        let all: Vec<(u64, u32)> = (1..=sequences).flat_map(|s| (0..parts).map(move |part| (s, part))).collect();
        let mut once = Totals::new();
        for (sequence, part) in &all {
            once.merge_delta(&delta(*sequence, *part)).unwrap();
        }
        let mut sent = all.clone();
        sent.extend(repeats.iter().map(|repeat| all[repeat.index(all.len())]));
        fastrand::Rng::with_seed(seed).shuffle(&mut sent);
        let restart = restart.index(sent.len());
        let (mut ledger, mut totals) = (ledger(), Totals::new());
        for (at, (sequence, part)) in sent.iter().enumerate() {
            if at == restart {
                // What a daemon does that starts from its checkpoint.
                ledger = Ledger::from_entries(&ledger.entries()).unwrap();
                totals = Totals::decode(&totals.encode()).unwrap();
            }
            if ledger.accept("a", of(7), *sequence, *part, parts).unwrap() == Accept::New {
                totals.merge_delta(&delta(*sequence, *part)).unwrap();
            }
        }
        prop_assert_eq!(totals, once);
        prop_assert_eq!(ledger.complete_through("a", of(7)), sequences);
        prop_assert!(ledger.holes().is_empty());
    }

    #[test]
    fn arbitrary_numbers_never_panic(
        calls in prop::collection::vec((any::<u64>(), any::<u32>(), any::<u32>()), 0..50),
    ) {
        let mut ledger = ledger();
        for (sequence, part, parts) in calls {
            let _ = ledger.accept("a", of(7), sequence % 9_000, part % 70, parts % 70);
            let _ = ledger.accept("a", of(7), sequence, part, parts);
            let _ = ledger.holes();
        }
    }
}
