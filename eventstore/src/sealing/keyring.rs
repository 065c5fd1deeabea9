//! [`Keyring`]: finds the keys of tenants and data subjects in a cache or in the log, or creates them when they are first needed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kernel::personal::erases;
use kernel::{RecordedEvent, TenantId};
use keys::{Context, DataKey, MasterKey, Sealed, Wrapped};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::postgres::PgPool;
use tokio::time::Instant;

use super::subject::Subject;
use super::{PERSON_ERASED, PERSON_KEY, Sealing, TENANT_KEY, append_error, keyless};
use crate::append::{self, Append, Claim, ClaimAct, CommandRecord};
use crate::epoch::Epoch;
use crate::{Database, Error, master_key, read};

/// The key of the claim that stores a tenant's key: a tenant has only one.
pub(crate) const ONLY_KEY: [u8; 32] = [0; 32];
/// The size of the cache of data subjects' keys, and how long an entry is used: an erasure by another process becomes known here through
/// its event, which may be late.
const PERSONS: usize = 20_000;
const REMEMBERED: Duration = Duration::from_secs(5);
/// The size of the cache of tenants' keys. Unwrapping one is a request to the master key's system, which may be remote, so the cache has
/// room for more tenants than are active at a time.
const TENANTS: usize = 20_000;

/// Access to the encryption keys of a log, with caches.
pub(crate) struct Keyring {
    database: Database,
    pub(crate) sealing: Option<Sealing>,
    /// Whether the master key has opened a tenant's key of this log.
    proven: AtomicBool,
    tenants: Cache<TenantId, KnownKey>,
    persons: Cache<Subject, (KnownKey, Instant)>,
    /// When it ends, the log may have lost keys. Before one from the cache is used again, it is looked for in the log: what would be
    /// encrypted under one that is not there could be read by this process only, and by nobody after it.
    epoch: Epoch,
}

/// A key, and the stored one without which nobody could use it later.
#[derive(Clone)]
pub(crate) struct KnownKey {
    pub(super) key: DataKey,
    pub(super) stored: StoredKey,
}

/// The claim that stores a key, as it was found in the log.
#[derive(Clone, Debug)]
pub(crate) struct StoredKey {
    pub(crate) kind: &'static str,
    pub(crate) claim: [u8; 32],
    /// The encrypted key.
    pub(crate) holder: Arc<str>,
    /// The log's epoch in which it was found.
    pub(crate) epoch: u64,
}

impl KnownKey {
    /// The key of a data subject that `claim` stores, encrypted under the tenant's key.
    pub(super) fn created(key: DataKey, claim: &Claim, tenant_key: &Self) -> Self {
        let epoch = tenant_key.stored.epoch;
        let stored = StoredKey { kind: claim.kind, claim: claim.key, holder: claim.holder.as_str().into(), epoch };
        Self { key, stored }
    }
}

impl Keyring {
    pub(crate) fn new(database: Database, sealing: Option<Sealing>, epoch: Epoch) -> Self {
        let (tenants, persons) = (Cache::new(TENANTS), Cache::new(PERSONS));
        Self { database, sealing, proven: AtomicBool::new(false), tenants, persons, epoch }
    }

    /// The stored key of a data subject, under its current or its former claim key.
    pub(super) async fn holder(
        &self,
        subject: &Subject,
        pool: &PgPool,
    ) -> Result<HashMap<[u8; 32], String>, append::Error> {
        let keys = [subject.claim(), subject.former_claim()].map(|key| key.to_vec()).to_vec();
        holders(pool, subject.tenant, PERSON_KEY, keys).await.map_err(append_error)
    }

    /// The key of a data subject for values in many streams; created if it does not exist. `None`: the data subject was erased.
    pub(super) async fn subject_key<F>(
        &self,
        sealing: &Sealing,
        subject: &Subject,
        pool: &PgPool,
        make: &impl Fn(Append, Vec<StoredKey>) -> F,
    ) -> Result<Option<KnownKey>, append::Error>
    where
        F: Future<Output = Result<(), append::Error>>,
    {
        let tenant_key = self.tenant_key(sealing, subject.tenant, pool, make).await?;
        let key = DataKey::generate(&*sealing.random).map_err(|error| keyless(&error))?;
        // The first append wins; the others then read its key.
        let mark = claim(sealing, &tenant_key.key, subject, &key, true)?;
        // Ids of callers never begin with this control character. The id is different for each key, so the command is not taken for a
        // repetition when a key has to be created again.
        let command = CommandRecord {
            id: format!("\u{1}person key {}", hex::encode(Sha256::digest(&mark.holder))),
            request_hash: [0; 32],
            answer: "null".to_owned(),
        };
        let (tenant, claims) = (subject.tenant, vec![is_erased(subject, ClaimAct::Absent), mark]);
        match make(Append { tenant, command, streams: Vec::new(), claims }, vec![tenant_key.stored]).await {
            Err(append::Error::ClaimTaken { .. }) => return Ok(None),
            made => made?,
        }
        // It may have been released already.
        self.stored_subject_key(subject, pool).await
    }

    /// A data subject's key from the cache, if it is recent enough.
    fn remembered(&self, subject: &Subject) -> Option<KnownKey> {
        let (known, at) = self.persons.get(subject)?;
        (at.elapsed() < REMEMBERED && known.stored.epoch == self.epoch.current()).then_some(known)
    }

    pub(super) fn remember(&self, subject: Subject, known: KnownKey) {
        self.persons.insert(subject, (known, Instant::now()));
    }

    /// Removes the key of an erased data subject from the cache.
    pub(super) fn forget(&self, subject: &Subject) {
        self.persons.remove(subject);
    }

    /// Removes the keys that these events destroyed from the cache, whichever process appended them.
    pub(crate) fn forget_erased<'e>(&self, events: impl IntoIterator<Item = &'e RecordedEvent>) {
        for event in events {
            if erases(&event.event_type) {
                self.forget(&Subject::of(event));
            }
        }
    }

    /// Removes the keys of tenants and of their data subjects from the cache.
    pub(crate) fn forget_tenants(&self, tenants: &BTreeSet<TenantId>) {
        self.tenants.retain(|tenant, _| !tenants.contains(tenant));
        self.persons.retain(|subject, _| !tenants.contains(&subject.tenant));
    }

    /// The existing key of a stream, if there is one. A stream that begins has none yet.
    pub(super) async fn existing_key(
        &self,
        subject: &Subject,
        begins: bool,
        pool: &PgPool,
    ) -> Result<Option<KnownKey>, append::Error> {
        let known = self.remembered(subject);
        if known.is_some() || begins || self.sealing.is_none() {
            return Ok(known);
        }
        self.stored_subject_key(subject, pool).await
    }

    /// The stored key of a data subject. `None`: they were erased, or never had one.
    async fn stored_subject_key(&self, subject: &Subject, pool: &PgPool) -> Result<Option<KnownKey>, append::Error> {
        let found = self.subject_keys(pool, [subject]).await.map_err(append_error)?;
        Ok(found.into_iter().next().map(|(_, known)| known))
    }

    /// A tenant's key; created when it is first needed.
    pub(super) async fn tenant_key<F>(
        &self,
        sealing: &Sealing,
        tenant: TenantId,
        pool: &PgPool,
        make: impl Fn(Append, Vec<StoredKey>) -> F,
    ) -> Result<KnownKey, append::Error>
    where
        F: Future<Output = Result<(), append::Error>>,
    {
        if let Some(key) = self.stored_tenant_key(sealing, tenant, pool).await.map_err(append_error)? {
            return Ok(key);
        }
        self.prove(sealing).await.map_err(append_error)?;
        let key = DataKey::generate(&*sealing.random).map_err(|error| keyless(&error))?;
        let wrapped =
            sealing.master.wrap(self.tenant_key_context(tenant), &key).await.map_err(|error| keyless(&error))?;
        let mark = Claim {
            kind: TENANT_KEY,
            key: ONLY_KEY,
            holder: wrapped.as_str().to_owned(),
            // The first append wins; the others then read its key.
            act: ClaimAct::Mark,
        };
        // Ids of callers never begin with this control character.
        let command =
            CommandRecord { id: "\u{1}tenant key".to_owned(), request_hash: [0; 32], answer: "null".to_owned() };
        make(Append { tenant, command, streams: Vec::new(), claims: vec![mark] }, Vec::new()).await?;
        self.stored_tenant_key(sealing, tenant, pool)
            .await
            .map_err(append_error)?
            .ok_or_else(|| append::Error::Unavailable("the tenant's key was made, and is not there".to_owned()))
    }

    /// Makes sure that the master key is the log's before it wraps another tenant's key, which the right one could not open: it has to open
    /// one that has its name (which for a key elsewhere is a place only, where another key may be). If there is none, the log has none at
    /// all yet, or the master key follows the one that wrapped them.
    pub(super) async fn prove(&self, sealing: &Sealing) -> Result<(), Error> {
        if self.proven.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (master, database) = (&*sealing.master, &self.database);
        let found = read::with_retries(|| async move { Ok(master_key::one_of_each_in(database).await?) }).await?;
        if let Some((tenant, wrapped)) = found.iter().find(|(_, wrapped)| wrapped.wrapped_by() == master.name()) {
            if let Err(error) = master.unwrap(self.tenant_key_context(*tenant), wrapped).await {
                self.open_another(master).await?.ok_or(Error::Key(error))?;
            }
            self.proven.store(true, Ordering::Relaxed);
        }
        master_key::check(&found, master)
    }

    /// Opens one of several keys that have the master key's name: a tenant whose key is lost keeps no other from getting one.
    async fn open_another(&self, master: &dyn MasterKey) -> Result<Option<DataKey>, Error> {
        let database = &self.database;
        let some =
            read::with_retries(|| async move { Ok(master_key::some_of(database, master.name()).await?) }).await?;
        let asked: Vec<(Context<'_>, &Wrapped)> =
            some.iter().map(|(tenant, wrapped)| (self.tenant_key_context(*tenant), wrapped)).collect();
        Ok(master.unwrap_all(&asked).await.into_iter().find_map(Result::ok))
    }

    async fn stored_tenant_key(
        &self,
        sealing: &Sealing,
        tenant: TenantId,
        pool: &PgPool,
    ) -> Result<Option<KnownKey>, Error> {
        let epoch = self.epoch.current();
        let known = self.tenants.get(&tenant);
        if let Some(known) = known.as_ref().filter(|known| known.stored.epoch == epoch) {
            return Ok(Some(known.clone()));
        }
        let found = holders(pool, tenant, TENANT_KEY, vec![ONLY_KEY.to_vec()]).await?;
        let Some(holder) = found.into_values().next() else {
            self.tenants.remove(&tenant);
            return Ok(None);
        };
        let key = if let Some(known) = known.filter(|known| *known.stored.holder == *holder) {
            // The master key need not be asked again: it may be unavailable now.
            known.key
        } else {
            let wrapped = Wrapped::read(&holder);
            let opened = sealing.master.unwrap(self.tenant_key_context(tenant), &wrapped).await.map_err(Error::Key)?;
            if wrapped.wrapped_by() == sealing.master.name() {
                self.proven.store(true, Ordering::Relaxed);
            }
            opened
        };
        let stored = StoredKey { kind: TENANT_KEY, claim: ONLY_KEY, holder: holder.into(), epoch };
        let found = KnownKey { key, stored };
        self.tenants.insert(tenant, found.clone());
        Ok(Some(found))
    }

    /// Encrypts a data key under the tenant's key.
    pub(crate) async fn seal_key<F>(
        &self,
        context: Context<'_>,
        key: &DataKey,
        pool: &PgPool,
        make: impl Fn(Append, Vec<StoredKey>) -> F,
    ) -> Result<Sealed, append::Error>
    where
        F: Future<Output = Result<(), append::Error>>,
    {
        let sealing = self.sealing.as_ref().ok_or_else(|| append_error(Error::NoMasterKey))?;
        let tenant_key = self.tenant_key(sealing, context.tenant, pool, make).await?;
        tenant_key.key.seal(context, key.reveal(), &*sealing.random).map_err(|error| keyless(&error))
    }

    /// Decrypts a key that [`seal_key`](Self::seal_key) encrypted.
    pub(crate) async fn open_key(
        &self,
        context: Context<'_>,
        sealed: &Sealed,
        pool: &PgPool,
    ) -> Result<DataKey, Error> {
        let sealing = self.sealing.as_ref().ok_or(Error::NoMasterKey)?;
        // A tenant without a key was deleted.
        let tenant_key =
            self.stored_tenant_key(sealing, context.tenant, pool).await?.ok_or(Error::Key(keys::Error::DoesNotOpen))?;
        let key = tenant_key.key.open(context, sealed).map_err(Error::Key)?;
        key.as_slice().try_into().map(DataKey::new).map_err(|_| Error::Corrupt("a key of another length".to_owned()))
    }

    /// The context in which a tenant's key is wrapped.
    pub(crate) fn tenant_key_context(&self, tenant: TenantId) -> Context<'_> {
        Context { tenant, purpose: TENANT_KEY, subject: self.database.service.name() }
    }

    /// The stored keys of these streams of one tenant. Streams that were erased or never had a key are left out.
    async fn subject_keys<'a>(
        &self,
        pool: &PgPool,
        subjects: impl IntoIterator<Item = &'a Subject>,
    ) -> Result<Vec<(Subject, KnownKey)>, Error> {
        let Some(sealing) = &self.sealing else { return Err(Error::NoMasterKey) };
        let mut wanted: Vec<&Subject> = subjects.into_iter().collect();
        let Some(tenant) = wanted.first().map(|subject| subject.tenant) else { return Ok(Vec::new()) };
        let epoch = self.epoch.current();
        let mut opened = Vec::with_capacity(wanted.len());
        for claim in [Subject::claim, Subject::former_claim] {
            let keys: HashMap<[u8; 32], &Subject> = wanted.iter().map(|subject| (claim(subject), *subject)).collect();
            let found = holders(pool, tenant, PERSON_KEY, keys.keys().map(|key| key.to_vec()).collect()).await?;
            if found.is_empty() {
                continue;
            }
            let Some(tenant_key) = self.stored_tenant_key(sealing, tenant, pool).await? else {
                return Err(Error::Corrupt(format!("the key of the tenant {tenant} is not there")));
            };
            for (claim, holder) in &found {
                let Some(subject) = keys.get(claim) else { continue };
                let key =
                    tenant_key.key.open(subject.context(PERSON_KEY), &Sealed::read(holder)).map_err(Error::Key)?;
                let key: [u8; 32] = key
                    .as_slice()
                    .try_into()
                    .map_err(|_| Error::Corrupt("a person's key of another length".to_owned()))?;
                let stored = StoredKey { kind: PERSON_KEY, claim: *claim, holder: holder.as_str().into(), epoch };
                let known = KnownKey { key: DataKey::new(key), stored };
                self.remember((*subject).clone(), known.clone());
                opened.push(((*subject).clone(), known));
            }
            wanted.retain(|subject| !found.contains_key(&claim(subject)));
            if wanted.is_empty() {
                break;
            }
        }
        Ok(opened)
    }

    pub(super) async fn keys(
        &self,
        subjects: BTreeSet<Subject>,
        pool: &PgPool,
    ) -> Result<HashMap<Subject, DataKey>, Error> {
        if self.sealing.is_none() {
            return Err(Error::NoMasterKey);
        }
        let (mut keys, mut missing) = (HashMap::new(), BTreeMap::<TenantId, Vec<Subject>>::new());
        for subject in subjects {
            match self.remembered(&subject) {
                Some(known) => _ = keys.insert(subject, known.key),
                None => missing.entry(subject.tenant).or_default().push(subject),
            }
        }
        for subjects in missing.values() {
            let found = self.subject_keys(pool, subjects).await?;
            keys.extend(found.into_iter().map(|(subject, known)| (subject, known.key)));
        }
        Ok(keys)
    }
}

/// The holders of these claims, by key.
pub(crate) async fn holders(
    pool: &PgPool,
    tenant: TenantId,
    kind: &str,
    keys: Vec<Vec<u8>>,
) -> Result<HashMap<[u8; 32], String>, Error> {
    let keys = &keys;
    read::with_retries(|| async move {
        let rows = sqlx::query("SELECT key, holder FROM log.holders($1, $2, $3)")
            .bind(tenant.uuid())
            .bind(kind)
            .bind(keys)
            .fetch_all(pool)
            .await?;
        let held = rows.iter().map(|row| {
            let key: &[u8] = row.try_get(0)?;
            let key: [u8; 32] =
                key.try_into().map_err(|_| Error::Corrupt(format!("a claim's key of {} bytes", key.len())))?;
            Ok((key, row.try_get(1)?))
        });
        held.collect()
    })
    .await
}

/// The claim that records that a data subject was erased.
pub(super) fn is_erased(subject: &Subject, act: ClaimAct) -> Claim {
    Claim { kind: PERSON_ERASED, key: subject.claim(), holder: "log".to_owned(), act }
}

/// The claim that stores the key of a data subject, encrypted under the tenant's key.
pub(super) fn claim(
    sealing: &Sealing,
    tenant_key: &DataKey,
    subject: &Subject,
    key: &DataKey,
    begins: bool,
) -> Result<Claim, append::Error> {
    let sealed = tenant_key.seal(subject.context(PERSON_KEY), key.reveal(), &*sealing.random);
    let holder = sealed.map_err(|error| keyless(&error))?.as_str().to_owned();
    // A new stream is created only once, which its expected version ensures. So nobody else can have created its key, and no lookup is
    // needed.
    let act = if begins { ClaimAct::Mark } else { ClaimAct::Take };
    Ok(Claim { kind: PERSON_KEY, key: subject.claim(), holder, act })
}
