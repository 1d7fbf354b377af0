//! What `scripts/bench` holds the consumption of memory against: a plain fill. `plain_fill BYTES` says how long it
//! took.

use std::time::Instant;

fn main() {
    let bytes: usize = std::env::args_os()
        .nth(1)
        .and_then(|text| text.into_string().ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or(1 << 30);
    let begun = Instant::now();
    let mut memory: Vec<u8> = Vec::new();
    // Not zero: pages of zeros would come from the system as they are.
    memory.resize(bytes, 1);
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("seconds={seconds:.4} last={}", std::hint::black_box(&memory).last().copied().unwrap_or_default());
}
