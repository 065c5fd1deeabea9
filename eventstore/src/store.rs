//! [`EventStore`]: the event store of one service.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::Stream;
use kernel::{Clock, Position, RecordedEvent, Service, TenantId};
use keys::{Context, DataKey, Sealed};
use sqlx::Row;
use sqlx::postgres::PgPool;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::append::check::check;
use crate::append::{self, Append, Appended, AskedJob};
use crate::append_connection::AppendConnection;
use crate::batch::PendingAppend;
use crate::channels::{Channels, Relayed};
use crate::committer::Committer;
use crate::epoch::Epoch;
use crate::meters::Meters;
use crate::queue::Queue;
use crate::read::{EventSlice, SILENCE};
use crate::sealing::{KeyChanges, Keyring, StoredKey, holders};
use crate::{
    Database, Error, Patience, PoolUse, ReplayFilter, Resumed, Role, Sealing, Settings, Snapshot, read, replay,
    snapshot, supervised,
};

/// A command that was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCommand {
    /// SHA-256 of the request.
    pub request_hash: [u8; 32],
    /// The answer, JSON.
    pub answer: String,
    /// Position of its last event; if it had none, the log's last position at that time.
    pub last: Position,
}

/// The log of one service. Clones share all resources.
#[derive(Clone)]
pub struct EventStore {
    shared: Arc<Shared>,
}

struct Shared {
    database: Database,
    settings: Settings,
    queue: Arc<Queue>,
    /// Limits the bytes of waiting appends: one permit for each byte.
    room: Arc<Semaphore>,
    appended: watch::Sender<Position>,
    channels: Channels,
    keyring: Keyring,
    epoch: Epoch,
    commands: PgPool,
    readers: PgPool,
    /// Limits concurrent calls of [`EventStore::tenant_after`], so that commands find a free connection in the same pool.
    slice_reads: Semaphore,
    followers: PgPool,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl EventStore {
    /// Opens the log and starts its committer. The database must be migrated; it need not be reachable yet.
    pub async fn open(database: &Database, settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let queue = Arc::new(Queue::new(&settings));
        let (appended, _) = watch::channel(Position::START);
        let channels = Channels::new();
        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        let epoch = Epoch::default();
        let options = append_options(database, settings.append_timeout);
        let connection = AppendConnection::new(options, settings.claim_key_mark.clone(), epoch.clone());
        let committer = Committer {
            queue: Arc::clone(&queue),
            settings: settings.clone(),
            clock,
            appended: appended.clone(),
            pages: channels.appended.clone(),
            meters: Meters::new(database.service),
            closing: closing.clone(),
            connection: Arc::new(Mutex::new(connection)),
        };
        let committing = move |_| committer.clone().run();
        tasks.spawn(supervised(format!("log/{}", database.service), closing.clone(), committing));
        let pool = |role, max| epoch.pool(database.options(role), max, Patience::default());
        let (commands, readers) = (pool(Role::Append, 2), pool(Role::Read, settings.read_connections));
        let followers = epoch.pool(follow_options(database), settings.follow_connections, settings.follow_patience);
        Ok(Self {
            shared: Arc::new(Shared {
                database: database.clone(),
                queue,
                room: Arc::new(Semaphore::new(settings.queue_bytes as usize)),
                appended,
                channels,
                keyring: Keyring::new(database.clone(), settings.sealing.clone(), epoch.clone()),
                epoch,
                commands,
                readers,
                slice_reads: Semaphore::new((settings.read_connections as usize / 2).max(1)),
                followers,
                closing,
                tasks,
                settings,
            }),
        })
    }

    /// The service whose log it is.
    pub fn service(&self) -> Service {
        self.shared.database.service
    }

    /// The database of the log.
    pub fn database(&self) -> &Database {
        &self.shared.database
    }

    /// The pool of connections that read for one tenant at a time.
    pub(crate) fn readers(&self) -> &PgPool {
        &self.shared.readers
    }

    /// The pool of connections that read all tenants' events.
    pub(crate) fn followers(&self) -> &PgPool {
        &self.shared.followers
    }

    /// The usage of each of its connection pools.
    pub fn pools(&self) -> [PoolUse; 3] {
        let Shared { commands, readers, followers, .. } = &*self.shared;
        [PoolUse::of("commands", commands), PoolUse::of("load", readers), PoolUse::of("follow", followers)]
    }

    /// Appends through the group committer. Marked personal data is sealed before.
    ///
    /// # Errors
    /// See [`append::Error`]. If too many appends are waiting, by number or by bytes, the result is `Busy` at once.
    pub async fn append(&self, append: Append) -> Result<Appended, append::Error> {
        self.append_with(append, Vec::new(), None).await
    }

    /// As [`append`](Self::append), with jobs that are enqueued in the same transaction: they exist if and only if the append was written.
    /// The caller wakes the job runner afterwards; otherwise the runner finds the jobs within seconds.
    ///
    /// `read_in` is the [epoch](Self::epoch) in which the states were read on which the append was decided, if it rests on any. It is not
    /// written in a later one: a stream that lost its end may have the expected version again, with other events.
    ///
    /// # Errors
    /// As for [`append`](Self::append); [`append::Error::Outdated`] if the epoch has ended.
    pub async fn append_with(
        &self,
        mut append: Append,
        jobs: Vec<AskedJob>,
        read_in: Option<u64>,
    ) -> Result<Appended, append::Error> {
        if !Keyring::is_needed_for(&append) {
            return self.commit(append, jobs, read_in, Vec::new()).await;
        }
        let Shared { keyring, commands, .. } = &*self.shared;
        let mut changes: KeyChanges =
            keyring.seal(&mut append, commands, |keys, needed| self.commit_keys(keys, needed)).await?;
        let appended = self.commit(append, jobs, read_in, std::mem::take(&mut changes.needed)).await?;
        // A repeated command wrote nothing now.
        if appended.answer.is_none() {
            keyring.apply(changes, commands).await;
        }
        Ok(appended)
    }

    /// Encrypts a data key under the key that the tenant has in this log, which is destroyed with the tenant; the tenant's key is created
    /// if there is none.
    ///
    /// # Errors
    /// [`append::Error::Keyless`] if the master key is unavailable; as [`append`](Self::append). Nothing was written then.
    pub async fn seal_key(&self, context: Context<'_>, key: &DataKey) -> Result<Sealed, append::Error> {
        let Shared { keyring, commands, .. } = &*self.shared;
        keyring.seal_key(context, key, commands, |keys, needed| self.commit_keys(keys, needed)).await
    }

    /// Decrypts a key that [`seal_key`](Self::seal_key) encrypted.
    ///
    /// # Errors
    /// [`Error::NoMasterKey`]; [`Error::Key`] if the master key is unavailable, or the tenant's key was destroyed.
    pub async fn open_key(&self, context: Context<'_>, sealed: &Sealed) -> Result<DataKey, Error> {
        self.shared.keyring.open_key(context, sealed, &self.shared.commands).await
    }

    pub(crate) fn sealing(&self) -> Option<&Sealing> {
        self.shared.keyring.sealing.as_ref()
    }

    /// The keyring of the log, and the pool for its lookups.
    pub(crate) fn keyring(&self) -> (&Keyring, &PgPool) {
        (&self.shared.keyring, &self.shared.commands)
    }

    /// The context in which a tenant's key is wrapped.
    pub(crate) fn tenant_key_context(&self, tenant: TenantId) -> Context<'_> {
        self.shared.keyring.tenant_key_context(tenant)
    }

    /// An append that creates a key. It needs those under which the key is encrypted.
    async fn commit_keys(&self, append: Append, needed: Vec<StoredKey>) -> Result<(), append::Error> {
        self.commit(append, Vec::new(), None, needed).await.map(drop)
    }

    /// `needed`: the keys under which something in the append is encrypted.
    async fn commit(
        &self,
        append: Append,
        jobs: Vec<AskedJob>,
        read_in: Option<u64>,
        needed: Vec<StoredKey>,
    ) -> Result<Appended, append::Error> {
        check(&append, &self.shared.settings)?;
        let (answer, answered) = oneshot::channel();
        let mut pending = PendingAppend::new(append, jobs, answer);
        (pending.read_in, pending.needed) = (read_in, needed);
        pending.hold(self.room(pending.bytes())?);
        self.shared.queue.push(pending)?;
        match timeout(self.shared.settings.append_timeout, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(append::Error::Unavailable("it stopped before it answered".to_owned())),
            Err(_) => Err(append::Error::Unavailable("no answer in time".to_owned())),
        }
    }

    /// Reserves a share of the limit on waiting bytes.
    fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, append::Error> {
        let most = self.shared.settings.queue_bytes;
        // An append that is larger than the limit reserves all of it.
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX).min(most);
        Arc::clone(&self.shared.room)
            .try_acquire_many_owned(wanted)
            .map_err(|_| append::Error::Busy(format!("of {most} bytes that may wait there is no room for {bytes}")))
    }

    /// The stored command with this id, if it was executed.
    pub async fn command(&self, tenant: TenantId, id: &str) -> Result<Option<StoredCommand>, Error> {
        let pool = &self.shared.commands;
        read::with_retries(|| async move {
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

    /// The current holders of these claims of a kind, by key; claims that nobody has are left out. One round trip.
    pub async fn holders(
        &self,
        tenant: TenantId,
        kind: &str,
        keys: impl IntoIterator<Item = [u8; 32]>,
    ) -> Result<HashMap<[u8; 32], String>, Error> {
        let keys = keys.into_iter().map(|key| key.to_vec()).collect();
        holders(&self.shared.commands, tenant, kind, keys).await
    }

    /// Seals the marked values in a text that is stored next to an event, as they would be in the event's stream. To open it, put it into a
    /// copy of the event and call [`opened`](Self::opened). Values of erased data subjects are replaced by empty sealed values. If sealing
    /// is off, the values are written unsealed.
    ///
    /// # Errors
    /// [`append::Error::Keyless`] if the master key is unavailable; as [`append`](Self::append), because a key may have to be created.
    pub async fn seal_text(&self, event: &RecordedEvent, text: &str) -> Result<String, append::Error> {
        let Shared { keyring, commands, .. } = &*self.shared;
        let make = |keys, needed| self.commit_keys(keys, needed);
        keyring.seal_text((event.tenant, &event.aggregate_type, &event.aggregate_id), text, commands, make).await
    }

    /// Opens the sealed personal data in stored events; values whose key was destroyed stay sealed.
    ///
    /// # Errors
    /// [`Error::NoMasterKey`] if something is sealed and this store has no master key; if keys can't be read.
    pub async fn opened(&self, mut events: Vec<RecordedEvent>) -> Result<Vec<RecordedEvent>, Error> {
        self.shared.keyring.open(&mut events, &self.shared.commands).await?;
        Ok(events)
    }

    /// As [`opened`](Self::opened), for events that are also needed as stored. `None`: nothing in them is sealed.
    pub async fn opened_copies(&self, events: &[&RecordedEvent]) -> Result<Option<Vec<RecordedEvent>>, Error> {
        if !Keyring::is_needed_to_open(events) {
            return Ok(None);
        }
        self.opened(events.iter().map(|event| (*event).clone()).collect()).await.map(Some)
    }

    /// Removes the keys that these events destroyed from the cache. Every process that opens events calls this for all events of the feed,
    /// because an erasure may come from another process.
    pub fn forget_erased(&self, events: &[RecordedEvent]) {
        self.shared.keyring.forget_erased(events);
    }

    /// Removes the keys of tenants that are [closed](Self::closed) here from the cache. For a destroyed tenant these are the last copies.
    pub fn forget_tenants(&self, tenants: &BTreeSet<TenantId>) {
        self.shared.keyring.forget_tenants(tenants);
    }

    /// The events of one stream after a version, in order, opened; one round trip. Empty if there is no such stream.
    pub async fn load(
        &self,
        tenant: TenantId,
        aggregate_type: &str,
        aggregate_id: &str,
        after: u64,
    ) -> Result<Vec<RecordedEvent>, Error> {
        self.opened(read::load(&self.shared.readers, tenant, aggregate_type, aggregate_id, after).await?).await
    }

    /// When the first event of a stream happened. `None` if there is no such stream.
    pub async fn began_at(
        &self,
        tenant: TenantId,
        aggregate_type: &str,
        aggregate_id: &str,
    ) -> Result<Option<DateTime<Utc>>, Error> {
        read::began_at(&self.shared.readers, tenant, aggregate_type, aggregate_id).await
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

    /// Stores a snapshot of a stream, unless there is a later one with the same form. Loading trusts it, so it must be the state after the
    /// log's events up to its version.
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

    /// The number of events that a replay with this filter returns. Set `filter.to` (to [`head`](Self::head)) so that both calls see the
    /// same events.
    pub async fn count(&self, tenant: TenantId, filter: &ReplayFilter) -> Result<u64, Error> {
        replay::count(&self.shared.readers, tenant, filter).await
    }

    /// A tenant's events that pass the filter, as stored, ordered by position: one consistent snapshot.
    pub fn replay(
        &self,
        tenant: TenantId,
        filter: ReplayFilter,
    ) -> impl Stream<Item = Result<RecordedEvent, Error>> + Send + use<> {
        replay::replay(self.shared.readers.clone(), tenant, filter)
    }

    /// A tenant's events after a position and up to another one (inclusive) that the log has reached: opened, ordered by position, at most
    /// `limit`. If there are no more of them, the slice reaches up to the end. All concurrent calls together use at most half of the
    /// connections; the others remain for commands that load streams.
    pub async fn tenant_after(
        &self,
        tenant: TenantId,
        after: Position,
        to: Position,
        limit: u32,
    ) -> Result<EventSlice, Error> {
        // The semaphore is never closed, so acquiring it can't fail.
        let _turn = self.shared.slice_reads.acquire().await;
        let slice = replay::slice(&self.shared.readers, tenant, after, to, limit).await?;
        Ok(EventSlice { events: self.opened(slice.events).await?, ..slice })
    }

    /// Whether another tenant queued a small append in this process within this time: then a bulk writer should pause.
    pub fn others_queued_within(&self, tenant: TenantId, recent: Duration) -> bool {
        self.shared.queue.others_queued_within(tenant, recent)
    }

    /// The number of this process's current epoch of the log. It increases whenever the log may have lost its end: when the append connection
    /// was lost, when another server answers than before, and [when somebody notices](Self::end_epoch). What was read in an earlier epoch may
    /// rest on events that are not there any more.
    pub fn epoch(&self) -> u64 {
        self.shared.epoch.current()
    }

    /// Ends the epoch. To be called by whoever notices that the log has lost its end.
    pub fn end_epoch(&self) {
        self.shared.epoch.end();
    }

    /// Whether appends are accepted. False while the store is closing, and after the committer panicked until it is started again.
    pub fn is_open(&self) -> bool {
        !self.shared.queue.is_closed()
    }

    /// The last position that this process appended; its changes wake the relay.
    pub fn appended(&self) -> watch::Receiver<Position> {
        self.shared.appended.subscribe()
    }

    /// The events of all tenants, in order, while the relay of this process is active: for consumers that otherwise read them from the bus.
    pub fn relayed(&self) -> Relayed {
        Relayed::of(&self.shared.channels)
    }

    pub(crate) fn channels(&self) -> &Channels {
        &self.shared.channels
    }

    /// Refuses further appends, completes those that are waiting, and closes the connections, when nobody reads any more.
    pub async fn close(&self) {
        self.shared.closing.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        futures::future::join3(
            self.shared.commands.close(),
            self.shared.readers.close(),
            self.shared.followers.close(),
        )
        .await;
    }
}

/// Followers read by position only. This forces index scans: without statistics Postgres would collect and sort the whole rest of the log
/// for each page.
fn follow_options(database: &Database) -> sqlx::postgres::PgConnectOptions {
    // What a reader gave up ends on the server, too. The first read after a start may take long.
    let limit = (4 * SILENCE).as_millis().to_string();
    let options = [("enable_bitmapscan", "off"), ("enable_sort", "off"), ("statement_timeout", limit.as_str())];
    database.options(Role::Follow).options(options)
}

/// The append connection uses one generic plan with index scans: a plan that was made while a table was empty must not become a sequential
/// scan of it when it is full. `statement_timeout` ends a statement before its caller gives up.
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
