//! The rate that is planned, to be drawn: one curve for every view.

use nuncius_schemas::spec::{ExperimentSpec, Group};
use nuncius_schemas::units::SECOND_NS;

use crate::amended::{Basis, Piece, schedule_of};
use crate::leg::Leg;
use crate::profile::{ProfileError, RateProfile};

/// Points for each period of a wave, where there is room for them.
const POINTS_PER_PERIOD: u64 = 32;

/// The planned rate of an open group as it was amended: seconds of run time and arrivals per second, to be joined by
/// straight lines. Where that takes more than `points_max` points, and of a file, they are the averages over as many
/// equal parts of the time, each in the middle of its part.
///
/// # Errors
/// As [`schedule_of`].
pub fn curve_of(
    spec: &ExperimentSpec,
    index: u16,
    group: &Group,
    nodes: u32,
    points_max: usize,
) -> Result<Vec<(f64, f64)>, ProfileError> {
    if group.arrivals.recorded().is_some() {
        let schedule = schedule_of(spec, index, group, nodes)?;
        let before = |at_ns: u64| schedule.count_before(at_ns).unwrap_or(0) as f64;
        return Ok(averages(schedule.end_ns(), points_max, |from_ns, to_ns| before(to_ns) - before(from_ns)));
    }
    let pieces = Basis::of(spec, index, group, nodes)?.pieces(&spec.amendments);
    let ends = pieces.iter().skip(1).map(|piece| piece.from_ns).chain([u64::MAX]);
    let stretches: Vec<(&Piece, u64)> = pieces.iter().zip(ends).collect();
    let wanted: u64 = stretches.iter().map(|(piece, until_ns)| points_of(piece, *until_ns)).sum();
    if wanted <= points_max as u64 {
        let corners = stretches.iter().map(|(piece, until_ns)| corners(piece, *until_ns));
        return Ok(corners.collect::<Result<Vec<_>, _>>()?.concat());
    }
    let profiles: Vec<(u64, u64, RateProfile)> = stretches
        .iter()
        .map(|(piece, until_ns)| Ok((piece.from_ns, *until_ns, RateProfile::of(piece.legs.iter().copied())?)))
        .collect::<Result<_, ProfileError>>()?;
    let last = profiles.last().map_or(0, |(from_ns, _, profile)| from_ns.saturating_add(profile.duration_ns()));
    Ok(averages(last, points_max, |from_ns, to_ns| {
        let within = |(begin_ns, until_ns, profile): &(u64, u64, RateProfile)| {
            let within_ns = |at_ns: u64| at_ns.min(*until_ns).saturating_sub(*begin_ns);
            profile.expected_arrivals(within_ns(from_ns), within_ns(to_ns))
        };
        profiles.iter().map(within).sum()
    }))
}

/// Averages over equal parts of the time.
fn averages(end_ns: u64, count: usize, arrivals: impl Fn(u64, u64) -> f64) -> Vec<(f64, f64)> {
    let count = count.max(1) as u64;
    let at = |part: u64| (u128::from(end_ns) * u128::from(part) / u128::from(count)) as u64;
    let part = |part: u64| {
        let (from_ns, to_ns) = (at(part), at(part + 1));
        let length_ns = to_ns.saturating_sub(from_ns).max(1) as f64;
        let middle = u64::midpoint(from_ns, to_ns) as f64 / SECOND_NS as f64;
        (middle, arrivals(from_ns, to_ns) * SECOND_NS as f64 / length_ns)
    };
    if end_ns == 0 { Vec::new() } else { (0..count).map(part).collect() }
}

/// How many points a piece takes that ends at an instant.
fn points_of(piece: &Piece, until_ns: u64) -> u64 {
    let mut start_ns = piece.from_ns;
    let mut points = 0u64;
    for leg in &piece.legs {
        if start_ns >= until_ns {
            break;
        }
        points = points.saturating_add(parts_of(leg).saturating_add(1));
        start_ns = start_ns.saturating_add(leg.duration_ns());
    }
    points
}

/// Into how many straight lines a leg is cut.
fn parts_of(leg: &Leg) -> u64 {
    match leg {
        Leg::Straight(_) => 1,
        Leg::Wave(wave) => {
            let parts = u128::from(wave.duration.0) * u128::from(POINTS_PER_PERIOD);
            u64::try_from(parts.div_ceil(u128::from(wave.period_ns.max(1)))).unwrap_or(u64::MAX).max(1)
        }
    }
}

/// The points of a piece that ends at an instant.
fn corners(piece: &Piece, until_ns: u64) -> Result<Vec<(f64, f64)>, ProfileError> {
    let mut start_ns = piece.from_ns;
    let mut points = Vec::new();
    for leg in &piece.legs {
        if start_ns >= until_ns {
            break;
        }
        let end_ns = start_ns.saturating_add(leg.duration_ns()).min(until_ns);
        let length_ns = end_ns - start_ns;
        let profile = RateProfile::of([*leg])?;
        let parts = parts_of(leg);
        for part in 0..=parts {
            let within_ns = (u128::from(length_ns) * u128::from(part) / u128::from(parts)) as u64;
            let rate = match leg {
                // That before the step, where one follows.
                Leg::Straight(stage) if within_ns >= leg.duration_ns() => {
                    stage.to.unwrap_or(stage.rate).as_per_second()
                }
                Leg::Straight(_) | Leg::Wave(_) => profile.rate_at(within_ns.min(leg.duration_ns().saturating_sub(1))),
            };
            points.push(((start_ns + within_ns) as f64 / SECOND_NS as f64, rate));
        }
        start_ns = end_ns;
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::spec::Instants;

    use super::*;

    fn curve(load: &str, amendments: &str, points_max: usize) -> Vec<(f64, f64)> {
        let text =
            format!(r#"{{"seed": 7, "groups": [{{"target": "http://h/", {load}}}], "amendments": [{amendments}]}}"#);
        let mut spec: ExperimentSpec = serde_json::from_str(&text).unwrap();
        for (_, _, recorded) in spec.recorded_mut() {
            recorded.instants = Some(Instants((0..100u64).map(|at| at * at * 1_000_000).collect()));
        }
        spec.validate().unwrap();
        curve_of(&spec, 0, &spec.groups[0], 3, points_max).unwrap()
    }

    #[test]
    fn stages_have_their_corners_also_where_they_are_amended() {
        let stages =
            r#""stages": [{"rate": "0/s", "to": "10/s", "duration": "10s"}, {"rate": "5/s", "duration": "10s"}]"#;
        assert_eq!(curve(stages, "", 200), [(0.0, 0.0), (10.0, 10.0), (10.0, 5.0), (20.0, 5.0)]);
        let amended = curve(
            stages,
            r#"{"at": "5s", "change": {"scale": 2}}, {"at": "12s", "change": "pause"}, {"at": "18s", "change": "end"}"#,
            200,
        );
        let expected = [
            (0.0, 0.0),
            (5.0, 5.0),
            (5.0, 10.0),
            (10.0, 20.0),
            (10.0, 10.0),
            (12.0, 10.0),
            (12.0, 0.0),
            (18.0, 0.0),
            (18.0, 0.0),
            (18.0, 0.0),
        ];
        assert_eq!(amended, expected);
    }

    #[test]
    fn a_sine_is_drawn_round_and_what_has_too_many_points_as_averages() {
        let sine = r#""pattern": {"sine": {"min": "10/s", "max": "30/s", "period": "20s"}}, "duration": "40s""#;
        let drawn = curve(sine, "", 200);
        assert_eq!(drawn.len(), 65);
        assert!((drawn[8].1 - 30.0).abs() < 1e-6 && (drawn[24].1 - 10.0).abs() < 1e-6, "{drawn:?}");
        let averages = curve(sine, "", 10);
        let mean = averages.iter().map(|(_, rate)| rate).sum::<f64>() / 10.0;
        assert!(averages.len() == 10 && (mean - 20.0).abs() < 1e-6, "{averages:?}");
        // The arrivals of a walk that has more steps than points are all in it.
        let walk = r#""pattern": {"random_walk": {"max": "9/s", "sigma": 2}}, "duration": "1000s""#;
        let (coarse, fine) = (curve(walk, "", 100), curve(walk, "", 5_000));
        let arrivals = |points: &[(f64, f64)], length: f64| points.iter().map(|(_, rate)| rate * length).sum::<f64>();
        // Two points a step.
        assert!((arrivals(&coarse, 10.0) - arrivals(&fine, 0.5)).abs() < 1e-3, "{} {}", coarse.len(), fine.len());
    }

    #[test]
    fn a_file_is_drawn_as_it_is_dense() {
        let drawn =
            curve(r#""arrivals": {"file": "a.csv"}, "duration": "60s""#, r#"{"at": "9s", "change": {"scale": 2}}"#, 50);
        assert_eq!(drawn.len(), 50);
        let length = 2.0 * drawn[0].0;
        assert!((drawn.iter().map(|(_, rate)| rate * length).sum::<f64>() - 100.0).abs() < 1e-3, "{drawn:?}");
        assert!(drawn[0].1 > drawn[40].1);
    }
}
