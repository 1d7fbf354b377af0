//! Amounts over time: a level, a ramp, or a profile of both. Pure: time is what has passed since the request.

use std::time::Duration;

use nuncius_schemas::resource::{Amount, PROFILE_MAX_STEPS, ResourceRequest};

use super::group::Refusal;

/// How often a ramp is followed.
const RAMP_TICK: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    begins: Duration,
    ends: Duration,
    from: u64,
    to: u64,
}

/// What is wanted when; amounts in bytes, or in thousandths of a percent of one core.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Program {
    steps: Vec<Step>,
    last: u64,
    ends: Option<Duration>,
}

impl Program {
    /// Reads a request; `held` is where ramps begin, `resolve` gives amounts their number.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with the field.
    pub(crate) fn read(
        request: &ResourceRequest,
        held: u64,
        resolve: impl Fn(Amount) -> Result<u64, Refusal>,
    ) -> Result<Self, Refusal> {
        let invalid = |problem: &str| Refusal::Invalid(problem.to_owned());
        let (mut steps, mut last, mut at) = (Vec::new(), held, Duration::ZERO);
        let mut add = |to: u64, duration: Duration, ramp: bool| {
            let ends = at.saturating_add(duration);
            steps.push(Step { begins: at, ends, from: if ramp { last } else { to }, to });
            (last, at) = (to, ends);
        };
        match (request.amount, request.profile.as_slice()) {
            (Some(_), [_, ..]) => return Err(invalid("amount: give either an amount or a profile")),
            (None, []) => {
                return Err(invalid("amount: is missing; write {\"amount\": \"512MiB\"} or {\"amount\": \"50%\"}"));
            }
            (Some(amount), []) => {
                let ramp = request.ramp.unwrap_or_default().to_std();
                add(resolve(amount)?, ramp, !ramp.is_zero());
            }
            (None, profile) => {
                if request.ramp.is_some() {
                    return Err(invalid(
                        "ramp: a profile has ramps of its own; write {\"for\": …, \"amount\": …, \"ramp\": true}",
                    ));
                }
                if profile.len() > PROFILE_MAX_STEPS {
                    let problem = format!("profile: {} steps; at most {PROFILE_MAX_STEPS} are taken", profile.len());
                    return Err(Refusal::Invalid(problem));
                }
                for (index, step) in profile.iter().enumerate() {
                    if step.duration.as_nanos() == 0 {
                        return Err(Refusal::Invalid(format!(
                            "profile[{index}].for: 0 is no step; write a time as 10s"
                        )));
                    }
                    add(resolve(step.amount)?, step.duration.to_std(), step.ramp);
                }
            }
        }
        let ttl = request.ttl.map(|ttl| ttl.to_std());
        if ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(invalid("for: 0 is no time; write a time as 10m, or release with an amount of 0"));
        }
        let ends = ttl.or_else(|| (!request.profile.is_empty()).then_some(at));
        Ok(Self { steps, last, ends })
    }

    /// What is wanted at a time.
    pub(crate) fn wanted(&self, elapsed: Duration) -> u64 {
        if self.has_ended(elapsed) {
            return 0;
        }
        let Some(step) = self.steps.iter().find(|step| elapsed < step.ends) else { return self.last };
        let share = (elapsed - step.begins).as_secs_f64() / (step.ends - step.begins).as_secs_f64();
        let (from, to) = (step.from, step.to);
        let way = (from.abs_diff(to) as f64 * share) as u64;
        if to >= from { from.saturating_add(way) } else { from.saturating_sub(way) }
    }

    /// Most that is ever wanted.
    pub(crate) fn peak(&self) -> u64 {
        self.steps.iter().map(|step| step.from.max(step.to)).max().unwrap_or(self.last)
    }

    /// What is wanted when all steps are done.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The time of all steps.
    pub(crate) fn length(&self) -> Duration {
        self.steps.last().map_or(Duration::ZERO, |step| step.ends)
    }

    /// When everything is released.
    pub(crate) fn ends(&self) -> Option<Duration> {
        self.ends
    }

    /// Whether everything is to be released.
    pub(crate) fn has_ended(&self, elapsed: Duration) -> bool {
        self.ends.is_some_and(|ends| elapsed >= ends)
    }

    /// Whether nothing is wanted from now on.
    pub(crate) fn is_over(&self, elapsed: Duration) -> bool {
        self.last == 0 && elapsed >= self.length()
    }

    /// Whether it is on a ramp.
    pub(crate) fn is_moving(&self, elapsed: Duration) -> bool {
        self.steps.iter().find(|step| elapsed < step.ends).is_some_and(|step| step.from != step.to)
    }

    /// When it has to be looked at again; none where nothing will change.
    pub(crate) fn next_look(&self, elapsed: Duration) -> Option<Duration> {
        let step = self.steps.iter().find(|step| elapsed < step.ends).map(|step| step.ends);
        let tick = self.is_moving(elapsed).then(|| elapsed.saturating_add(RAMP_TICK));
        let ends = self.ends.filter(|ends| elapsed < *ends);
        [step, tick, ends].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, held: u64) -> Result<Program, Refusal> {
        let request = serde_json::from_str(json).unwrap();
        Program::read(&request, held, |amount| amount.to_bytes(1000).map_err(|e| Refusal::Invalid(e.to_string())))
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_level_is_held_until_its_time_has_passed() {
        let program = read(r#"{"amount": "50%", "for": "10s"}"#, 7).unwrap();
        assert_eq!([0, 9, 10, 11].map(|at| program.wanted(seconds(at))), [500, 500, 0, 0]);
        assert_eq!(program.next_look(Duration::ZERO), Some(seconds(10)));
        assert_eq!((program.next_look(seconds(10)), program.peak()), (None, 500));
        let for_ever = read(r#"{"amount": 5}"#, 7).unwrap();
        assert_eq!((for_ever.wanted(seconds(1 << 40)), for_ever.next_look(Duration::ZERO)), (5, None));
    }

    #[test]
    fn a_ramp_goes_in_a_straight_line_up_or_down() {
        let up = read(r#"{"amount": 1000, "ramp": "10s"}"#, 200).unwrap();
        assert_eq!([0, 5, 10, 99].map(|at| up.wanted(seconds(at))), [200, 600, 1000, 1000]);
        assert!(up.is_moving(seconds(9)) && !up.is_moving(seconds(10)));
        let down = read(r#"{"amount": 0, "ramp": "10s"}"#, 200).unwrap();
        assert_eq!([0, 5, 10].map(|at| down.wanted(seconds(at))), [200, 100, 0]);
        assert_eq!(down.peak(), 200);
    }

    #[test]
    fn after_a_profile_all_is_released_unless_a_time_says_when() {
        let steps = r#""profile": [{"for": "10s", "amount": 100}, {"for": "10s", "amount": 200, "ramp": true}]"#;
        let program = read(&format!("{{{steps}}}"), 0).unwrap();
        assert_eq!([0, 9, 15, 20].map(|at| program.wanted(seconds(at))), [100, 100, 150, 0]);
        let held = read(&format!("{{{steps}, \"for\": \"30s\"}}"), 0).unwrap();
        assert_eq!([20, 29, 30].map(|at| held.wanted(seconds(at))), [200, 200, 0]);
        let cut = read(&format!("{{{steps}, \"for\": \"5s\"}}"), 0).unwrap();
        assert_eq!(cut.wanted(seconds(5)), 0);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_field() {
        for (json, field) in [
            (r#"{"for": "1s"}"#, "amount"),
            (r#"{"amount": 1, "profile": [{"for": "1s", "amount": 1}]}"#, "amount"),
            (r#"{"ramp": "1s", "profile": [{"for": "1s", "amount": 1}]}"#, "ramp"),
            (r#"{"profile": [{"for": "0", "amount": 1}]}"#, "profile[0].for"),
            (r#"{"amount": 1, "for": "0"}"#, "for"),
            (r#"{"amount": "1.5"}"#, "1.5"),
        ] {
            let error = read(json, 0).unwrap_err().to_string();
            assert!(error.contains(field), "{json}: {error}");
        }
    }
}
