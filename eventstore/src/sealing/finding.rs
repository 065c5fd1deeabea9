//! Where keys are found: remembered, in the log, or made when they are first needed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
use super::{PERSON_ERASED, PERSON_KEY, Sealing, TENANT_KEY, keyless, unsealed};
use crate::append::{self, Append, Claim, ClaimAct, CommandRecord};
use crate::{Error, read};

/// The claim's key of a tenant's key: there is one.
pub(crate) const THE_ONE: [u8; 32] = [0; 32];
/// How many keys are remembered, and a person's for how long: an erasure by another process is seen in its event, which may be late.
const PERSONS: usize = 20_000;
const REMEMBERED: Duration = Duration::from_secs(5);
/// Tenants' are asked for where the master key lives, which may be far away: room for more of them than are at work at a time.
const TENANTS: usize = 20_000;

/// The keys of a log.
pub(crate) struct Keyring {
    service: Service,
    pub(crate) sealing: Option<Sealing>,
    tenants: Cache<TenantId, DataKey>,
    persons: Cache<Subject, (DataKey, Instant)>,
}

impl Keyring {
    pub(crate) fn new(service: Service, sealing: Option<Sealing>) -> Self {
        Self { service, sealing, tenants: Cache::new(TENANTS), persons: Cache::new(PERSONS) }
    }

    /// What has a person's key, where it stands now and where it stood at first.
    pub(super) async fn holder(
        &self,
        subject: &Subject,
        pool: &PgPool,
    ) -> Result<HashMap<[u8; 32], String>, append::Error> {
        let keys = [subject.claim(), subject.former_claim()].map(|key| key.to_vec()).to_vec();
        holders(pool, subject.tenant, PERSON_KEY, keys).await.map_err(unsealed)
    }

    /// The key of a person under which what is theirs in many streams is sealed, and as what the log has it; made if it is not there
    /// yet. None: they are erased.
    pub(super) async fn shared<F>(
        &self,
        sealing: &Sealing,
        subject: &Subject,
        pool: &PgPool,
        make: &impl Fn(Append) -> F,
    ) -> Result<Option<(DataKey, String)>, append::Error>
    where
        F: Future<Output = Result<(), append::Error>>,
    {
        let of_tenant = self.tenant(sealing, subject.tenant, pool, make).await?;
        let key = DataKey::generate(&*sealing.random).map_err(|error| keyless(&error))?;
        // Whoever is first has it; the others take theirs.
        let mark = claim(sealing, &of_tenant, subject, &key, true)?;
        // No caller can send such an id, and each key has its own: what was made, given back and is asked for again is asked anew.
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
        let key = self.persons(pool, [subject]).await.map_err(unsealed)?.pop();
        // It may have been given back already.
        Ok(key.zip(holder).map(|((_, key), holder)| (key, holder)))
    }

    /// A person's key, if it was looked up lately.
    fn remembered(&self, subject: &Subject) -> Option<DataKey> {
        let (key, at) = self.persons.get(subject)?;
        (at.elapsed() < REMEMBERED).then_some(key)
    }

    pub(super) fn remember(&self, subject: Subject, key: DataKey) {
        self.persons.insert(subject, (key, Instant::now()));
    }

    /// Forgets the key of who is erased.
    pub(super) fn forget(&self, subject: &Subject) {
        self.persons.remove(subject);
    }

    /// Forgets the keys that events took with them, whoever appended them.
    pub(crate) fn forget_erased<'e>(&self, events: impl IntoIterator<Item = &'e RecordedEvent>) {
        for event in events {
            if erases(&event.event_type) {
                self.forget(&Subject::of(event));
            }
        }
    }

    /// Forgets the keys of tenants, and of their people.
    pub(crate) fn forget_tenants(&self, tenants: &BTreeSet<TenantId>) {
        self.tenants.retain(|tenant, _| !tenants.contains(tenant));
        self.persons.retain(|subject, _| !tenants.contains(&subject.tenant));
    }

    /// The key that a stream has. One that begins has none yet.
    pub(super) async fn known(
        &self,
        subject: &Subject,
        begins: bool,
        pool: &PgPool,
    ) -> Result<Option<DataKey>, append::Error> {
        let key = self.remembered(subject);
        if key.is_some() || begins || self.sealing.is_none() {
            return Ok(key);
        }
        Ok(self.persons(pool, [subject]).await.map_err(unsealed)?.pop().map(|(_, key)| key))
    }

    /// A tenant's key; it is made when it is first needed.
    pub(super) async fn tenant<F>(
        &self,
        sealing: &Sealing,
        tenant: TenantId,
        pool: &PgPool,
        make: impl Fn(Append) -> F,
    ) -> Result<DataKey, append::Error>
    where
        F: Future<Output = Result<(), append::Error>>,
    {
        if let Some(key) = self.stored_tenant(sealing, tenant, pool).await.map_err(unsealed)? {
            return Ok(key);
        }
        let key = DataKey::generate(&*sealing.random).map_err(|error| keyless(&error))?;
        let wrapped = sealing.master.wrap(self.of_tenant(tenant), &key).await.map_err(|error| keyless(&error))?;
        let mark = Claim {
            kind: TENANT_KEY,
            key: THE_ONE,
            holder: wrapped.as_str().to_owned(),
            // Whoever is first has it; the others take theirs.
            act: ClaimAct::Mark,
        };
        // No caller can send such an id.
        let command =
            CommandRecord { id: "\u{1}tenant key".to_owned(), request_hash: [0; 32], answer: "null".to_owned() };
        make(Append { tenant, command, streams: Vec::new(), claims: vec![mark] }).await?;
        self.stored_tenant(sealing, tenant, pool)
            .await
            .map_err(unsealed)?
            .ok_or_else(|| append::Error::Unavailable("the tenant's key was made, and is not there".to_owned()))
    }

    async fn stored_tenant(
        &self,
        sealing: &Sealing,
        tenant: TenantId,
        pool: &PgPool,
    ) -> Result<Option<DataKey>, Error> {
        if let Some(key) = self.tenants.get(&tenant) {
            return Ok(Some(key));
        }
        let found = holders(pool, tenant, TENANT_KEY, vec![THE_ONE.to_vec()]).await?;
        let Some(wrapped) = found.into_values().next() else { return Ok(None) };
        let key = sealing.master.unwrap(self.of_tenant(tenant), &Wrapped::read(&wrapped)).await.map_err(Error::Key)?;
        self.tenants.insert(tenant, key.clone());
        Ok(Some(key))
    }

    /// Seals a key of a tenant's under the tenant's own.
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
        let sealing = self.sealing.as_ref().ok_or_else(|| unsealed(Error::NoMasterKey))?;
        let of_tenant = self.tenant(sealing, context.tenant, pool, make).await?;
        of_tenant.seal(context, key.reveal(), &*sealing.random).map_err(|error| keyless(&error))
    }

    /// Opens what [`seal_key`](Self::seal_key) sealed.
    pub(crate) async fn open_key(
        &self,
        context: Context<'_>,
        sealed: &Sealed,
        pool: &PgPool,
    ) -> Result<DataKey, Error> {
        let sealing = self.sealing.as_ref().ok_or(Error::NoMasterKey)?;
        // Whoever deleted the tenant destroyed it.
        let of_tenant =
            self.stored_tenant(sealing, context.tenant, pool).await?.ok_or(Error::Key(keys::Error::DoesNotOpen))?;
        let key = of_tenant.open(context, sealed).map_err(Error::Key)?;
        key.as_slice().try_into().map(DataKey::new).map_err(|_| Error::Corrupt("a key of another length".to_owned()))
    }

    /// What a tenant's key is wrapped for.
    pub(crate) fn of_tenant(&self, tenant: TenantId) -> Context<'_> {
        Context { tenant, purpose: TENANT_KEY, subject: self.service.name() }
    }

    /// The keys of these streams of one tenant, as the log has them; those that are erased, or were never there, are left out.
    async fn persons<'a>(
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
            let Some(of_tenant) = self.stored_tenant(sealing, tenant, pool).await? else {
                return Err(Error::Corrupt(format!("the key of the tenant {tenant} is not there")));
            };
            for (claim, holder) in &found {
                let Some(subject) = keys.get(claim) else { continue };
                let key = of_tenant.open(subject.context(PERSON_KEY), &Sealed::read(holder)).map_err(Error::Key)?;
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
            keys.extend(self.persons(pool, subjects).await?);
        }
        Ok(keys)
    }
}

/// Who has these claims.
pub(crate) async fn holders(
    pool: &PgPool,
    tenant: TenantId,
    kind: &str,
    keys: Vec<Vec<u8>>,
) -> Result<HashMap<[u8; 32], String>, Error> {
    let keys = &keys;
    read::patiently(|| async move {
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

/// The claim that says that a person is erased.
pub(super) fn is_erased(subject: &Subject, act: ClaimAct) -> Claim {
    Claim { kind: PERSON_ERASED, key: subject.claim(), holder: "log".to_owned(), act }
}

/// The claim that a person's key is.
pub(super) fn claim(
    sealing: &Sealing,
    of_tenant: &DataKey,
    subject: &Subject,
    key: &DataKey,
    begins: bool,
) -> Result<Claim, append::Error> {
    let sealed = of_tenant.seal(subject.context(PERSON_KEY), key.reveal(), &*sealing.random);
    let holder = sealed.map_err(|error| keyless(&error))?.as_str().to_owned();
    // A stream begins once, which its version sees to: nobody else can have made its key, and nobody has to look.
    let act = if begins { ClaimAct::Mark } else { ClaimAct::Take };
    Ok(Claim { kind: PERSON_KEY, key: subject.claim(), holder, act })
}
