use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

fn ended<T>(model: &mut Model<T>) -> Vec<Ended<T>> {
    std::iter::from_fn(|| model.next_ended()).collect()
}

/// Lets a model run until nothing is left in it, from end to end.
fn run_out<T>(model: &mut Model<T>) -> Vec<Ended<T>> {
    while let Some(end_ns) = model.next_end_ns() {
        model.advance(end_ns);
    }
    ended(model)
}

/// `users` in a closed loop, each sending again as it is answered, until `count` jobs are done: the jobs and the time.
fn closed_loop(model: &mut Model<u32>, users: u32, count: u64, work_ns: impl Fn(u64) -> u64) -> (Vec<Ended<u32>>, u64) {
    let (mut sent, mut now_ns, mut done) = (0, 0, Vec::new());
    for user in 0..users {
        model.arrive(0, work_ns(sent), user).unwrap();
        sent += 1;
    }
    while model.finished() < count {
        now_ns = model.next_end_ns().unwrap();
        model.advance(now_ns);
        for job in ended(model) {
            model.arrive(now_ns, work_ns(sent), job.tag).unwrap();
            sent += 1;
            done.push(job);
        }
    }
    (done, now_ns)
}

/// What the law says, in jobs per second.
fn law(users: u32, work_seconds: f64, alpha: f64, beta: f64) -> f64 {
    let n = f64::from(users);
    n / (work_seconds * (1.0 + alpha * (n - 1.0) + beta * n * (n - 1.0)))
}

const LAWS: [(f64, f64); 6] = [(0.0, 0.0), (0.1, 0.0), (0.5, 0.0), (1.0, 0.0), (0.05, 0.001), (0.0, 0.02)];

#[test]
fn users_in_a_closed_loop_see_the_throughput_of_the_universal_scalability_law() {
    for (alpha, beta) in LAWS {
        for users in [1, 2, 3, 8, 32, 100] {
            let mut model = Model::new(128, 0, alpha, beta);
            let (done, time_ns) = closed_loop(&mut model, users, 20 * u64::from(users), |_| 10 * MS);
            let seen = done.len() as f64 / (time_ns as f64 / 1e9);
            let expected = law(users, 0.01, alpha, beta);
            assert!((seen / expected - 1.0).abs() < 1e-6, "{users} users, {alpha}, {beta}: {seen}, not {expected}");
        }
    }
}

#[test]
fn the_law_holds_for_work_of_any_distribution() {
    let distribution: crate::stub::ServiceTime = "exponential:10ms".parse().unwrap();
    for (alpha, beta) in LAWS {
        let users = 16;
        let mut model = Model::new(users, 0, alpha, beta);
        let (done, time_ns) = closed_loop(&mut model, users, 50_000, |number| distribution.sample_ns(3, number));
        let seen = done.len() as f64 / (time_ns as f64 / 1e9);
        let expected = law(users, 0.01, alpha, beta);
        assert!((seen / expected - 1.0).abs() < 0.03, "{alpha}, {beta}: {seen}, not {expected}");
    }
}

#[test]
fn more_users_than_lanes_wait_and_slow_nobody_down() {
    let (lanes, users) = (4, 20);
    let mut model = Model::new(lanes, 100, 0.1, 0.01);
    let (done, time_ns) = closed_loop(&mut model, users, 2000, |_| 10 * MS);
    let seen = done.len() as f64 / (time_ns as f64 / 1e9);
    assert!((seen / law(lanes, 0.01, 0.1, 0.01) - 1.0).abs() < 1e-6, "{seen}");
    // Little's law: all users are always in it.
    let last = done.last().unwrap();
    let response_seconds = (last.ended_ns - last.arrived_ns) as f64 / 1e9;
    assert!((response_seconds * seen / f64::from(users) - 1.0).abs() < 1e-6, "{response_seconds}");
}

#[test]
fn a_job_is_slow_only_while_it_has_company() {
    // One alone for 50 of its 100 ms, then two at half the speed, then the second alone.
    let mut model = Model::new(2, 0, 1.0, 0.0);
    model.arrive(0, 100 * MS, "first").unwrap();
    model.arrive(50 * MS, 100 * MS, "second").unwrap();
    assert_eq!(model.next_end_ns(), Some(150 * MS));
    let done = run_out(&mut model);
    assert_eq!(
        done.iter().map(|job| (job.tag, job.ended_ns)).collect::<Vec<_>>(),
        [("first", 150 * MS), ("second", 200 * MS)]
    );
    assert_eq!(model.busy_lane_ns(), u128::from(300 * MS));
}

#[test]
fn the_line_is_bounded_and_gives_back_what_does_not_fit() {
    let mut model = Model::new(1, 2, 0.0, 0.0);
    for number in 0..3 {
        assert_eq!(model.arrive(0, MS, number), Ok(()));
    }
    assert_eq!(model.arrive(0, MS, 3), Err(3));
    assert_eq!((model.running(), model.waiting()), (1, 2));
    // At the very instant of an end there is room again.
    assert_eq!(model.arrive(MS, MS, 4), Ok(()));
    assert_eq!(run_out(&mut model).iter().map(|job| job.tag).collect::<Vec<_>>(), [0, 1, 2, 4]);
}

#[test]
fn work_of_no_time_ends_as_it_starts() {
    let mut model = Model::new(1, 10, 0.5, 0.5);
    model.arrive(7, 0, "at once").unwrap();
    assert_eq!(ended(&mut model).len(), 1);
    model.arrive(7, 5, "some").unwrap();
    model.arrive(8, 0, "behind it").unwrap();
    model.advance(12);
    let done = ended(&mut model);
    assert_eq!(done.iter().map(|job| (job.tag, job.ended_ns)).collect::<Vec<_>>(), [("some", 12), ("behind it", 12)]);
}

#[test]
fn what_is_given_up_tells_how_long_it_waited_and_ran() {
    let mut model = Model::new(2, 10, 0.0, 0.0);
    for (number, work_ns) in [(0u64, 90), (1, 10), (2, 80), (3, 5)] {
        model.arrive(number, work_ns, number).unwrap();
    }
    let left = model.abandon(20);
    assert_eq!(
        left.iter().map(|job| (job.tag, job.started_ns, job.ended_ns)).collect::<Vec<_>>(),
        [(0, 0, 20), (2, 11, 20), (3, 20, 20)]
    );
    assert_eq!(ended(&mut model).len(), 1);
    assert_eq!((model.running(), model.waiting(), model.next_end_ns()), (0, 0, None));
}

/// The same device, reckoned naively in floating point: the remaining work of every job, brought up to date at every
/// event. The ends by number of the job.
fn naive(lanes: usize, alpha: f64, beta: f64, jobs: &[(u64, u64)]) -> Vec<f64> {
    let mut ends = vec![f64::NAN; jobs.len()];
    let mut running: Vec<(usize, f64)> = Vec::new();
    let (mut next, mut waiting, mut now) = (0, VecDeque::new(), 0.0);
    while next < jobs.len() || !running.is_empty() {
        let n = running.len() as f64;
        let speed = 1.0 / (1.0 + alpha * (n - 1.0) + beta * n * (n - 1.0));
        let end = running.iter().map(|(_, left)| now + left / speed).fold(f64::INFINITY, f64::min);
        let arrival = jobs.get(next).map_or(f64::INFINITY, |job| job.0 as f64);
        let then = end.min(arrival);
        for (_, left) in &mut running {
            *left -= (then - now) * speed;
        }
        now = then;
        if arrival <= end {
            waiting.push_back(next);
            next += 1;
        } else {
            let at = (0..running.len()).min_by(|a, b| running[*a].1.total_cmp(&running[*b].1)).unwrap();
            ends[running.remove(at).0] = now;
        }
        while running.len() < lanes
            && let Some(job) = waiting.pop_front()
        {
            running.push((job, jobs[job].1 as f64));
        }
    }
    ends
}

/// Gaps between arrivals and works, in nanoseconds; as instants of arrival and works.
fn jobs() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0..5_000_000u64, 0..20_000_000u64), 1..60).prop_map(|gaps| {
        let mut at_ns = 0;
        gaps.into_iter()
            .map(|(gap_ns, work_ns)| {
                at_ns += gap_ns;
                (at_ns, work_ns)
            })
            .collect()
    })
}

fn played(lanes: u32, alpha: f64, beta: f64, jobs: &[(u64, u64)], looks_ns: &[u64]) -> Vec<Ended<usize>> {
    let mut model = Model::new(lanes, u32::MAX, alpha, beta);
    for (number, &(at_ns, work_ns)) in jobs.iter().enumerate() {
        for look_ns in looks_ns.iter().filter(|look_ns| **look_ns < at_ns) {
            model.advance(*look_ns);
        }
        model.arrive(at_ns, work_ns, number).unwrap();
    }
    for look_ns in looks_ns {
        model.advance(*look_ns);
    }
    run_out(&mut model)
}

proptest! {
    #[test]
    fn every_job_starts_in_its_turn_and_ends_once(jobs in jobs(), lanes in 1..8u32, alpha in 0.0..1.0f64, beta in 0.0..0.5f64) {
        let mut done = played(lanes, alpha, beta, &jobs, &[]);
        prop_assert!(done.is_sorted_by_key(|job| job.ended_ns));
        done.sort_by_key(|job| job.tag);
        prop_assert_eq!(done.iter().map(|job| job.tag).collect::<Vec<_>>(), (0..jobs.len()).collect::<Vec<_>>());
        prop_assert!(done.is_sorted_by_key(|job| job.started_ns));
        for (job, &(at_ns, work_ns)) in done.iter().zip(&jobs) {
            prop_assert_eq!((job.arrived_ns, job.work_ns), (at_ns, work_ns));
            prop_assert!(job.started_ns >= at_ns && job.ended_ns - job.started_ns >= work_ns);
            let beside = done.iter().filter(|other| other.started_ns <= job.started_ns && other.ended_ns > job.started_ns);
            prop_assert!(beside.count() <= lanes as usize);
        }
    }

    #[test]
    fn without_slowdown_a_job_runs_exactly_its_work(jobs in jobs(), lanes in 1..8u32) {
        for job in played(lanes, 0.0, 0.0, &jobs, &[]) {
            prop_assert_eq!(job.ended_ns - job.started_ns, job.work_ns);
        }
    }

    #[test]
    fn looking_more_often_changes_nothing(
        jobs in jobs(),
        lanes in 1..8u32,
        alpha in 0.0..1.0f64,
        beta in 0.0..0.5f64,
        mut looks_ns in prop::collection::vec(0..400_000_000u64, 0..50),
    ) {
        looks_ns.sort_unstable();
        prop_assert_eq!(played(lanes, alpha, beta, &jobs, &[]), played(lanes, alpha, beta, &jobs, &looks_ns));
    }

    #[test]
    fn ends_are_those_of_the_naive_reckoning(jobs in jobs(), lanes in 1..8u32, alpha in 0.0..1.0f64, beta in 0.0..0.5f64) {
        let ends = naive(lanes as usize, alpha, beta, &jobs);
        // Every end is rounded up to a nanosecond; each may put off those behind it, and slow those beside it for as
        // long.
        let most_late_ns = 2.0 * (1.0 + jobs.len() as f64);
        for job in played(lanes, alpha, beta, &jobs, &[]) {
            let difference_ns = job.ended_ns as f64 - ends[job.tag];
            prop_assert!((-0.01..most_late_ns).contains(&difference_ns), "{}: {difference_ns} ns", job.tag);
        }
    }
}
