//! [`Keyring`]: finds the keys of tenants and data subjects in a cache or in the log, or creates them when they are first needed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kernel::personal::erases;
use kernel::{RecordedEvent, Service, TenantId};
use keys::{Context, DataKey, Sealed, Wrapped};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::postgres::PgPool;
use tokio::time::Instant;

use super::subject::Subject;
use super::{PERSON_ERASED, PERSON_KEY, Sealing, TENANT_KEY, append_error, keyless};
use crate::append::{self, Append, Claim, ClaimAct, CommandRecord};
use crate::{Error, read};

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
    service: Service,
    pub(crate) sealing: Option<Sealing>,
    tenants: Cache<TenantId, TenantKey>,
    persons: Cache<Subject, (DataKey, Instant)>,
    /// How often the log may have lost its end: see [`doubt`](Self::doubt).
    doubts: AtomicU64,
}

/// A tenant's key in the cache.
#[derive(Clone)]
struct TenantKey {
    key: DataKey,
    /// As the log stores it.
    wrapped: Arc<str>,
    /// The number of doubts when it was last seen in the log.
    seen: u64,
}

impl Keyring {
    pub(crate) fn new(service: Service, sealing: Option<Sealing>) -> Self {
        let (tenants, persons) = (Cache::new(TENANTS), Cache::new(PERSONS));
        Self { service, sealing, tenants, persons, doubts: AtomicU64::new(0) }
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

    /// The key of a data subject for values in many streams, and its stored form; created if it does not exist. `None`: the data subject
    /// was erased.
    pub(super) async fn subject_key<F>(
        &self,
        sealing: &Sealing,
        subject: &Subject,
        pool: &PgPool,
        make: &impl Fn(Append) -> F,
    ) -> Result<Option<(DataKey, String)>, append::Error>
    where
        F: Future<Output = Result<(), append::Error>>,
    {
        let tenant_key = self.tenant_key(sealing, subject.tenant, pool, make).await?;
        let key = DataKey::generate(&*sealing.random).map_err(|error| keyless(&error))?;
        // The first append wins; the others then read its key.
        let mark = claim(sealing, &tenant_key, subject, &key, true)?;
        // Ids of callers never begin with this control character. The id is different for each key, so the command is not taken for a
        // repetition when a key has to be created again.
        let command = CommandRecord {
            id: format!("\u{1}person key {}", hex::encode(Sha256::digest(&mark.holder))),
            request_hash: [0; 32],
            answer: "null".to_owned(),
        };
        let (tenant, claims) = (subject.tenant, vec![is_erased(subject, ClaimAct::Absent), mark]);
        match make(Append { tenant, command, streams: Vec::new(), claims }).await {
            Err(append::Error::ClaimTaken { .. }) => return Ok(None),
            made => made?,
        }
        let holder = self.holder(subject, pool).await?.remove(&subject.claim());
        let key = self.subject_keys(pool, [subject]).await.map_err(append_error)?.pop();
        // The key may have been released already.
        Ok(key.zip(holder).map(|((_, key), holder)| (key, holder)))
    }

    /// A data subject's key from the cache, if it is recent enough.
    fn remembered(&self, subject: &Subject) -> Option<DataKey> {
        let (key, at) = self.persons.get(subject)?;
        (at.elapsed() < REMEMBERED).then_some(key)
    }

    pub(super) fn remember(&self, subject: Subject, key: DataKey) {
        self.persons.insert(subject, (key, Instant::now()));
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

    /// To be called when the log may have lost its end, and with it keys: a server took over that lacked it, or the log was restored. Before
    /// a tenant's key from the cache is used again, it is looked for in the log. What would be encrypted under a key that is not there could
    /// be read by this process only, and by nobody after it.
    pub(crate) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::SeqCst);
        self.persons.clear();
    }

    /// The existing key of a stream, if there is one. A stream that begins has none yet.
    pub(super) async fn existing_key(
        &self,
        subject: &Subject,
        begins: bool,
        pool: &PgPool,
    ) -> Result<Option<DataKey>, append::Error> {
        let key = self.remembered(subject);
        if key.is_some() || begins || self.sealing.is_none() {
            return Ok(key);
        }
        Ok(self.subject_keys(pool, [subject]).await.map_err(append_error)?.pop().map(|(_, key)| key))
    }

    /// A tenant's key; created when it is first needed.
    pub(super) async fn tenant_key<F>(
        &self,
        sealing: &Sealing,
        tenant: TenantId,
        pool: &PgPool,
        make: impl Fn(Append) -> F,
    ) -> Result<DataKey, append::Error>
    where
        F: Future<Output = Result<(), append::Error>>,
    {
        if let Some(key) = self.stored_tenant_key(sealing, tenant, pool).await.map_err(append_error)? {
            return Ok(key);
        }
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
        make(Append { tenant, command, streams: Vec::new(), claims: vec![mark] }).await?;
        self.stored_tenant_key(sealing, tenant, pool)
            .await
            .map_err(append_error)?
            .ok_or_else(|| append::Error::Unavailable("the tenant's key was made, and is not there".to_owned()))
    }

    async fn stored_tenant_key(
        &self,
        sealing: &Sealing,
        tenant: TenantId,
        pool: &PgPool,
    ) -> Result<Option<DataKey>, Error> {
        // Read before the log is.
        let doubts = self.doubts.load(Ordering::SeqCst);
        let known = self.tenants.get(&tenant);
        if let Some(known) = known.as_ref().filter(|known| known.seen == doubts) {
            return Ok(Some(known.key.clone()));
        }
        let found = holders(pool, tenant, TENANT_KEY, vec![ONLY_KEY.to_vec()]).await?;
        let Some(wrapped) = found.into_values().next() else {
            self.tenants.remove(&tenant);
            return Ok(None);
        };
        let key = if let Some(known) = known.filter(|known| *known.wrapped == *wrapped) {
            // The master key need not be asked again: it may be unavailable now.
            known.key
        } else {
            let stored = Wrapped::read(&wrapped);
            sealing.master.unwrap(self.tenant_key_context(tenant), &stored).await.map_err(Error::Key)?
        };
        self.tenants.insert(tenant, TenantKey { key: key.clone(), wrapped: wrapped.into(), seen: doubts });
        Ok(Some(key))
    }

    /// Encrypts a data key under the tenant's key.
    pub(crate) async fn seal_key<F>(
        &self,
        context: Context<'_>,
        key: &DataKey,
        pool: &PgPool,
        make: impl Fn(Append) -> F,
    ) -> Result<Sealed, append::Error>
    where
        F: Future<Output = Result<(), append::Error>>,
    {
        let sealing = self.sealing.as_ref().ok_or_else(|| append_error(Error::NoMasterKey))?;
        let tenant_key = self.tenant_key(sealing, context.tenant, pool, make).await?;
        tenant_key.seal(context, key.reveal(), &*sealing.random).map_err(|error| keyless(&error))
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
        let key = tenant_key.open(context, sealed).map_err(Error::Key)?;
        key.as_slice().try_into().map(DataKey::new).map_err(|_| Error::Corrupt("a key of another length".to_owned()))
    }

    /// The context in which a tenant's key is wrapped.
    pub(crate) fn tenant_key_context(&self, tenant: TenantId) -> Context<'_> {
        Context { tenant, purpose: TENANT_KEY, subject: self.service.name() }
    }

    /// The stored keys of these streams of one tenant. Streams that were erased or never had a key are left out.
    async fn subject_keys<'a>(
        &self,
        pool: &PgPool,
        subjects: impl IntoIterator<Item = &'a Subject>,
    ) -> Result<Vec<(Subject, DataKey)>, Error> {
        let Some(sealing) = &self.sealing else { return Err(Error::NoMasterKey) };
        let mut wanted: Vec<&Subject> = subjects.into_iter().collect();
        let Some(tenant) = wanted.first().map(|subject| subject.tenant) else { return Ok(Vec::new()) };
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
                let key = tenant_key.open(subject.context(PERSON_KEY), &Sealed::read(holder)).map_err(Error::Key)?;
                let key: [u8; 32] = key
                    .as_slice()
                    .try_into()
                    .map_err(|_| Error::Corrupt("a person's key of another length".to_owned()))?;
                let key = DataKey::new(key);
                self.remember((*subject).clone(), key.clone());
                opened.push(((*subject).clone(), key));
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
                Some(key) => _ = keys.insert(subject, key),
                None => missing.entry(subject.tenant).or_default().push(subject),
            }
        }
        for subjects in missing.values() {
            keys.extend(self.subject_keys(pool, subjects).await?);
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
