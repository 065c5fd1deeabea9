//! Starting sagas: evaluates new events, and retries the parked ones.

use std::panic::AssertUnwindSafe;

use deadletters::{Entry, Outcome, Part, Share};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use kernel::{Position, RecordedEvent};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Follower;
use crate::cache::StateCache;
use crate::definition::{Definition, StartContext};
use crate::effects::BatchEffects;
use crate::facts::Started;
use crate::rows::{self, InstanceKey};
use crate::sagas::Sagas;
use crate::state::State;
use crate::step_context::{Fault, FaultKind, request};
use crate::{Error, Point, fairness, letters};

impl Follower<'_> {
    /// Starts the sagas that these events start. Events of one aggregate are evaluated in order. Different aggregates are evaluated
    /// concurrently, so that the log appends their instances in one batch, and no tenant waits for all events of another.
    pub(super) async fn start_sagas(
        &self,
        events: Vec<&RecordedEvent>,
        cache: &StateCache,
        effects: &mut BatchEffects,
    ) -> Result<(), Error> {
        let sagas = &self.shared.sagas;
        let may_start =
            |event: &&RecordedEvent| sagas.newest().any(|one| one.starts_on.contains(&event.event_type.as_str()));
        let mut waiting = fairness::by_aggregate(events.into_iter().filter(may_start)).into_iter();
        let mut pending = FuturesUnordered::new();
        loop {
            while pending.len() < self.shared.settings.begun_together
                && let Some(run) = waiting.next()
            {
                pending.push(self.start_in_order(run, cache));
            }
            let Some(of_run) = pending.next().await else { break };
            let of_run = of_run?;
            effects.started.extend(of_run.started);
            effects.parked.extend(of_run.parked);
        }
        effects.parked.sort_by_key(|(_, entry)| entry.position);
        Ok(())
    }

    /// Starts the sagas that one aggregate's events start, one event after the other.
    async fn start_in_order(&self, run: Vec<&RecordedEvent>, cache: &StateCache) -> Result<BatchEffects, Error> {
        let mut effects = BatchEffects::default();
        for event in run {
            for definition in self.shared.sagas.newest() {
                if !definition.starts_on.contains(&event.event_type.as_str()) {
                    continue;
                }
                if self.letters.holds(definition.name, event) || effects.holds(definition.name) {
                    effects.parked.push((definition.name, Entry::new(event, None)));
                    continue;
                }
                match self.start(definition, event, cache).await? {
                    Ok(Some(begun)) => effects.started.push(begun),
                    Ok(None) => {}
                    Err(fault) => {
                        tracing::error!(
                            saga = definition.name, position = %event.position, tenant = %event.tenant, code = fault.code,
                            "it can't be said whether an event starts a saga; the event is parked"
                        );
                        let errors = letters::errors(definition.name, &fault);
                        effects.parked.push((definition.name, Entry::new(event, Some(errors))));
                    }
                }
            }
        }
        Ok(effects)
    }

    /// Starts an instance if the saga's definition says so. The inner error: the saga can't decide whether the event starts it.
    async fn start(
        &self,
        definition: &Definition,
        event: &RecordedEvent,
        cache: &StateCache,
    ) -> Result<Result<Option<(InstanceKey, State)>, Fault>, Error> {
        let shared = self.shared;
        let caller = shared.sagas.caller(event.tenant, definition.name, definition.permissions);
        let executor = shared.repository.executor().clone();
        let context = StartContext { caller, executor, cache: cache.clone() };
        // Events in the feed have sealed personal data. Open it, since `start` may need it.
        let Some(opened) = shared.store.opened(vec![event.clone()]).await?.pop() else { return Ok(Ok(None)) };
        // A panic in one saga's code must not stop the follower for all sagas.
        let said = AssertUnwindSafe((definition.start)(context, opened)).catch_unwind().await;
        let start = match said.unwrap_or_else(|_| Err(Fault::panicked())) {
            Ok(Some(start)) => start,
            Ok(None) => return Ok(Ok(None)),
            // The log does not answer: fail, so that the batch is retried from the checkpoint. An unreadable history is not temporary and
            // would block all tenants, so that one is parked.
            Err(Fault { kind: FaultKind::Transient, reason, code }) if code != "history_unreadable" => {
                return Err(Error::Log(eventstore::Error::Unavailable(reason)));
            }
            Err(fault) => return Ok(Err(fault)),
        };
        let metadata = match event.decode_metadata() {
            Ok(metadata) => metadata,
            Err(error) => return Ok(Err(Fault::refused("metadata_unreadable", error.to_string()))),
        };
        let started = Started {
            saga: definition.name.to_owned(),
            definition: definition.version,
            key: start.key,
            parameters: start.parameters,
            trigger: event.event_id,
            correlation: metadata.correlation_id,
        };
        let key = InstanceKey { tenant: event.tenant, id: instance_id(definition.name, event) };
        let writer = Sagas::writer(event.tenant, definition.name, &*shared.repository);
        let mut state = State::default();
        state.evolve(started.clone().into());
        shared.probe.at(&Point::BeforeStart).await;
        // A command id of its own, so that an instance that an earlier delivery started stays.
        let request = request(&writer, &state, Some(format!("{} start", executor::reserved_for_saga(key.id))));
        if let Err(refusal) = shared.repository.start(&request, key.id, started).await {
            let fault = Fault::from(refusal);
            // Any other error is not temporary, and must not block all others, so the event is parked.
            if fault.kind == FaultKind::Transient {
                return Err(Error::Log(eventstore::Error::Unavailable(fault.reason)));
            }
            return Ok(Err(fault));
        }
        shared.probe.at(&Point::AfterStart).await;
        metrics::counter!("inopsio_saga_started_total", "service" => shared.sagas.service().name(),
            "saga" => definition.name)
        .increment(1);
        Ok(Ok(Some((key, state))))
    }

    /// Retries parked events that are due.
    pub(super) async fn retry_parked(&mut self) -> Result<(), Error> {
        if !self.letters.is_due() {
            return Ok(());
        }
        let names: Vec<_> = self.shared.sagas.newest().map(|definition| definition.name).collect();
        let mut next = self.shared.settings.poll_interval;
        for saga in names {
            // An event that fails again backs off, so this loop ends.
            while self.retry_next(saga).await? {}
            let mut connection = self.shared.pool.acquire().await?;
            next = next
                .min(deadletters::due(&mut connection, &letters::consumer(saga), Share::WHOLE).await?.unwrap_or(next));
            self.letters.reload(&mut connection, saga).await?;
        }
        self.letters.check_in(next);
        self.report();
        Ok(())
    }

    /// Retries the saga's dead letter that is due first, together with the later events of its aggregate. Returns whether there was one.
    async fn retry_next(&mut self, saga: &'static str) -> Result<bool, Error> {
        let shared = self.shared;
        let Some(definition) = shared.sagas.newest().find(|definition| definition.name == saga) else {
            return Ok(false);
        };
        let consumer = letters::consumer(saga);
        let mut transaction = shared.pool.begin().await?;
        let Some(taken) = deadletters::take(&mut transaction, &consumer, Share::WHOLE, shared.settings.batch).await?
        else {
            return Ok(false);
        };
        let (mut begun, mut failed) = (Vec::new(), None);
        let (events, missing) = taken.found(shared.store.events_at(&taken.positions).await?);
        'parts: for part in taken.decisions.parts(events) {
            let Part::Events(run) = part else { continue };
            for event in run {
                match self.start(definition, &event, &self.cache).await? {
                    Ok(found) => begun.extend(found),
                    Err(fault) => {
                        failed = Some((event.position, letters::errors(saga, &fault)));
                        break 'parts;
                    }
                }
            }
        }
        let now = shared.clock.now();
        // Destroying a tenant locks the dead letter before it touches rows of sagas, so this needs no `rows::hold`.
        for (key, state) in &begun {
            rows::write(&mut transaction, *key, state, state.wake_at(now), Position::START, now).await?;
        }
        let outcome = Outcome { failed: failed.or(missing) };
        let settled = deadletters::settle(&mut transaction, &consumer, &taken, outcome, self.letters.backoff).await?;
        transaction.commit().await?;
        if settled.drained {
            self.letters.drained(saga, &taken);
        }
        let result = if settled.events > 0 { "applied" } else { "failed" };
        metrics::counter!("inopsio_dead_letter_attempts_total", "service" => shared.sagas.service().name(),
            "consumer" => "saga", "name" => saga, "result" => result)
        .increment(1);
        shared.woken.notify_one();
        Ok(true)
    }
}

/// The id of the instance that an event starts. It does not depend on how often the event is delivered. A UUID of version 8 (RFC 9562): the
/// first 128 bits of a SHA-256.
pub fn instance_id(saga: &str, event: &RecordedEvent) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(b"inopsio.saga.1");
    hash.update((saga.len() as u64).to_be_bytes());
    hash.update(saga.as_bytes());
    hash.update(event.tenant.uuid().as_bytes());
    hash.update(event.event_id.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The beginning of the command ids of the instance that an event starts, for whoever executes a command before the instance does. Its steps
/// get the same from [`StepContext::reserved_id`](crate::StepContext::reserved_id).
pub fn reserved_id(saga: &str, event: &RecordedEvent) -> String {
    executor::reserved_for_saga(instance_id(saga, event))
}
