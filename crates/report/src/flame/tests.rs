use proptest::prelude::*;

use super::*;

fn folded(text: &str) -> Folded {
    Folded::parse(text.as_bytes()).unwrap()
}

#[test]
fn stacks_are_drawn_with_their_frames_and_shares() {
    let picture = graph(&folded("main;work 3\nmain;wait 1\n"), "run e-1", 1 << 20).unwrap();
    assert!(picture.contains("<svg") && picture.contains("run e-1"));
    assert!(picture.contains("work (3 samples, 75.00%)") && picture.contains("wait (1 samples, 25.00%)"), "{picture}");
    assert_eq!(picture, graph(&folded("main;wait 1\nmain;work 3\n"), "run e-1", 1 << 20).unwrap());
}

#[test]
fn the_stacks_of_several_nodes_are_added() {
    let mut both = folded("main;work 3\nmain;wait 1\n");
    both.add(folded("main;work 5\nno stack\n")).unwrap();
    assert_eq!((both.samples(), both.lines_left_out()), (9, 1));
    assert!(graph(&both, "", 1 << 20).unwrap().contains("work (8 samples"));
}

#[test]
fn a_difference_compares_shares_and_not_the_length_of_the_runs() {
    // Twice the samples: work has a share less, and wait one more.
    let before = folded("main;work 50\nmain;wait 50\n");
    let after = folded("main;work 50\nmain;wait 150\n");
    let picture = difference(&before, &after, "a and b", 1 << 20).unwrap();
    assert!(picture.contains("wait (150 samples, 75.00%; +25.00%)"), "{picture}");
    assert!(picture.contains("work (50 samples, 25.00%; -25.00%)"), "{picture}");
    let same = difference(&before, &folded("main;work 100\nmain;wait 100\n"), "", 1 << 20).unwrap();
    assert!(same.contains("50.00%; 0.00%)") && !same.contains("%; +") && !same.contains("%; -"));
}

#[test]
fn names_of_strangers_are_text_and_nothing_else() {
    let hostile = "<script>alert(1)</script>;\"onload=x&\u{1}\u{fffe};]]><a href='javascript:x'> 1";
    let picture = graph(&folded(hostile), "</text><script>x</script>", 1 << 20).unwrap();
    assert!(!picture.contains("<script>alert") && !picture.contains("<script>x") && !picture.contains("<a href"));
    assert!(picture.contains("&lt;script&gt;alert(1)") && !picture.contains('\u{1}') && !picture.contains('\u{fffe}'));
}

#[test]
fn a_frame_that_ends_like_a_number_is_no_second_count() {
    let picture = graph(&folded("main;step 7 2\nmain;step 8 2\n"), "", 1 << 20).unwrap();
    assert!(picture.contains("step\u{a0}7 (2 samples, 50.00%)"), "{picture}");
}

#[test]
fn what_is_no_profile_or_too_much_of_one_is_an_error_that_says_so() {
    for text in ["", "\n\n", "<html>", "main;work", "main;work x", "main;work -1", "main;work 0", " 7", "7"] {
        let told = Folded::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(told.contains("no folded stacks"), "{text}: {told}");
    }
    let told = graph(&folded("main 1"), "", 100).unwrap_err().to_string();
    assert_eq!(told, "the flame graph would have more than 100 bytes");
    let many = format!("a {SAMPLES_MAX}\nb 1\n");
    assert!(matches!(Folded::parse(many.as_bytes()), Err(FlameError::TooMany)));
    assert!(matches!(Folded::parse(b"a 18446744073709551615"), Err(FlameError::TooMany)));
    let large = vec![b'a'; FOLDED_MAX_BYTES + 1];
    assert!(matches!(Folded::parse(&large), Err(FlameError::TooLarge { .. })));
}

#[test]
fn a_stack_of_any_depth_is_drawn_as_far_as_there_is_room() {
    let deep = format!("{} 1", vec!["f"; 100_000].join(";"));
    let picture = graph(&folded(&deep), "", 1 << 20).unwrap();
    assert!(picture.contains("[more frames] (1 samples"));
    assert!(!graph(&folded(&format!("{} 1", vec!["f"; FRAMES_MAX].join(";"))), "", 1 << 20).unwrap().contains("[more"));
}

#[test]
fn fractions_of_samples_are_left_out() {
    assert_eq!(folded("main 7.9\n").samples(), 7);
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_there_is_a_picture_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        lines in "([a-c;_ 0-9.#\\[\\]\u{1}<&]{0,12} [0-9.]{1,4}\n){0,12}",
    ) {
        for bytes in [bytes, lines.into_bytes()] {
            if let Ok(folded) = Folded::parse(&bytes) {
                let _ = graph(&folded, "t", 1 << 20);
                let _ = difference(&folded, &folded, "t", 1 << 20);
            }
        }
    }
}
