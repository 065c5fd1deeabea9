//! Decides what comes next for an instance. Pure functions, so that every case can be tested.

use chrono::{DateTime, Duration, Utc};

use crate::definition::{Definition, Step};
use crate::facts::{
    Compensated, Completed, Fact, StepBegun, StepContinued, StepDone, StepFailed, StepWaiting, Stuck, Unwinding,
};
use crate::state::{Current, Phase, State};
use crate::step_context::{Fault, FaultKind, Next};

/// The number of times that a step is begun without an outcome. After that it is parked, because it probably crashes the process.
const MAX_CRASHES: u32 = 20;

/// What the driver has to do next.
#[derive(Debug, PartialEq)]
pub(crate) enum Plan {
    /// Wait until this time; `None`: until something changes the instance.
    Wait(Option<DateTime<Utc>>),
    /// Append these facts.
    Append(Vec<Fact>),
    /// Append this fact, then run the step.
    Run(StepBegun),
}

/// What comes next for an instance. `woken`: check a waiting step again, even before its time.
pub(crate) fn next(state: &State, definition: &Definition, now: DateTime<Utc>, woken: bool) -> Plan {
    if !state.status.is_active() {
        return Plan::Wait(None);
    }
    let Some(current) = &state.current else { return begin(state, definition, now) };
    if definition.step(&current.step).is_none() {
        return append(stuck("saga_step_unknown", format!("its definition has no step {}", current.step)));
    }
    match current.phase {
        Phase::Waiting(until) if until > now && !woken => return Plan::Wait(Some(until)),
        Phase::Failed(retry_at) if retry_at > now => return Plan::Wait(Some(retry_at)),
        _ => {}
    }
    // Attempts that ended with a failure did not crash.
    if current.phase == Phase::Begun && current.attempt.saturating_sub(current.failures) >= MAX_CRASHES {
        let reason = format!("{} was begun {MAX_CRASHES} times and never came to an end", current.step);
        return append(stuck("saga_step_dies", reason));
    }
    Plan::Run(StepBegun {
        step: current.step.clone(),
        undo: current.undo,
        turn: current.turn,
        attempt: current.attempt + 1,
        since: current.since.unwrap_or(now),
    })
}

/// The next step, the next undo, or the end.
fn begin(state: &State, definition: &Definition, now: DateTime<Utc>) -> Plan {
    let run =
        |step: &Step, undo| Plan::Run(StepBegun { step: step.name.to_owned(), undo, turn: 0, attempt: 1, since: now });
    if state.unwinding {
        for done in state.done.iter().rev() {
            match definition.step(&done.step) {
                None => return append(stuck("saga_step_unknown", format!("its definition has no step {}", done.step))),
                Some(step) if step.has_undo() => return run(step, true),
                Some(_) => {}
            }
        }
        return append(Compensated {});
    }
    match definition.steps.get(state.done.len()) {
        Some(step) => run(step, false),
        None => append(Completed { outcome: "done".to_owned() }),
    }
}

/// The facts that follow from a step's outcome. `current` is the step as it was begun.
pub(crate) fn outcome(current: &Current, step: &Step, outcome: Result<Next, Fault>, now: DateTime<Utc>) -> Vec<Fact> {
    let (name, undo) = (current.step.clone(), current.undo);
    let whole = Duration::from_std(step.limits.whole).unwrap_or(Duration::MAX);
    let limit = current.since.unwrap_or(now).checked_add_signed(whole).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let fault = match outcome {
        Ok(Next::Done(result)) => return vec![StepDone { step: name, undo, result }.into()],
        Ok(Next::Continue(progress)) => return vec![StepContinued { step: name, undo, progress }.into()],
        Ok(Next::End(_)) if undo => return vec![StepDone { step: name, undo, result: serde_json::Value::Null }.into()],
        Ok(Next::End(outcome)) => return vec![Completed { outcome: outcome.to_owned() }.into()],
        Ok(Next::WaitUntil(_)) if now >= limit => Fault::refused("saga_step_timed_out", "it waited for too long"),
        // At its time limit it checks its condition one last time.
        Ok(Next::WaitUntil(until)) => return waits(current, until.min(limit)),
        Err(Fault { code, reason, kind: FaultKind::Postponed(until) }) if now < limit => {
            let until = until.min(limit);
            // The failure only says why. The wait begins the attempts anew, because to look again is no failure, however often; and an
            // event may be what it waits for.
            let mut facts = vec![StepFailed { step: name, undo, code, reason, retry_at: until }.into()];
            facts.extend(waits(current, until));
            return facts;
        }
        Err(fault) => fault,
    };
    let Fault { code, reason, kind } = fault;
    let failures = current.failures + 1;
    let pause = Duration::from_std(step.retry.backoff.pause(failures)).unwrap_or(Duration::hours(1));
    let over = failures >= step.retry.attempts || now + pause >= limit;
    let parks = match kind {
        FaultKind::Transient if !over => {
            return vec![StepFailed { step: name, undo, code, reason, retry_at: now + pause }.into()];
        }
        FaultKind::Transient | FaultKind::Postponed(_) => step.retry.park || undo || step.is_past_pivot,
        FaultKind::Refused => undo || step.is_past_pivot,
        FaultKind::Broken => true,
    };
    if parks { vec![stuck(&code, reason)] } else { vec![Unwinding { code, reason }.into()] }
}

/// The facts of a step that waits until this time, or until an event.
fn waits(current: &Current, until: DateTime<Utc>) -> Vec<Fact> {
    let (step, undo) = (current.step.clone(), current.undo);
    let waiting = StepWaiting { step: step.clone(), undo, until }.into();
    if !current.repeated {
        return vec![waiting];
    }
    // This attempt executed no command, but one before it may have. What the step does after the wait is another act, so it gets a turn of
    // its own: under the ids of this one, its commands would only get their former answers.
    vec![StepContinued { step, undo, progress: current.progress.clone() }.into(), waiting]
}

/// The fact that parks an instance.
pub(crate) fn stuck(code: &str, reason: impl Into<String>) -> Fact {
    Stuck { code: code.to_owned(), reason: reason.into() }.into()
}

fn append(fact: impl Into<Fact>) -> Plan {
    Plan::Append(vec![fact.into()])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::definition::{Limits, Retry};
    use crate::facts::{Resumed, Started};
    use crate::state::Status;
    use crate::{Start, StartContext, StepContext};

    async fn nothing(_: StepContext, _: Value) -> Result<Next, Fault> {
        Ok(Next::done())
    }

    async fn start(_: StartContext, _: kernel::RecordedEvent) -> Result<Option<Start<Value>>, Fault> {
        Ok(None)
    }

    /// Three steps; the second has no undo.
    fn definition() -> Definition {
        let hour = Limits { whole: std::time::Duration::from_hours(1), ..Limits::default() };
        let twice = Retry { attempts: 2, ..Retry::default() };
        let steps = vec![
            Step::new("one", nothing).undo(nothing).retry(twice).limits(hour),
            Step::new("two", nothing).retry(Retry { park: true, ..twice }),
            Step::new("three", nothing).undo(nothing),
        ];
        Definition::new("test_plan", 1, &[], &[], start, steps)
    }

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::days(20_000)
    }

    fn started() -> State {
        let mut state = State::default();
        let (trigger, correlation) = (uuid::Uuid::nil(), uuid::Uuid::nil());
        let (saga, key, parameters) = ("test_plan".to_owned(), String::new(), Value::Null);
        state.evolve(Started { saga, definition: 1, key, parameters, trigger, correlation }.into());
        state
    }

    /// Runs the next step with this outcome.
    fn run(state: &mut State, comes: Result<Next, Fault>, at: DateTime<Utc>) {
        let definition = definition();
        let Plan::Run(begun) = next(state, &definition, at, true) else { panic!("{state:?}") };
        state.evolve(begun.into());
        let current = state.current.clone().unwrap();
        let step = definition.step(&current.step).unwrap();
        for fact in outcome(&current, step, comes, at) {
            state.evolve(fact);
        }
    }

    fn refused() -> Result<Next, Fault> {
        Err(Fault::refused("no", "no"))
    }

    fn transient() -> Result<Next, Fault> {
        Err(Fault::transient("later", "later"))
    }

    fn comes(state: &State) -> Option<(String, bool)> {
        match next(state, &definition(), now(), false) {
            Plan::Run(begun) => Some((begun.step, begun.undo)),
            _ => None,
        }
    }

    #[test]
    fn steps_come_in_their_order_and_then_the_end() {
        let mut state = started();
        for step in ["one", "two", "three"] {
            assert_eq!(comes(&state), Some((step.to_owned(), false)));
            run(&mut state, Ok(Next::Done(json!(step))), now());
        }
        assert_eq!(next(&state, &definition(), now(), false), append(Completed { outcome: "done".to_owned() }));
        assert_eq!(state.result_of("two"), Some(&json!("two")));
    }

    #[test]
    fn a_refusal_unwinds_in_reverse_and_passes_over_what_has_no_undo() {
        let mut state = started();
        run(&mut state, Ok(Next::done()), now());
        run(&mut state, Ok(Next::done()), now());
        run(&mut state, refused(), now());
        assert_eq!(state.status, Status::Unwinding);
        for step in ["three", "one"] {
            assert_eq!(comes(&state), Some((step.to_owned(), true)));
            run(&mut state, Ok(Next::done()), now());
        }
        assert_eq!(next(&state, &definition(), now(), false), append(Compensated {}));
    }

    #[test]
    fn batches_count_turns_and_keep_their_progress() {
        let mut state = started();
        run(&mut state, Ok(Next::Continue(json!(7))), now());
        run(&mut state, transient(), now());
        let current = state.current.clone().unwrap();
        assert_eq!((current.turn, current.failures, current.progress), (1, 1, json!(7)));
        run(&mut state, Ok(Next::done()), now() + Duration::seconds(1));
        assert_eq!(comes(&state), Some(("two".to_owned(), false)));
    }

    #[test]
    fn what_may_pass_is_tried_again_after_a_pause_and_then_unwinds_or_parks() {
        let mut state = started();
        run(&mut state, transient(), now());
        assert_eq!(next(&state, &definition(), now(), true), Plan::Wait(Some(now() + Duration::seconds(1))));
        run(&mut state, transient(), now() + Duration::seconds(1));
        assert_eq!(state.status, Status::Unwinding);
        let mut state = started();
        run(&mut state, Ok(Next::done()), now());
        run(&mut state, transient(), now());
        run(&mut state, transient(), now() + Duration::seconds(1));
        assert_eq!((state.status, state.unwinding), (Status::Stuck, false));
        state.evolve(Resumed {}.into());
        assert_eq!(comes(&state), Some(("two".to_owned(), false)));
        assert_eq!(state.current.unwrap().failures, 0, "it has all its attempts again");
    }

    #[test]
    fn an_undo_that_is_refused_parks() {
        let mut state = started();
        run(&mut state, refused(), now());
        run(&mut state, refused(), now());
        assert_eq!((state.status, state.unwinding), (Status::Stuck, true));
        state.evolve(Resumed {}.into());
        assert_eq!((state.status, comes(&state)), (Status::Unwinding, Some(("one".to_owned(), true))));
    }

    #[test]
    fn past_the_pivot_nothing_unwinds_and_what_fails_parks() {
        let once = Retry { attempts: 1, ..Retry::default() };
        let steps = vec![
            Step::new("one", nothing).undo(nothing),
            Step::new("two", nothing).pivot(),
            Step::new("three", nothing).retry(once),
        ];
        let definition = Definition::new("test_plan", 1, &[], &[], start, steps);
        assert_eq!(definition.final_steps().names, ["two", "three"]);
        assert!(!definition.final_steps().are_all);
        let after = |done: usize, comes: Result<Next, Fault>, took: Duration| {
            let mut state = started();
            for step in definition.steps().iter().take(done) {
                let (step, result) = (step.name().to_owned(), Value::Null);
                state.evolve(StepDone { step, undo: false, result }.into());
            }
            let Plan::Run(begun) = next(&state, &definition, now(), false) else { panic!("{state:?}") };
            let step = definition.step(&begun.step).unwrap();
            state.evolve(begun.into());
            let current = state.current.clone().unwrap();
            for fact in outcome(&current, step, comes, now() + took) {
                state.evolve(fact);
            }
            state
        };
        for done in [0, 1] {
            assert_eq!(after(done, refused(), Duration::zero()).status, Status::Unwinding, "after {done} steps");
        }
        let waits = Ok(Next::WaitUntil(now() + Duration::days(3)));
        for (comes, took) in
            [(refused(), Duration::zero()), (transient(), Duration::zero()), (waits, Duration::days(2))]
        {
            let mut state = after(2, comes, took);
            assert_eq!((state.status, state.unwinding), (Status::Stuck, false), "{state:?}");
            state.evolve(Resumed {}.into());
            let Plan::Run(begun) = next(&state, &definition, now() + took, false) else { panic!("{state:?}") };
            assert_eq!((begun.step.as_str(), begun.undo), ("three", false));
        }
    }

    #[test]
    fn a_step_has_its_time_and_no_more() {
        let mut state = started();
        run(&mut state, Ok(Next::WaitUntil(now() + Duration::minutes(30))), now());
        assert_eq!(next(&state, &definition(), now(), false), Plan::Wait(Some(now() + Duration::minutes(30))));
        run(&mut state, Ok(Next::WaitUntil(now() + Duration::hours(2))), now() + Duration::minutes(30));
        let limit = now() + Duration::hours(1);
        assert_eq!(next(&state, &definition(), now(), false), Plan::Wait(Some(limit)), "however long it wants to wait");
        run(&mut state, Ok(Next::WaitUntil(limit + Duration::hours(1))), limit);
        assert_eq!(state.status, Status::Unwinding);
        assert_eq!(state.why.unwrap().0, "saga_step_timed_out");
    }

    #[test]
    fn what_fails_is_not_tried_again_after_its_time() {
        let mut state = started();
        let late = now() + Duration::hours(1) - Duration::milliseconds(500);
        run(&mut state, Ok(Next::WaitUntil(late)), now());
        run(&mut state, transient(), late);
        assert_eq!(state.status, Status::Unwinding, "the pause would end after its limit");
        assert_eq!(state.why.unwrap().0, "later");
    }

    #[test]
    fn what_is_postponed_is_tried_again_at_its_time_as_often_as_its_limit_allows() {
        let postponed =
            |minutes| Err(Fault::postponed("nobody", "nobody is there", now() + Duration::minutes(minutes)));
        let mut state = started();
        // More often than the step has attempts.
        for minutes in [10, 20, 30, 40] {
            run(&mut state, postponed(minutes), now() + Duration::minutes(minutes - 10));
            let again = now() + Duration::minutes(minutes);
            assert_eq!(next(&state, &definition(), now(), false), Plan::Wait(Some(again)));
            assert!(matches!(next(&state, &definition(), now(), true), Plan::Run(_)), "an event wakes it");
            let why = state.why.as_ref().map(|(code, _)| code.as_str());
            assert_eq!((state.status, why), (Status::Running, Some("nobody")));
        }
        let limit = now() + Duration::hours(1);
        run(&mut state, postponed(100), now() + Duration::minutes(40));
        assert_eq!(next(&state, &definition(), now(), false), Plan::Wait(Some(limit)));
        run(&mut state, postponed(100), limit);
        assert_eq!(state.status, Status::Unwinding);
    }

    #[test]
    fn what_was_postponed_has_all_its_attempts_again_and_nothing_to_be_undone() {
        let until = now() + Duration::minutes(10);
        let postponed = || Err(Fault::postponed("nobody", "nobody is there", until));
        let mut state = started();
        run(&mut state, postponed(), now());
        run(&mut state, postponed(), now());
        let mut cancelled = state.clone();
        cancelled.evolve(Unwinding { code: "cancelled".to_owned(), reason: String::new() }.into());
        assert_eq!(next(&cancelled, &definition(), now(), false), append(Compensated {}));

        run(&mut state, transient(), until);
        let again = until + Duration::seconds(1);
        assert_eq!(
            (state.status, state.wake_at(until)),
            (Status::Running, Some(again)),
            "the first of its two attempts"
        );
        run(&mut state, postponed(), again);
        let current = state.current.as_ref().map(|current| (current.turn, current.failures));
        assert_eq!(current, Some((1, 0)), "an attempt before it may have done something");
    }

    #[test]
    fn what_only_waited_has_nothing_to_be_undone() {
        let mut state = started();
        run(&mut state, Ok(Next::WaitUntil(now() + Duration::minutes(2))), now());
        state.evolve(Unwinding { code: "cancelled".to_owned(), reason: String::new() }.into());
        assert_eq!(next(&state, &definition(), now(), false), append(Compensated {}));
    }

    #[test]
    fn what_waits_after_an_attempt_that_may_have_done_something_has_a_turn_of_its_own_and_is_undone() {
        let until = now() + Duration::minutes(40);
        let interrupted = |state: &mut State| {
            let Plan::Run(begun) = next(state, &definition(), now(), false) else { panic!("{state:?}") };
            state.evolve(begun.into());
        };
        let failed = |state: &mut State| run(state, transient(), now());
        let parked = |state: &mut State| {
            run(state, Err(Fault::panicked()), now());
            assert_eq!(state.status, Status::Stuck);
            state.evolve(Resumed {}.into());
        };
        let cases: [&dyn Fn(&mut State); 3] = [&interrupted, &failed, &parked];
        for before in cases {
            let mut state = started();
            before(&mut state);
            run(&mut state, Ok(Next::WaitUntil(until)), now() + Duration::minutes(1));
            let current = state.current.clone().unwrap();
            assert_eq!((current.turn, current.phase, current.repeated), (1, Phase::Waiting(until), false));
            state.evolve(Unwinding { code: "cancelled".to_owned(), reason: String::new() }.into());
            assert_eq!(comes(&state), Some(("one".to_owned(), true)));
        }
    }

    #[test]
    fn what_waits_in_the_turn_of_an_earlier_attempt_as_former_programs_wrote_it_is_undone_too() {
        let mut state = started();
        run(&mut state, transient(), now());
        let Plan::Run(begun) = next(&state, &definition(), now() + Duration::minutes(1), false) else {
            panic!("{state:?}")
        };
        let step = begun.step.clone();
        state.evolve(begun.into());
        state.evolve(StepWaiting { step, undo: false, until: now() + Duration::minutes(2) }.into());
        assert_eq!(state.current.as_ref().map(|current| current.turn), Some(0));
        state.evolve(Unwinding { code: "cancelled".to_owned(), reason: String::new() }.into());
        assert_eq!(comes(&state), Some(("one".to_owned(), true)));
    }

    #[test]
    fn a_step_that_kills_whoever_runs_it_is_parked() {
        let mut state = started();
        for _ in 0..MAX_CRASHES {
            let Plan::Run(begun) = next(&state, &definition(), now(), false) else { panic!("{state:?}") };
            state.evolve(begun.into());
        }
        let Plan::Append(facts) = next(&state, &definition(), now(), false) else { panic!("{state:?}") };
        assert!(matches!(&facts[..], [Fact::Stuck(stuck)] if stuck.code == "saga_step_dies"), "{facts:?}");
    }

    #[test]
    fn attempts_that_failed_in_good_order_are_no_deaths() {
        let definition = {
            let at_once = kernel::Backoff { first: std::time::Duration::ZERO, ..Retry::default().backoff };
            let patient = Retry { attempts: 100, backoff: at_once, ..Retry::default() };
            Definition::new("test_plan", 1, &[], &[], start, vec![Step::new("one", nothing).retry(patient)])
        };
        let mut state = started();
        for _ in 0..MAX_CRASHES {
            let Plan::Run(begun) = next(&state, &definition, now(), false) else { panic!("{state:?}") };
            state.evolve(begun.into());
            let current = state.current.clone().unwrap();
            for fact in outcome(&current, &definition.steps[0], transient(), now()) {
                state.evolve(fact);
            }
        }
        // The process was killed during an attempt.
        let Plan::Run(begun) = next(&state, &definition, now(), false) else { panic!("{state:?}") };
        state.evolve(begun.into());
        assert!(matches!(next(&state, &definition, now(), false), Plan::Run(_)), "{state:?}");
    }
}
