//! The driver: takes instances that are due, executes their steps, and sleeps until the next timer.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chrono::{DateTime, Utc};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use kernel::{Backoff, Caller, Position};
use tokio::time::Instant;

use crate::backoffs::Backoffs;
use crate::coordinator::Shared;
use crate::definition::{Definition, Step};
use crate::facts::{Fact, StepBegun};
use crate::fairness::{BacklogScan, Slots};
use crate::plan::{self, Plan};
use crate::rows::{self, Due, InstanceKey};
use crate::sagas::Sagas;
use crate::state::{Current, State};
use crate::step_context::{Fault, Inner, Next, StepContext, request};
use crate::{Error, Point};

/// Runs the driver. Never returns.
pub(crate) async fn run(shared: &Shared) {
    let mut running = FuturesUnordered::new();
    let mut busy: HashSet<InstanceKey> = HashSet::new();
    let mut backoffs = Backoffs::new(Backoff { first: shared.settings.pause, longest: shared.settings.longest_sleep });
    let mut scan = BacklogScan::default();
    loop {
        let mut done = Vec::new();
        let taken = {
            let mut taking = pin!(take_due(shared, &busy, &backoffs, &mut scan));
            loop {
                tokio::select! {
                    taken = &mut taking => break taken,
                    // Poll the running instances meanwhile: they may hold all the connections, and `take_due` waits for one.
                    Some(one) = running.next(), if !running.is_empty() => done.push(one),
                }
            }
        };
        let until = match taken {
            Ok((due, until)) => {
                for (key, at) in due {
                    busy.insert(key);
                    running.push(async move {
                        let now = shared.clock.now();
                        metrics::histogram!("inopsio_saga_lateness_seconds", "service" => shared.sagas.service().name())
                            .record((now - at).as_seconds_f64().max(0.0));
                        let driven = drive(shared, key).await;
                        if let Err(error) = &driven
                            && !error.is_closed()
                        {
                            tracing::warn!(saga = %key.id, tenant = %key.tenant, %error, "a saga waits and is tried again");
                        }
                        (key, driven.is_ok())
                    });
                }
                until
            }
            Err(error) => {
                tracing::warn!(%error, "it can't be said which sagas are due");
                shared.settings.pause
            }
        };
        if done.is_empty() {
            tokio::select! {
                Some(one) = running.next(), if !running.is_empty() => done.push(one),
                () = shared.woken.notified() => {}
                () = tokio::time::sleep(until) => {}
            }
        }
        for (key, succeeded) in done {
            busy.remove(&key);
            if succeeded { backoffs.succeeded(&key) } else { backoffs.failed(key, Instant::now()) }
        }
    }
}

/// Selects due instances that are neither running nor in backoff, as many as there are free slots, fairly between tenants. Also returns the
/// time until the next timer.
async fn take_due(
    shared: &Shared,
    busy: &HashSet<InstanceKey>,
    backoffs: &Backoffs,
    scan: &mut BacklogScan,
) -> Result<(Due, std::time::Duration), sqlx::Error> {
    let longest = shared.settings.longest_sleep;
    let mut slots = Slots::new(shared.settings.together, busy.iter().map(|key| key.tenant));
    if slots.free() == 0 {
        // The first instance that finishes wakes the driver.
        return Ok((Vec::new(), longest));
    }
    let (now, instant) = (shared.clock.now(), Instant::now());
    let not_now = busy.len() + backoffs.count(instant);
    let limit = slots.free() + not_now;
    let mut due = rows::due(&shared.pool, now, limit).await?;
    let is_all = due.len() < limit;
    due.retain(|(key, _)| !busy.contains(key) && !backoffs.is_waiting(key, instant));
    let scan_wait = scan.wait(instant).filter(|_| !is_all);
    if !is_all && scan_wait.is_none() {
        // The page may hold only instances of tenants with a large backlog, so ask for those of other tenants.
        let with_backlog = slots.with_backlog(&due);
        let began = Instant::now();
        let others = rows::due_of_others(&shared.pool, now, &with_backlog, slots.share() + not_now, limit).await?;
        scan.record(began, Instant::now(), others.len() < limit);
        let known: HashSet<InstanceKey> = due.iter().map(|(key, _)| *key).collect();
        let others = others.into_iter().filter(|(key, _)| !known.contains(key));
        due.extend(others.filter(|(key, _)| !busy.contains(key) && !backoffs.is_waiting(key, instant)));
    }
    let mut chosen = slots.fill(&mut due, true);
    if is_all || scan.nobody_else() {
        chosen.extend(slots.fill(&mut due, false));
    }
    let next = rows::next_due(&shared.pool, now).await?.and_then(|next| (next - now).to_std().ok());
    let until = next.into_iter().chain(backoffs.next(instant)).chain(scan_wait).fold(longest, std::time::Duration::min);
    Ok((chosen, until))
}

/// Executes an instance until it has to wait or has used up its slice.
async fn drive(shared: &Shared, key: InstanceKey) -> Result<(), Error> {
    // Events after this position may be missed by the step, so a wake-up by them has to count.
    let mut seen = shared.store.head().await?;
    let writer = Sagas::writer(key.tenant, "coordinator", &*shared.repository);
    let Some(mut state) = shared.repository.load(&writer, key.id).await? else {
        // There is a row without a stream: the log was set back. Nothing is due.
        return write_row(shared, key, &State::default(), None, seen).await;
    };
    let execution = Execution {
        shared,
        key,
        writer: Sagas::writer(key.tenant, &state.saga, &*shared.repository),
        definition: shared.sagas.find(&state.saga, state.definition),
    };
    let mut woken = true;
    for _ in 0..shared.settings.slice {
        let now = shared.clock.now();
        let plan = match execution.definition {
            _ if !state.status.is_active() => Plan::Wait(None),
            Some(definition) => plan::next(&state, definition, now, woken),
            // A newer program started this instance, or executed it last. It waits for a program that has its definition.
            None => {
                return Err(Error::DefinitionMissing { saga: state.saga.clone(), version: state.definition });
            }
        };
        match plan {
            Plan::Wait(wake_at) => return write_row(shared, key, &state, wake_at, seen).await,
            Plan::Append(facts) => execution.advance(&mut state, facts).await?,
            Plan::Run(begun) => {
                execution.advance(&mut state, vec![begun.into()]).await?;
                seen = shared.store.head().await?;
                execution.run(&mut state).await?;
            }
        }
        woken = false;
    }
    // The slice is used up: other instances come first.
    write_row(shared, key, &state, state.wake_at(shared.clock.now()), seen).await
}

/// Writes the instance's state into its row. If the row no longer exists, the tenant was destroyed meanwhile, and nothing is written.
async fn write_row(
    shared: &Shared,
    key: InstanceKey,
    state: &State,
    wake_at: Option<DateTime<Utc>>,
    seen: Position,
) -> Result<(), Error> {
    shared.probe.at(&Point::BeforeRow).await;
    rows::update(&shared.pool, key, state, wake_at, seen, shared.clock.now()).await?;
    shared.probe.at(&Point::AfterRow).await;
    Ok(())
}

struct Execution<'a> {
    shared: &'a Shared,
    key: InstanceKey,
    writer: Caller,
    definition: Option<&'a Definition>,
}

impl Execution<'_> {
    /// Appends facts to the instance's stream. Refused if the stream's version differs from that of `state`, because another coordinator or
    /// a person appended to it.
    async fn advance(&self, state: &mut State, facts: Vec<Fact>) -> Result<(), Error> {
        self.shared.probe.at(&Point::BeforeAdvance).await;
        let request = request(&self.writer, state, None);
        self.shared.repository.advance(&request, self.key.id, state.version, facts.clone()).await?;
        for fact in facts {
            self.measure(state, &fact);
            state.evolve(fact);
        }
        self.shared.probe.at(&Point::AfterAdvance).await;
        Ok(())
    }

    /// Runs the step that was just begun, and appends its outcome. If somebody appended facts meanwhile, the step's commands were refused,
    /// and so is the outcome.
    async fn run(&self, state: &mut State) -> Result<(), Error> {
        let Some(definition) = self.definition else { return Ok(()) };
        let Some(current) = state.current.clone() else { return Ok(()) };
        let Some(step) = definition.step(&current.step) else { return Ok(()) };
        let (before, after) = (
            Point::BeforeStep { step: current.step.clone(), undo: current.undo },
            Point::AfterStep { step: current.step.clone(), undo: current.undo },
        );
        self.shared.probe.at(&before).await;
        let outcome = match self.shared.probe.fault(&before) {
            Some(fault) => Err(fault),
            None => self.act(definition, step, &current, state).await,
        };
        let outcome = match self.shared.probe.fault(&after) {
            Some(fault) if matches!(outcome, Ok(Next::Done(_) | Next::Continue(_))) => Err(fault),
            _ => outcome,
        };
        self.shared.probe.at(&after).await;
        let now = self.shared.clock.now();
        let facts = plan::outcome(&current, step, outcome, now);
        self.advance(state, facts).await
    }

    async fn act(&self, definition: &Definition, step: &Step, current: &Current, state: &State) -> Result<Next, Fault> {
        let Some(action) = (if current.undo { step.undo.as_ref() } else { Some(&step.act) }) else {
            return Ok(Next::done());
        };
        let shared = self.shared;
        let context = StepContext {
            inner: Arc::new(Inner {
                id: self.key.id,
                state: state.clone(),
                step: step.name,
                undo: current.undo,
                turn: current.turn,
                caller: shared.sagas.caller(self.key.tenant, definition.name, definition.permissions),
                repository: Arc::clone(&shared.repository),
                store: shared.store.clone(),
                commands: AtomicU64::new(0),
            }),
        };
        let ran = tokio::time::timeout(step.limits.attempt, AssertUnwindSafe(action(context)).catch_unwind()).await;
        match ran {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Fault::panicked()),
            Err(_) => Err(Fault::transient(
                "saga_attempt_timed_out",
                format!("an attempt took longer than {} s", step.limits.attempt.as_secs()),
            )),
        }
    }

    fn measure(&self, state: &State, fact: &Fact) {
        let service = self.shared.sagas.service().name();
        let Some(definition) = self.definition else { return };
        let outcome = match fact {
            Fact::StepDone(done) if done.undo => "undone",
            Fact::StepDone(_) => "done",
            Fact::StepContinued(_) => "continued",
            Fact::StepWaiting(_) => "waiting",
            Fact::StepFailed(_) => "failed",
            Fact::Unwinding(_) => "unwinding",
            Fact::Stuck(stuck) => {
                tracing::error!(
                    saga = definition.name, id = %self.key.id, tenant = %self.key.tenant, code = stuck.code,
                    "a saga is stuck; inspect it, then resume or cancel it (inopsio saga)"
                );
                "stuck"
            }
            Fact::Completed(_) => "completed",
            Fact::Compensated(_) => "compensated",
            Fact::Started(_) | Fact::StepBegun(StepBegun { .. }) | Fact::Resumed(_) => return,
        };
        let step =
            state.current.as_ref().and_then(|current| definition.step(&current.step)).map_or("", |step| step.name);
        metrics::counter!("inopsio_saga_steps_total", "service" => service, "saga" => definition.name, "step" => step,
            "outcome" => outcome)
        .increment(1);
    }
}
