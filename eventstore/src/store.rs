//! The event store of one service.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use kernel::{Clock, Position, RecordedEvent, Service, TenantId};
use keys::{Context, DataKey, Sealed};
use sqlx::Row;
use sqlx::postgres::PgPool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::append::check::check;
use crate::append::{self, Append, Appended, AskedJob};
use crate::backup::Copied;
use crate::batch::Waiting;
use crate::committer::Committer;
use crate::database::pool;
use crate::lane::Lane;
use crate::meters::Meters;
use crate::passing::{Passing, Relayed};
use crate::queue::Queue;
use crate::read::EventSlice;
use crate::sealing::{Keyring, Turned, holders};
use crate::{
    Closure, Database, Error, PoolUse, ReplayFilter, Resumed, Role, Sealing, Settings, Snapshot, closed, read, replay,
    snapshot,
};

/// A command that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCommand {
    /// SHA-256 of the request.
    pub request_hash: [u8; 32],
    /// The answer, JSON.
    pub answer: String,
    /// Position of its last event; where the log ended then, when it had none.
    pub last: Position,
}

/// The log of one service. Clones share everything.
#[derive(Clone)]
pub struct EventStore {
    shared: Arc<Shared>,
}

struct Shared {
    database: Database,
    settings: Settings,
    queue: Arc<Queue>,
    /// As many permits as bytes may still wait.
    room: Arc<Semaphore>,
    appended: watch::Sender<Position>,
    passing: Passing,
    keyring: Keyring,
    commands: PgPool,
    readers: PgPool,
    /// So many read stretches of a tenant's history at a time, so that commands find a connection of the same pool.
    stretches: Semaphore,
    followers: PgPool,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl EventStore {
    /// Opens the log and starts its committer. The database must be migrated; it need not be reachable yet.
    pub async fn open(database: &Database, settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let queue = Arc::new(Queue::new(&settings));
        let (appended, _) = watch::channel(Position::START);
        let passing = Passing::new();
        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        let committer = Committer {
            queue: Arc::clone(&queue),
            settings: settings.clone(),
            clock,
            appended: appended.clone(),
            passing: passing.appended.clone(),
            meters: Meters::new(database.service),
            closing: closing.clone(),
        };
        tasks.spawn(committer.run(Lane::new(append_options(database, settings.append_timeout))));
        Ok(Self {
            shared: Arc::new(Shared {
                database: database.clone(),
                queue,
                room: Arc::new(Semaphore::new(settings.queue_bytes as usize)),
                appended,
                passing,
                keyring: Keyring::new(database.service, settings.sealing.clone()),
                commands: database.pool(Role::Append, 2),
                readers: database.pool(Role::Read, settings.read_connections),
                stretches: Semaphore::new((settings.read_connections as usize / 2).max(1)),
                followers: pool(follow_options(database), settings.follow_connections),
                closing,
                tasks,
                settings,
            }),
        })
    }

    /// Whose log it is.
    pub fn service(&self) -> Service {
        self.shared.database.service
    }

    /// Where the log is.
    pub fn database(&self) -> &Database {
        &self.shared.database
    }

    /// Connections that read for one tenant at a time.
    pub(crate) fn readers(&self) -> &PgPool {
        &self.shared.readers
    }

    /// How much of each of its pools is in use.
    pub fn pools(&self) -> [PoolUse; 3] {
        let Shared { commands, readers, followers, .. } = &*self.shared;
        [PoolUse::of("commands", commands), PoolUse::of("load", readers), PoolUse::of("follow", followers)]
    }

    /// Appends, through the group committer. Personal data that is marked is sealed on the way.
    ///
    /// # Errors
    /// See [`append::Error`]. Too many waiting appends, by number or by bytes, are `Busy` at once.
    pub async fn append(&self, append: Append) -> Result<Appended, append::Error> {
        self.append_with(append, Vec::new()).await
    }

    /// The same, with jobs that are asked for in the same transaction: there when the append is, and not if it is not. Who runs jobs
    /// is to be woken afterwards, or looks by itself within seconds.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub async fn append_with(&self, mut append: Append, jobs: Vec<AskedJob>) -> Result<Appended, append::Error> {
        if !Keyring::concerns(&append) {
            return self.commit(append, jobs).await;
        }
        let Shared { keyring, commands, .. } = &*self.shared;
        let turned: Turned = keyring
            .seal(&mut append, commands, |keys| async move { self.commit(keys, Vec::new()).await.map(drop) })
            .await?;
        let appended = self.commit(append, jobs).await?;
        // An append that was done before wrote nothing now.
        if appended.answer.is_none() {
            keyring.done(turned, commands).await;
        }
        Ok(appended)
    }

    /// Seals a key of a tenant's under the key that the tenant has in this log, which is destroyed with the tenant; made if it has none.
    ///
    /// # Errors
    /// [`append::Error::Keyless`] when the master key can't be asked; as [`append`](Self::append). Nothing was written then.
    pub async fn seal_key(&self, context: Context<'_>, key: &DataKey) -> Result<Sealed, append::Error> {
        let Shared { keyring, commands, .. } = &*self.shared;
        let make = |keys| async move { self.commit(keys, Vec::new()).await.map(drop) };
        keyring.seal_key(context, key, commands, make).await
    }

    /// Opens what [`seal_key`](Self::seal_key) sealed.
    ///
    /// # Errors
    /// [`Error::NoMasterKey`]; [`Error::Key`] when the master key can't be asked, or the tenant's key is destroyed.
    pub async fn open_key(&self, context: Context<'_>, sealed: &Sealed) -> Result<DataKey, Error> {
        self.shared.keyring.open_key(context, sealed, &self.shared.commands).await
    }

    pub(crate) fn sealing(&self) -> Option<&Sealing> {
        self.shared.keyring.sealing.as_ref()
    }

    /// The keys of the log, and by what they are looked up.
    pub(crate) fn keyring(&self) -> (&Keyring, &PgPool) {
        (&self.shared.keyring, &self.shared.commands)
    }

    /// What a tenant's key is wrapped for.
    pub(crate) fn of_tenant(&self, tenant: TenantId) -> Context<'_> {
        self.shared.keyring.of_tenant(tenant)
    }

    async fn commit(&self, append: Append, jobs: Vec<AskedJob>) -> Result<Appended, append::Error> {
        check(&append, &self.shared.settings)?;
        let (answer, answered) = oneshot::channel();
        let mut waiting = Waiting::new(append, jobs, answer);
        waiting.keep(self.room(waiting.bytes())?);
        self.shared.queue.push(waiting)?;
        match timeout(self.shared.settings.append_timeout, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(append::Error::Unavailable("it closed".to_owned())),
            Err(_) => Err(append::Error::Unavailable("no answer in time".to_owned())),
        }
    }

    /// Room for an append of so many bytes among those that wait.
    fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, append::Error> {
        let most = self.shared.settings.queue_bytes;
        // What is larger than all the room there is takes all of it.
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX).min(most);
        Arc::clone(&self.shared.room)
            .try_acquire_many_owned(wanted)
            .map_err(|_| append::Error::Busy(format!("of {most} bytes that may wait there is no room for {bytes}")))
    }

    /// A command that was done under this id.
    pub async fn command(&self, tenant: TenantId, id: &str) -> Result<Option<StoredCommand>, Error> {
        let pool = &self.shared.commands;
        read::patiently(|| async move {
            let found = sqlx::query("SELECT request_hash, answer, last_position FROM log.command($1, $2)")
                .bind(tenant.uuid())
                .bind(id)
                .fetch_optional(pool)
                .await?;
            let Some(row) = found else { return Ok(None) };
            let hash: &[u8] = row.try_get(0)?;
            Ok(Some(StoredCommand {
                request_hash: hash
                    .try_into()
                    .map_err(|_| Error::Corrupt(format!("a request hash of {} bytes", hash.len())))?,
                answer: row.try_get(1)?,
                last: Position::from_i64(row.try_get(2)?),
            }))
        })
        .await
    }

    /// Who has these claims of a kind now, by key; those that nobody has are left out. One round trip.
    pub async fn holders(
        &self,
        tenant: TenantId,
        kind: &str,
        keys: impl IntoIterator<Item = [u8; 32]>,
    ) -> Result<HashMap<[u8; 32], String>, Error> {
        let keys = keys.into_iter().map(|key| key.to_vec()).collect();
        holders(&self.shared.commands, tenant, kind, keys).await
    }

    /// Seals what is marked in a text that is kept beside an event, as it would be in the event's stream; [`opened`](Self::opened) opens it
    /// in a copy of the event. What is theirs who are erased is gone. Without sealing the values stand there themselves.
    ///
    /// # Errors
    /// [`append::Error::Keyless`] when the master key can't be asked; as [`append`](Self::append), because a key may have to be made.
    pub async fn sealed_beside(&self, event: &RecordedEvent, text: &str) -> Result<String, append::Error> {
        let Shared { keyring, commands, .. } = &*self.shared;
        let make = |keys| async move { self.commit(keys, Vec::new()).await.map(drop) };
        keyring.seal_text((event.tenant, &event.aggregate_type, &event.aggregate_id), text, commands, make).await
    }

    /// Events as they are stored, with their personal data opened: what was sealed under a key that is destroyed stays sealed.
    ///
    /// # Errors
    /// [`Error::NoMasterKey`] when something is sealed and this store has none, or when keys can't be read.
    pub async fn opened(&self, mut events: Vec<RecordedEvent>) -> Result<Vec<RecordedEvent>, Error> {
        self.shared.keyring.open(&mut events, &self.shared.commands).await?;
        Ok(events)
    }

    /// As [`opened`](Self::opened), of events that others want as they are stored. None: nothing of them is sealed.
    pub async fn opened_copies(&self, events: &[&RecordedEvent]) -> Result<Option<Vec<RecordedEvent>>, Error> {
        if !Keyring::is_needed(events) {
            return Ok(None);
        }
        self.opened(events.iter().map(|event| (*event).clone()).collect()).await.map(Some)
    }

    /// Forgets the keys that events took with them. Every process that opens events looks at all of the feed with this: who is erased by
    /// another process is forgotten in this one too.
    pub fn forget_erased(&self, events: &[RecordedEvent]) {
        self.shared.keyring.forget_erased(events);
    }

    /// Forgets the keys of tenants that are [closed](Self::closed) here: those of a tenant that is destroyed are nowhere else then.
    pub fn forget_tenants(&self, tenants: &BTreeSet<TenantId>) {
        self.shared.keyring.forget_tenants(tenants);
    }

    /// The events of one stream after a version, in order, opened; one round trip. Empty when there is no such stream.
    pub async fn load(
        &self,
        tenant: TenantId,
        aggregate_type: &str,
        aggregate_id: &str,
        after: u64,
    ) -> Result<Vec<RecordedEvent>, Error> {
        self.opened(read::load(&self.shared.readers, tenant, aggregate_type, aggregate_id, after).await?).await
    }

    /// A stream's snapshot of this form, if there is one, and the events after it, in order, opened; one round trip.
    pub async fn resume(
        &self,
        tenant: TenantId,
        aggregate_type: &str,
        aggregate_id: &str,
        form: &str,
    ) -> Result<Resumed, Error> {
        let Shared { keyring, readers, commands, .. } = &*self.shared;
        let mut resumed = snapshot::resume(readers, tenant, aggregate_type, aggregate_id, form).await?;
        if let Some(snapshot) = &mut resumed.snapshot {
            keyring.open_state((tenant, aggregate_type, aggregate_id), snapshot, commands).await?;
        }
        keyring.open(&mut resumed.events, commands).await?;
        Ok(resumed)
    }

    /// Keeps a stream's state, unless a later one of the same form is kept. Whoever loads the stream trusts it, so it has to be
    /// what the log's events up to there make.
    pub async fn keep_snapshot(
        &self,
        tenant: TenantId,
        aggregate_type: &str,
        aggregate_id: &str,
        form: &str,
        kept: &Snapshot,
    ) -> Result<(), Error> {
        let Shared { keyring, commands, .. } = &*self.shared;
        let Some(kept) = keyring.seal_state((tenant, aggregate_type, aggregate_id), kept, commands).await? else {
            return Ok(());
        };
        snapshot::keep(commands, tenant, aggregate_type, aggregate_id, form, &kept).await
    }

    /// The events of all tenants after a position, as they are stored, in order, at most `limit`. For who goes on until nothing comes: large
    /// events come fewer at a time, as in [`slice_after`](Self::slice_after).
    pub async fn read_after(&self, after: Position, limit: u32) -> Result<Vec<RecordedEvent>, Error> {
        Ok(self.slice_after(after, limit).await?.events)
    }

    /// The same, and whether there is more.
    pub async fn slice_after(&self, after: Position, limit: u32) -> Result<EventSlice, Error> {
        read::after(&self.shared.followers, after, limit).await
    }

    /// Of each tenant, the last event of these types in the stream that bears the tenant's own id, up to a position, however long ago; in
    /// order.
    pub async fn last_of_tenants(
        &self,
        aggregate_type: &str,
        event_types: &[&str],
        upto: Position,
    ) -> Result<Vec<RecordedEvent>, Error> {
        read::last_of_tenants(&self.shared.followers, aggregate_type, event_types, upto).await
    }

    /// Whether this event is the one that the log has at its position.
    pub async fn has(&self, event: &RecordedEvent) -> Result<bool, Error> {
        read::has(&self.shared.followers, event.position, event.event_id).await
    }

    /// What was brought in of these tenants' history from elsewhere.
    pub async fn copied(&self, tenants: &[Uuid]) -> Result<Copied, Error> {
        Copied::of(&self.shared.followers, tenants).await
    }

    /// The tenants for whom nothing may be written here, and why.
    pub async fn closed(&self) -> Result<Vec<(TenantId, Closure)>, Error> {
        closed::all(&self.shared.followers).await
    }

    /// The events of a partition's tenants (see [`partition_of`](crate::partition_of)) after a position, in order: those of the
    /// next `limit` times as many positions as there are partitions, at most.
    pub async fn read_partition(
        &self,
        after: Position,
        limit: u32,
        number: u32,
        partitions: u32,
    ) -> Result<EventSlice, Error> {
        read::partition(&self.shared.followers, after, limit, (number, partitions)).await
    }

    /// The events of any tenant at these positions, opened, in order; those that are not there are left out.
    pub async fn events_at(&self, positions: &[Position]) -> Result<Vec<RecordedEvent>, Error> {
        self.opened(read::at(&self.shared.followers, positions).await?).await
    }

    /// As [`events_at`](Self::events_at), as they are stored.
    pub async fn stored_at(&self, positions: &[Position]) -> Result<Vec<RecordedEvent>, Error> {
        read::at(&self.shared.followers, positions).await
    }

    /// How many events a replay with this filter gives. Set `filter.to` (to [`head`](Self::head)) so that both see the same.
    pub async fn count(&self, tenant: TenantId, filter: &ReplayFilter) -> Result<u64, Error> {
        replay::count(&self.shared.readers, tenant, filter).await
    }

    /// A tenant's events that pass the filter, as they are stored, by position: one consistent snapshot.
    pub fn replay(
        &self,
        tenant: TenantId,
        filter: ReplayFilter,
    ) -> impl Stream<Item = Result<RecordedEvent, Error>> + Send + use<> {
        replay::replay(self.shared.readers.clone(), tenant, filter)
    }

    /// A tenant's events after a position and up to another, inclusive, which the log has reached: opened, by position, at most `limit`.
    /// When there are no more of them, the slice reaches up to the end. However many ask for such stretches, they share half of the
    /// connections: commands load their streams by the others.
    pub async fn tenant_after(
        &self,
        tenant: TenantId,
        after: Position,
        to: Position,
        limit: u32,
    ) -> Result<EventSlice, Error> {
        // Never closed, so there is always one to come.
        let _turn = self.shared.stretches.acquire().await;
        let slice = replay::stretch(&self.shared.readers, tenant, after, to, limit).await?;
        Ok(EventSlice { events: self.opened(slice.events).await?, ..slice })
    }

    /// Whether a tenant other than this one asked this process for a small append so lately: whoever writes in bulk may give way.
    pub fn others_write(&self, tenant: TenantId, lately: Duration) -> bool {
        self.shared.queue.others_within(tenant, lately)
    }

    /// The position of the last event; 0 when there is none.
    pub async fn head(&self) -> Result<Position, Error> {
        read::head(&self.shared.followers).await
    }

    /// Whether appends are taken: not while it closes, nor after its committer ended, which nothing but a mistake of ours does.
    pub fn is_open(&self) -> bool {
        !self.shared.queue.is_closed()
    }

    /// The last position that this process appended: wakes the relay.
    pub fn appended(&self) -> watch::Receiver<Position> {
        self.shared.appended.subscribe()
    }

    /// The events of all tenants, in order, while the relay of this process is the active one: for who would else read them
    /// from the bus.
    pub fn relayed(&self) -> Relayed {
        Relayed::of(&self.shared.passing)
    }

    pub(crate) fn passing(&self) -> &Passing {
        &self.shared.passing
    }

    /// Takes no more appends, and finishes those that wait. Reading goes on.
    pub async fn finish(&self) {
        self.shared.closing.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// [Finishes](Self::finish), and closes the connections: for when nobody reads any more.
    pub async fn close(&self) {
        self.finish().await;
        futures::future::join3(
            self.shared.commands.close(),
            self.shared.readers.close(),
            self.shared.followers.close(),
        )
        .await;
    }
}

/// Followers read by position and nothing else: along its index, also when the database has no statistics yet and would
/// rather collect and sort the whole rest of the log for each page.
fn follow_options(database: &Database) -> sqlx::postgres::PgConnectOptions {
    database.options(Role::Follow).options([("enable_bitmapscan", "off"), ("enable_sort", "off")])
}

/// The append connection plans once, from indexes: a plan made while a table was empty must not become a scan of it when it
/// is full. Its statements end by themselves before their callers give up.
fn append_options(database: &Database, limit: Duration) -> sqlx::postgres::PgConnectOptions {
    let limit = limit.as_millis().max(1).to_string();
    database.options(Role::Append).options([
        ("statement_timeout", limit.as_str()),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ])
}
