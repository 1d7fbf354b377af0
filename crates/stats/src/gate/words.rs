//! Figures of gates as words.

/// Both bounds and how sure they are.
pub(super) fn bounds(lower: &str, upper: &str, (below, above): (f64, f64)) -> String {
    if (below - above).abs() < f64::EPSILON {
        format!("one-sided {} bounds {lower} and {upper}", confidence(above))
    } else {
        format!("one-sided bounds {lower} ({}) and {upper} ({})", confidence(below), confidence(above))
    }
}

/// What a gate lacks to pass.
pub(super) fn needs(found: &str, samples: u64, pass: f64) -> String {
    format!("{found}; to pass at {} confidence it needs {samples} samples", confidence(pass))
}

/// With as many digits as tell it from certainty: 95 %, 97.5 %, 99.965 %.
fn confidence(share: f64) -> String {
    let missing_percent = ((1.0 - share) * 100.0).max(1e-12);
    let digits = (-libm::log10(missing_percent)).ceil().clamp(0.0, 11.0) as usize + 1;
    let text = format!("{:.digits$}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Nanoseconds for people, four significant digits.
pub(crate) fn time(value_ns: f64) -> String {
    let (scale, unit) = match value_ns {
        ns if ns >= 1e9 => (1e9, "s"),
        ns if ns >= 1e6 => (1e6, "ms"),
        _ => (1e3, "µs"),
    };
    let value = value_ns / scale;
    let digits = if value >= 100.0 {
        1
    } else if value >= 10.0 {
        2
    } else {
        3
    };
    format!("{value:.digits$} {unit}")
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.3} %", share * 100.0)
}

pub(crate) fn per_second(rate: f64) -> String {
    let digits = if rate.abs() >= 100.0 { 1 } else { 3 };
    format!("{rate:.digits$}/s")
}
