//! Follows the service's events: what starts a saga, what a waiting one has to hear of, what became of instances.

mod starting;

use std::collections::{HashMap, HashSet};

use eventstore::backup::Copied;
use eventstore::{EventSlice, FeedError, Relayed};
use futures::{FutureExt, StreamExt};
use kernel::{Position, RecordedEvent};
use nats::Bus;
use tokio::time::Instant;

use crate::coordinator::Shared;
use crate::findings::Findings;
use crate::known::Known;
use crate::letters::{self, Letters};
use crate::meters::dead_letters;
use crate::rows::{self, InstanceKey, SagaKey};
use crate::sagas::Sagas;
use crate::status::CoordinatorState;
use crate::{Error, Point, passed_over};

pub use starting::instance_id;

/// Follows until something fails.
pub(crate) async fn run(shared: &Shared) -> Error {
    match follow(shared).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn follow(shared: &Shared) -> Result<std::convert::Infallible, Error> {
    if !passed_over::is_migrated(&shared.pool).await? {
        return Err(Error::NotMigrated);
    }
    passed_over::adopt(&mut *shared.pool.acquire().await?, None).await?;
    let position = rows::checkpoint(&shared.pool).await?.ok_or(Error::NotMigrated)?;
    let mut follower = Follower {
        shared,
        stored: position,
        position,
        stored_at: Instant::now(),
        looked_back: Instant::now(),
        known: Known::default(),
        letters: Letters::load(shared).await?,
    };
    follower.show();
    let mut relayed = shared.store.relayed();
    loop {
        follower.ask_again().await?;
        // The log first: what was appended before the feed begins is only there for sure.
        while follower.catch_up().await? {}
        match &shared.bus {
            None => follower.wait_for_log().await?,
            Some(_) if relayed.active() => follower.hear_relay(&mut relayed).await?,
            Some(bus) => follower.hear_bus(bus, &mut relayed).await?,
        }
    }
}

struct Follower<'a> {
    shared: &'a Shared,
    /// Where the checkpoint is.
    stored: Position,
    /// What was taken over; the checkpoint follows when something is to be written, or after a while.
    position: Position,
    stored_at: Instant,
    /// When it was last looked for what was passed over, and whether the checkpoint is still ours.
    looked_back: Instant,
    /// Events of which it could not be said whether they start a saga.
    letters: Letters,
    /// What sagas looked at.
    known: Known,
}

impl Follower<'_> {
    /// Reads on in the log; whether there was anything.
    async fn catch_up(&mut self) -> Result<bool, Error> {
        let events = self.shared.store.read_after(self.position, self.shared.settings.batch).await?;
        self.take(&events).await?;
        Ok(!events.is_empty())
    }

    /// Takes over what the relay of this process passes on, until that ends or something is missing.
    async fn hear_relay(&mut self, relayed: &mut Relayed) -> Result<(), Error> {
        loop {
            let first = match tokio::time::timeout(self.shared.settings.look, relayed.next()).await {
                Ok(Some(page)) => page,
                Err(_) if self.is_at_end().await? => {
                    self.ask_again().await?;
                    continue;
                }
                Ok(None) | Err(_) => return Ok(()),
            };
            // Nobody waits for a saga by the millisecond, and looking for who waits costs the database as much for one event as for many.
            tokio::time::sleep(self.shared.settings.gather).await;
            let mut pages = vec![first];
            while let Some(Some(page)) = relayed.next().now_or_never() {
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
            self.take(pages.iter().flat_map(|page| page.iter())).await?;
            self.ask_again().await?;
        }
    }

    /// Takes over what the bus brings, until it brings no more or the relay of this process does.
    async fn hear_bus(&mut self, bus: &Bus, relayed: &mut Relayed) -> Result<(), Error> {
        let mut feed = Box::pin(self.shared.store.feed(bus, self.position.next()));
        loop {
            let heard = tokio::select! {
                biased;
                () = relayed.begins() => return Ok(()),
                heard = tokio::time::timeout(self.shared.settings.look, feed.next()) => heard,
            };
            match heard {
                Ok(Some(Ok(events))) => {
                    self.take(&events).await?;
                    self.ask_again().await?;
                }
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "sagas read the log instead of the feed");
                    if matches!(error, FeedError::Foreign(_)) {
                        self.follow_log().await?;
                    }
                    return Ok(());
                }
                Err(_) if self.is_at_end().await? => self.ask_again().await?,
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }

    /// Follows the log alone for a time: the stream is another log's, until somebody deletes it, and to look again costs the bus a
    /// consumer.
    async fn follow_log(&mut self) -> Result<(), Error> {
        let until = Instant::now() + self.shared.settings.look * 10;
        while Instant::now() < until {
            while self.catch_up().await? {}
            self.ask_again().await?;
            self.wait_for_log().await?;
        }
        Ok(())
    }

    /// Nothing was heard for a while: the log knows whether there was nothing.
    async fn is_at_end(&mut self) -> Result<bool, Error> {
        let at_end = self.shared.store.head().await? <= self.position;
        if at_end {
            self.look_back().await?;
            self.flush().await?;
        }
        Ok(at_end)
    }

    /// A tenant that came to live here, or whose pause came to its end, may have something that was passed over. Looked for now and
    /// then.
    async fn look_back(&mut self) -> Result<(), Error> {
        if self.looked_back.elapsed() < self.shared.settings.look {
            return Ok(());
        }
        self.looked_back = Instant::now();
        self.make_up().await?;
        let position = rows::checkpoint(&self.shared.pool).await?;
        if position == Some(self.stored) { Ok(()) } else { Err(Error::Overtaken) }
    }

    /// Looks at what was passed over of tenants who are let in by now.
    async fn make_up(&mut self) -> Result<(), Error> {
        let (shared, limit) = (self.shared, self.shared.settings.batch);
        for mut stretch in passed_over::open(&shared.pool).await? {
            let copied = shared.store.copied(&[stretch.tenant.uuid()]).await?;
            // What is known of others may be of before these events.
            let known = Known::default();
            while stretch.after < stretch.to {
                let EventSlice { events, last, .. } =
                    shared.store.tenant_after(stretch.tenant, stretch.after, stretch.to, limit).await?;
                let mut found = Findings::default();
                // Instances have their rows, whoever was closed. That it came from another cell is why it is looked at here.
                let occasions = events.iter().filter(|event| {
                    event.aggregate_type != shared.repository.aggregate_type() && !copied.is_of_another(event)
                });
                let occasions: Vec<_> = occasions.collect();
                for event in &occasions {
                    known.forget(event);
                }
                self.begin(occasions, &known, &mut found).await?;
                found.made_up = Some((stretch, last));
                self.write(found).await?;
                stretch.after = last;
            }
        }
        Ok(())
    }

    /// Waits for something that this process appends, or for a while.
    async fn wait_for_log(&mut self) -> Result<(), Error> {
        let mut appended = self.shared.store.appended();
        if *appended.borrow_and_update() <= self.position {
            let look = tokio::time::sleep(self.shared.settings.look);
            tokio::select! {
                _ = appended.changed() => {}
                () = look => {
                    self.look_back().await?;
                    self.flush().await?;
                }
            }
        }
        Ok(())
    }

    /// Takes events over: what follows from them and the checkpoint, in one transaction.
    async fn take(&mut self, events: impl IntoIterator<Item = &RecordedEvent>) -> Result<(), Error> {
        let events: Vec<_> = events.into_iter().filter(|event| event.position > self.position).collect();
        let Some(last) = events.last().map(|event| event.position) else { return Ok(()) };
        self.look_back().await?;
        let mut found = Findings::default();
        let copied = self.copied(&events).await?;
        if copied.is_some() {
            // Asked after who is closed: what was passed over of whoever is let in is looked at before what came later.
            self.make_up().await?;
        }
        let copied = copied.unwrap_or_default();
        // Forgotten before any of them is asked about: what is remembered is of after all of these, then.
        let mut occasions = Vec::new();
        for event in &events {
            self.known.forget(event);
            if self.may_begin(event, &copied, &mut found) {
                occasions.push(*event);
            }
        }
        self.begin(occasions, &self.known, &mut found).await?;
        found.pokes = self.heard(&events, !found.begun.is_empty() || !found.instances.is_empty()).await?;
        self.position = last;
        if found.is_empty() {
            if self.stored_at.elapsed() >= self.shared.settings.flush {
                self.flush().await?;
            }
        } else {
            self.write(found).await?;
        }
        self.show();
        Ok(())
    }

    /// What of these events happened elsewhere before. None: no event of them would begin something or is a saga's.
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

    /// Notes what an event means but for what it begins; whether it may begin something.
    fn may_begin(&self, event: &RecordedEvent, copied: &Copied, found: &mut Findings) -> bool {
        // Another tenant's sagas did what was to be done.
        if copied.is_of_another(event) {
            return false;
        }
        let sagas = &self.shared.sagas;
        if event.aggregate_type == self.shared.repository.aggregate_type() {
            // Its rows were deleted with it, and are not made again; nor can all of its history be read any more.
            if let (false, Ok(id)) = (copied.is_gone(event), event.aggregate_id.parse()) {
                let key = InstanceKey { tenant: event.tenant, id };
                found.instances.retain(|(known, _)| *known != key);
                found.instances.push((key, event.sequence));
            }
            return false;
        }
        // What it begins is in the log, if it began anything.
        if copied.is_restored(event) {
            return false;
        }
        // What it begins, it begins where the tenant lives when that is settled.
        if copied.is_closed(event) {
            if sagas.newest().any(|one| one.starts_on.contains(&event.event_type.as_str())) {
                found.pass(event);
            }
            return false;
        }
        true
    }

    /// Who has to hear of these events. Most of what sagas hear of nobody waits for; so unless `all` is wanted (who is made with
    /// this batch has no row yet), only those are asked for whom somebody waits.
    async fn heard(&self, events: &[&RecordedEvent], all: bool) -> Result<HashMap<SagaKey, Position>, Error> {
        let hearing: Vec<_> =
            self.shared.sagas.definitions().iter().filter_map(|one| Some((one.name, one.hear?))).collect();
        let tenants: HashSet<_> = events.iter().map(|event| event.tenant).collect();
        let sagas = tenants.iter().flat_map(|tenant| hearing.iter().map(|(saga, _)| (*tenant, *saga)));
        let sagas: HashSet<_> = sagas.collect();
        let waiting = if all { sagas } else { rows::waiting(&self.shared.pool, sagas).await? };
        let mut pokes = HashMap::new();
        if waiting.is_empty() {
            return Ok(pokes);
        }
        // Versions of a definition may hear different things: the position is the same.
        for event in events.iter().filter(|event| event.aggregate_type != self.shared.repository.aggregate_type()) {
            for (saga, hear) in &hearing {
                if waiting.contains(&(event.tenant, *saga))
                    && let Some(key) = hear(event)
                {
                    pokes.insert(SagaKey { tenant: event.tenant, saga, key }, event.position);
                }
            }
        }
        if all { Ok(pokes) } else { Ok(rows::awaited(&self.shared.pool, pokes).await?) }
    }

    /// Writes what was found, and the checkpoint, in one transaction.
    async fn write(&mut self, found: Findings) -> Result<(), Error> {
        let shared = self.shared;
        let now = shared.clock.now();
        let mut current = Vec::new();
        for (key, version) in found.instances {
            // What the driver wrote is usually there already.
            if rows::version(&shared.pool, key).await? >= version {
                continue;
            }
            let writer = Sagas::writer(key.tenant, "coordinator", &*shared.repository);
            match shared.repository.load(&writer, key.id).await {
                Ok(Some(state)) => current.push((key, state)),
                Ok(None) => {}
                // A history that can't be read does not pass (a newer program wrote it): one must not hold up all others.
                Err(refusal) if refusal.code() == "history_unreadable" => {
                    tracing::error!(instance = %key.id, tenant = %key.tenant, %refusal, "a saga can't be read; it stays as it was");
                }
                Err(refusal) => return Err(refusal.into()),
            }
        }
        let instances = || found.begun.iter().chain(&current);
        let poked = found.pokes.keys().map(|key| key.tenant);
        let tenants: HashSet<_> = instances().map(|(key, _)| key.tenant).chain(poked).collect();
        let mut transaction = shared.pool.begin().await?;
        rows::hold(&mut transaction, &tenants).await?;
        for (key, state) in instances() {
            rows::write(&mut transaction, *key, state, state.wake_at(now), Position::START, now).await?;
        }
        for (key, at) in &found.pokes {
            rows::poke(&mut transaction, key, *at, now).await?;
        }
        letters::store(&mut transaction, &found.parked, self.letters.backoff).await?;
        for stretch in found.passed.values() {
            // Let in again meanwhile: then it is looked at now.
            if !passed_over::note(&mut *transaction, *stretch).await? {
                return Err(Error::Overtaken);
            }
        }
        if let Some((stretch, to)) = found.made_up
            && !passed_over::looked_at(&mut transaction, stretch, to).await?
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
        self.letters.add(&found.parked);
        shared.woken.notify_one();
        Ok(())
    }

    /// Stores a checkpoint that moved without anything else to be written.
    async fn flush(&mut self) -> Result<(), Error> {
        if self.stored != self.position && !rows::advance(&self.shared.pool, self.stored, self.position).await? {
            return Err(Error::Overtaken);
        }
        (self.stored, self.stored_at) = (self.position, Instant::now());
        Ok(())
    }

    fn show(&self) {
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
