//! The follower: reads the service's events, starts sagas, wakes waiting instances, and keeps the instances' rows current.

mod starting;

use std::collections::{HashMap, HashSet};

use eventstore::backup::Copied;
use eventstore::{EventSlice, FeedError, Relayed};
use futures::{FutureExt, StreamExt};
use kernel::{Position, RecordedEvent};
use nats::Bus;
use tokio::time::Instant;

use crate::cache::StateCache;
use crate::coordinator::Shared;
use crate::effects::BatchEffects;
use crate::gauges::dead_letters;
use crate::letters::{self, Letters};
use crate::rows::{self, InstanceKey, SagaKey};
use crate::sagas::Sagas;
use crate::status::CoordinatorState;
use crate::{Error, Point, skipped};

pub use starting::{instance_id, reserved_id};

/// Follows events until an error occurs.
pub(crate) async fn run(shared: &Shared) -> Error {
    match follow(shared).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn follow(shared: &Shared) -> Result<std::convert::Infallible, Error> {
    if !skipped::is_migrated(&shared.pool).await? {
        return Err(Error::NotMigrated);
    }
    skipped::adopt(&mut *shared.pool.acquire().await?, None).await?;
    let position = rows::checkpoint(&shared.pool).await?.ok_or(Error::NotMigrated)?;
    let mut follower = Follower {
        shared,
        stored: position,
        position,
        stored_at: Instant::now(),
        checked: Instant::now(),
        cache: StateCache::default(),
        letters: Letters::load(shared).await?,
    };
    follower.report();
    let mut relayed = shared.store.relayed();
    loop {
        follower.retry_parked().await?;
        // Read the log first: events that were appended before the feed begins may not be in the feed.
        while follower.catch_up().await? {}
        match &shared.bus {
            None => follower.wait_for_log().await?,
            Some(_) if relayed.active() => follower.follow_relay(&mut relayed).await?,
            Some(bus) => follower.follow_bus(bus, &mut relayed).await?,
        }
    }
}

struct Follower<'a> {
    shared: &'a Shared,
    /// The stored checkpoint.
    stored: Position,
    /// The position up to which events were processed. It is stored together with the next effects, or after a while.
    position: Position,
    stored_at: Instant,
    /// When skipped ranges and the ownership of the checkpoint were last checked.
    checked: Instant,
    /// Dead letters.
    letters: Letters,
    /// The aggregates that sagas have read.
    cache: StateCache,
}

impl Follower<'_> {
    /// Processes the next batch from the log. Returns whether there were any events.
    async fn catch_up(&mut self) -> Result<bool, Error> {
        let events = self.shared.store.read_after(self.position, self.shared.settings.batch).await?;
        self.process(&events).await?;
        Ok(!events.is_empty())
    }

    /// Processes the events that this process's relay publishes, until the relay stops or an event is missing.
    async fn follow_relay(&mut self, relayed: &mut Relayed) -> Result<(), Error> {
        loop {
            let first = match tokio::time::timeout(self.shared.settings.poll_interval, relayed.next()).await {
                Ok(Some(page)) => page,
                Err(_) if self.is_at_end().await? => {
                    self.retry_parked().await?;
                    continue;
                }
                Ok(None) | Err(_) => return Ok(()),
            };
            // Collect a batch first: sagas need not react within milliseconds, and the query for waiting instances costs as much for one
            // event as for many.
            tokio::time::sleep(self.shared.settings.gather).await;
            let (mut count, mut pages) = (first.len(), vec![first]);
            while count < self.shared.settings.batch as usize
                && let Some(Some(page)) = relayed.next().now_or_never()
            {
                count += page.len();
                pages.push(page);
            }
            let new = pages
                .iter()
                .flat_map(|page| page.iter())
                .map(|event| event.position)
                .skip_while(|at| *at <= self.position);
            let whole = new.zip(self.position.0 + 1..).all(|(at, expected)| at.0 == expected);
            if !whole {
                return Ok(());
            }
            self.process(pages.iter().flat_map(|page| page.iter())).await?;
            self.retry_parked().await?;
        }
    }

    /// Processes events from the bus, until the bus fails or this process's relay becomes active.
    async fn follow_bus(&mut self, bus: &Bus, relayed: &mut Relayed) -> Result<(), Error> {
        let mut feed = Box::pin(self.shared.store.feed(bus, self.position.next()));
        loop {
            let received = tokio::select! {
                biased;
                () = relayed.begins() => return Ok(()),
                received = tokio::time::timeout(self.shared.settings.poll_interval, feed.next()) => received,
            };
            match received {
                Ok(Some(Ok(events))) => {
                    self.process(&events).await?;
                    self.retry_parked().await?;
                }
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "sagas read the log instead of the feed");
                    if matches!(error, FeedError::Foreign(_)) {
                        self.follow_log().await?;
                    }
                    return Ok(());
                }
                Err(_) if self.is_at_end().await? => self.retry_parked().await?,
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }

    /// Follows only the log for a while. The stream belongs to another log until somebody deletes it, and each new check costs the bus a
    /// consumer.
    async fn follow_log(&mut self) -> Result<(), Error> {
        let until = Instant::now() + self.shared.settings.poll_interval * 10;
        while Instant::now() < until {
            while self.catch_up().await? {}
            self.retry_parked().await?;
            self.wait_for_log().await?;
        }
        Ok(())
    }

    /// The feed was silent for a while: checks in the log whether there really are no more events.
    async fn is_at_end(&mut self) -> Result<bool, Error> {
        let at_end = self.shared.store.head().await? <= self.position;
        if at_end {
            self.check_skipped().await?;
            self.flush().await?;
        }
        Ok(at_end)
    }

    /// From time to time: processes skipped events of tenants that are open again (they came to this cell, or their pause ended), and
    /// checks that the checkpoint is still ours.
    async fn check_skipped(&mut self) -> Result<(), Error> {
        if self.checked.elapsed() < self.shared.settings.poll_interval {
            return Ok(());
        }
        self.checked = Instant::now();
        self.process_skipped().await?;
        let position = rows::checkpoint(&self.shared.pool).await?;
        if position == Some(self.stored) { Ok(()) } else { Err(Error::Overtaken) }
    }

    /// Processes the skipped events of tenants that are open again.
    async fn process_skipped(&mut self) -> Result<(), Error> {
        let (shared, limit) = (self.shared, self.shared.settings.batch);
        for mut range in skipped::reopened(&shared.pool).await? {
            let copied = shared.store.copied(&[range.tenant.uuid()]).await?;
            // A cache of its own: the shared one may have states from before these events.
            let cache = StateCache::default();
            while range.after < range.to {
                let EventSlice { events, last, .. } =
                    shared.store.tenant_after(range.tenant, range.after, range.to, limit).await?;
                let mut effects = BatchEffects::default();
                // The sagas' own events are left out, because rows were kept current while the tenant was closed. Events from another cell
                // are included, because the range was handed over for them.
                let candidates = events.iter().filter(|event| {
                    event.aggregate_type != shared.repository.aggregate_type() && !copied.is_of_another(event)
                });
                let candidates: Vec<_> = candidates.collect();
                for event in &candidates {
                    cache.invalidate(event);
                }
                self.start_sagas(candidates, &cache, &mut effects).await?;
                effects.caught_up = Some((range, last));
                self.write(effects).await?;
                range.after = last;
            }
        }
        Ok(())
    }

    /// Waits until this process appends something, or for a while.
    async fn wait_for_log(&mut self) -> Result<(), Error> {
        let mut appended = self.shared.store.appended();
        if *appended.borrow_and_update() <= self.position {
            let poll = tokio::time::sleep(self.shared.settings.poll_interval);
            tokio::select! {
                _ = appended.changed() => {}
                () = poll => {
                    self.check_skipped().await?;
                    self.flush().await?;
                }
            }
        }
        Ok(())
    }

    /// Processes a batch of events: collects its effects, and writes them and the checkpoint in one transaction.
    async fn process(&mut self, events: impl IntoIterator<Item = &RecordedEvent>) -> Result<(), Error> {
        let events: Vec<_> = events.into_iter().filter(|event| event.position > self.position).collect();
        let Some(last) = events.last().map(|event| event.position) else { return Ok(()) };
        self.check_skipped().await?;
        let mut effects = BatchEffects::default();
        let copied = self.copied(&events).await?;
        if copied.is_some() {
            // This comes after `copied` has read which tenants are closed, so that a tenant's skipped events are processed before later
            // ones.
            self.process_skipped().await?;
        }
        let copied = copied.unwrap_or_default();
        // Remove all changed aggregates from the cache before the first event is evaluated, so that what is cached meanwhile is as of the
        // whole batch or later.
        let mut candidates = Vec::new();
        for event in &events {
            self.cache.invalidate(event);
            if self.may_begin(event, &copied, &mut effects) {
                candidates.push(*event);
            }
        }
        self.start_sagas(candidates, &self.cache, &mut effects).await?;
        effects.wakes = self.wakes_of(&events, !effects.started.is_empty() || !effects.instances.is_empty()).await?;
        self.position = last;
        if effects.is_empty() {
            if self.stored_at.elapsed() >= self.shared.settings.flush {
                self.flush().await?;
            }
        } else {
            self.write(effects).await?;
        }
        self.report();
        Ok(())
    }

    /// Which of these events were copied from elsewhere. `None`: no event can start a saga or belongs to one, so it does not matter.
    async fn copied(&self, events: &[&RecordedEvent]) -> Result<Option<Copied>, Error> {
        let shared = self.shared;
        let matters = |event: &&&RecordedEvent| {
            event.aggregate_type == shared.repository.aggregate_type()
                || shared.sagas.newest().any(|one| one.starts_on.contains(&event.event_type.as_str()))
        };
        let tenants: HashSet<_> = events.iter().filter(matters).map(|event| event.tenant.uuid()).collect();
        if tenants.is_empty() {
            return Ok(None);
        }
        Ok(Some(shared.store.copied(&tenants.into_iter().collect::<Vec<_>>()).await?))
    }

    /// Records an event's effects other than started sagas. Returns whether the event may start sagas.
    fn may_begin(&self, event: &RecordedEvent, copied: &Copied, effects: &mut BatchEffects) -> bool {
        // A copy of another tenant's event: that tenant's sagas have processed it.
        if copied.is_of_another(event) {
            return false;
        }
        let sagas = &self.shared.sagas;
        if event.aggregate_type == self.shared.repository.aggregate_type() {
            // The tenant is gone: its rows were deleted and must not be created again, and its history may be unreadable.
            if let (false, Ok(id)) = (copied.is_gone(event), event.aggregate_id.parse()) {
                let key = InstanceKey { tenant: event.tenant, id };
                effects.instances.retain(|(known, _)| *known != key);
                effects.instances.push((key, event.sequence));
            }
            return false;
        }
        // A restored or moved event: if it started a saga, the instance is in the log.
        if copied.is_restored(event) {
            return false;
        }
        // Skip the event: it starts sagas in the cell in which the tenant will live.
        if copied.is_closed(event) {
            if sagas.newest().any(|one| one.starts_on.contains(&event.event_type.as_str())) {
                effects.skip(event);
            }
            return false;
        }
        true
    }

    /// The instances to wake. Most events that could wake instances find none waiting, so only keys with a waiting instance are returned,
    /// unless `all` is set (instances of this batch have no rows yet).
    async fn wakes_of(&self, events: &[&RecordedEvent], all: bool) -> Result<HashMap<SagaKey, Position>, Error> {
        let listening: Vec<_> =
            self.shared.sagas.definitions().iter().filter_map(|one| Some((one.name, one.wake_key?))).collect();
        let tenants: HashSet<_> = events.iter().map(|event| event.tenant).collect();
        let sagas = tenants.iter().flat_map(|tenant| listening.iter().map(|(saga, _)| (*tenant, *saga)));
        let sagas: HashSet<_> = sagas.collect();
        let waiting = if all { sagas } else { rows::waiting(&self.shared.pool, sagas).await? };
        let mut wakes = HashMap::new();
        if waiting.is_empty() {
            return Ok(wakes);
        }
        // Several versions of a definition may listen to different events; the last position wins.
        for event in events.iter().filter(|event| event.aggregate_type != self.shared.repository.aggregate_type()) {
            for (saga, wake_key) in &listening {
                if waiting.contains(&(event.tenant, *saga))
                    && let Some(key) = wake_key(event)
                {
                    wakes.insert(SagaKey { tenant: event.tenant, saga, key }, event.position);
                }
            }
        }
        if all { Ok(wakes) } else { Ok(rows::awaited(&self.shared.pool, wakes).await?) }
    }

    /// Writes the effects of a batch and the checkpoint in one transaction.
    async fn write(&mut self, effects: BatchEffects) -> Result<(), Error> {
        let shared = self.shared;
        let now = shared.clock.now();
        let mut current = Vec::new();
        for (key, version) in effects.instances {
            // The driver has usually written the row already.
            if rows::version(&shared.pool, key).await? >= version {
                continue;
            }
            let writer = Sagas::writer(key.tenant, "coordinator", &*shared.repository);
            match shared.repository.load(&writer, key.id).await {
                Ok(Some(state)) => current.push((key, state)),
                Ok(None) => {}
                // An unreadable history is not temporary (a newer program wrote it), and one instance must not block all others.
                Err(refusal) if refusal.code() == "history_unreadable" => {
                    tracing::error!(instance = %key.id, tenant = %key.tenant, %refusal, "a saga can't be read; it stays as it was");
                }
                Err(refusal) => return Err(refusal.into()),
            }
        }
        let instances = || effects.started.iter().chain(&current);
        let woken_tenants = effects.wakes.keys().map(|wake| wake.tenant);
        let tenants: HashSet<_> = instances().map(|(key, _)| key.tenant).chain(woken_tenants).collect();
        let mut transaction = shared.pool.begin().await?;
        rows::hold(&mut transaction, &tenants).await?;
        for (key, state) in instances() {
            rows::write(&mut transaction, *key, state, state.wake_at(now), Position::START, now).await?;
        }
        for (wake, at) in &effects.wakes {
            rows::wake(&mut transaction, wake, *at, now).await?;
        }
        letters::store(&mut transaction, &effects.parked, self.letters.backoff).await?;
        for range in effects.skipped.values() {
            // The tenant was opened meanwhile, so its events must not be skipped: start again from the checkpoint.
            if !skipped::record(&mut *transaction, *range).await? {
                return Err(Error::Overtaken);
            }
        }
        if let Some((range, to)) = effects.caught_up
            && !skipped::advance(&mut transaction, range, to).await?
        {
            return Err(Error::Overtaken);
        }
        if !rows::advance(&mut *transaction, self.stored, self.position).await? {
            return Err(Error::Overtaken);
        }
        shared.probe.at(&Point::BeforeCheckpoint).await;
        transaction.commit().await?;
        shared.probe.at(&Point::AfterCheckpoint).await;
        (self.stored, self.stored_at) = (self.position, Instant::now());
        self.letters.add(&effects.parked);
        shared.woken.notify_one();
        Ok(())
    }

    /// Stores the checkpoint if it moved without other effects.
    async fn flush(&mut self) -> Result<(), Error> {
        if self.stored != self.position && !rows::advance(&self.shared.pool, self.stored, self.position).await? {
            return Err(Error::Overtaken);
        }
        (self.stored, self.stored_at) = (self.position, Instant::now());
        Ok(())
    }

    fn report(&self) {
        let position = self.position;
        self.shared.status.send_if_modified(|status| {
            let new = status.state != CoordinatorState::Active || status.position != position;
            (status.state, status.position) = (CoordinatorState::Active, position);
            new
        });
        let parked = self.letters.count() as u64;
        self.shared.status.send_if_modified(|status| std::mem::replace(&mut status.parked, parked) != parked);
        for (saga, count) in self.letters.counts() {
            dead_letters(self.shared.sagas.service().name(), saga).set(count as f64);
        }
        metrics::gauge!("inopsio_saga_position", "service" => self.shared.sagas.service().name())
            .set(position.0 as f64);
    }
}
