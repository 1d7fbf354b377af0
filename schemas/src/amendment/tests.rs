use super::*;

#[test]
fn an_amendment_is_written_as_a_person_would_and_comes_back_the_same() {
    for (text, told) in [
        (r#"{"at":"13s","change":"pause"}"#, "pause from 13s on"),
        (r#"{"at":"13s","group":"shop","change":{"rate":"200/s"}}"#, "rate 200/s of group shop from 13s on"),
        (r#"{"at":"1500ms","change":{"scale":1.5},"reason":"more","who":"ada"}"#, "scale 1.5 from 1500ms on"),
        (r#"{"at":"0s","change":{"users":20}}"#, "users 20 from 0s on"),
        (r#"{"at":"1s","change":"resume"}"#, "resume from 1s on"),
    ] {
        let amendment: Amendment = serde_json::from_str(text).unwrap();
        assert_eq!((serde_json::to_string(&amendment).unwrap().as_str(), amendment.told().as_str()), (text, told));
    }
    for wrong in [r#"{"scale":-1}"#, r#"{"scale":1e9}"#, r#"{"rate":"many"}"#, r#""stop""#, r#"{"users":-1}"#] {
        assert!(serde_json::from_str::<Change>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_last_change_of_how_much_load_there_is_counts_and_a_pause_is_apart() {
    let after = |changes: &[Change]| changes.iter().fold(Amended::default(), |amended, change| amended.with(change));
    let half = || Change::Scale(Multiplier::new(0.5).unwrap());
    let rate = || Change::Rate(Rate::per_second(3));
    assert_eq!(after(&[half(), rate()]).rate, Some(Rate::per_second(3)));
    assert_eq!(after(&[rate(), half()]).rate, None);
    assert_eq!(after(&[Change::Users(7), half()]).users_of(10), 5);
    assert_eq!(after(&[half(), Change::Users(7)]).users_of(10), 7);
    assert_eq!(after(&[Change::Users(7), Change::Pause]).users_of(10), 0);
    assert_eq!(after(&[Change::Users(7), Change::Pause, Change::Resume]).users_of(10), 7);
}

#[test]
fn a_multiplier_is_exact_in_whole_numbers() {
    assert_eq!(Multiplier::new(2.5).unwrap().times(7), 18);
    assert_eq!(Multiplier::default().times(u64::MAX), u64::MAX);
    assert_eq!(Multiplier::new(1_000_000.0).unwrap().times(u64::MAX), u64::MAX);
    assert_eq!((Multiplier::new(-0.1), Multiplier::new(f64::NAN), Multiplier::new(1e12)), (None, None, None));
}
