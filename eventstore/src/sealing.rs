//! Personal data in the log: sealed when it is appended, opened when it is read by who may.
//!
//! Each stream whose events have personal values has a key of its own (a person's), which is sealed under the tenant's key, which
//! is wrapped by the master key. Both stand among the claims, because a claim is taken and given back in the very append that
//! needs it: no event is ever without its key, and an event that [erases](kernel::personal::erases) takes the key with it. Claims
//! are in backups, and what stands there is worth nothing without the master key.
//!
//! What is a person's in many streams (each of their sessions) is sealed under one key, that of a stream which is theirs: whoever
//! appends [says whose](kernel::personal::marked_of). Such a key is made before it is needed, by whoever is first; when that stream is
//! erased all of it goes, and none is made again.
//!
//! A payload comes with its personal values [marked](kernel::personal::marked) and is stored with them sealed
//! (`{"sealed":"v1.…"}`); hash, relay, feed and backup know it in that form only. What is opened has the values themselves in
//! their places. A value whose key is gone stays as it is.

mod subject;
mod text;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kernel::personal::erases;
use kernel::{RecordedEvent, Service, TenantId};
use keys::{Context, DataKey, MasterKey, Random, Sealed, Wrapped};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::postgres::PgPool;
use tokio::time::Instant;

use self::subject::Subject;
use self::text::{TO_SEAL, Written};
use crate::append::{self, Append, Claim, ClaimAct, CommandRecord};
use crate::{Error, Snapshot, read};

/// The claims that are persons' keys.
pub const PERSON_KEY: &str = "log.person_key";
/// The claims that say that a person is erased: they get no key any more.
pub const PERSON_ERASED: &str = "log.person_erased";
/// The claim that is a tenant's key.
pub const TENANT_KEY: &str = "log.tenant_key";
/// All of these: the log's own claims, of which no event tells.
pub const KINDS: [&str; 3] = [PERSON_KEY, PERSON_ERASED, TENANT_KEY];
/// The claim's key of a tenant's key: there is one.
const THE_ONE: [u8; 32] = [0; 32];
/// How many keys are remembered, and a person's for how long: an erasure by another process is seen in its event, which may be late.
const PERSONS: usize = 20_000;
const REMEMBERED: Duration = Duration::from_secs(5);
const TENANTS: usize = 2_000;

/// By what keys are wrapped, and where randomness comes from.
#[derive(Clone)]
pub struct Sealing {
    /// The master key.
    pub master: Arc<dyn MasterKey>,
    /// Where randomness comes from.
    pub random: Arc<dyn Random>,
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealing(…)")
    }
}

/// What the append has to remember or forget once it is done.
#[derive(Default)]
pub(crate) struct Turned {
    made: Vec<(Subject, DataKey)>,
    erased: Vec<Subject>,
}

/// The keys of a log.
pub(crate) struct Keyring {
    service: Service,
    sealing: Option<Sealing>,
    tenants: Cache<TenantId, DataKey>,
    persons: Cache<Subject, (DataKey, Instant)>,
}

impl Keyring {
    pub(crate) fn new(service: Service, sealing: Option<Sealing>) -> Self {
        Self { service, sealing, tenants: Cache::new(TENANTS), persons: Cache::new(PERSONS) }
    }

    /// Whether an append has anything to seal or to erase.
    pub(crate) fn concerns(append: &Append) -> bool {
        let mut events = append.streams.iter().flat_map(|stream| &stream.events);
        events.any(|event| event.payload.contains(TO_SEAL) || erases(event.event_type))
    }

    /// Seals what is marked in an append, and adds what becomes of keys. `make` appends what makes a key.
    pub(crate) async fn seal<F>(
        &self,
        append: &mut Append,
        pool: &PgPool,
        make: impl Fn(Append) -> F,
    ) -> Result<Turned, append::Error>
    where
        F: Future<Output = Result<(), append::Error>>,
    {
        let mut turned = Turned::default();
        let tenant = append.tenant;
        for at in 0..append.streams.len() {
            let stream = &append.streams[at];
            let own = Subject::new(tenant, stream.aggregate_type, &stream.aggregate_id);
            let (begins, events) = (stream.expected == 0, &stream.events);
            let erased = events.iter().any(|event| erases(event.event_type));
            let mut whose = BTreeSet::new();
            for event in events.iter().filter(|event| event.payload.contains(TO_SEAL)) {
                marked_as(&event.payload, &own, &mut whose)?;
            }
            let mut keys = HashMap::new();
            for (subject, is_named) in whose {
                let key = match (self.known(&subject, begins && !is_named, pool).await?, &self.sealing) {
                    (None, Some(sealing)) if is_named => {
                        self.shared(sealing, &subject, pool, &make).await?.map(|(key, _)| key)
                    }
                    (None, Some(sealing)) => {
                        let of_tenant = self.tenant(sealing, tenant, pool, &make).await?;
                        let key = DataKey::generate(&*sealing.random).map_err(|error| keyless(&error))?;
                        append.claims.push(claim(sealing, &of_tenant, &subject, &key, begins)?);
                        turned.made.push((subject.clone(), key.clone()));
                        Some(key)
                    }
                    (key, _) => key,
                };
                keys.extend(key.map(|key| (subject, key)));
            }
            for event in append.streams[at].events.iter_mut().filter(|event| event.payload.contains(TO_SEAL)) {
                event.payload = self.sealed(&event.payload, &own, &keys)?;
            }
            if let (true, Some(sealing)) = (erased, &self.sealing) {
                let held = self.held(sealing, &own, pool, &make).await?;
                append.claims.extend(held);
                turned.erased.push(own);
            }
        }
        Ok(turned)
    }

    /// JSON with its marked values sealed under these keys: of whom there is none, nothing is written. Where nothing is sealed, with the
    /// values themselves.
    fn sealed(&self, json: &str, own: &Subject, keys: &HashMap<Subject, DataKey>) -> Result<String, Unsealed> {
        text::seal(json, |value, of| {
            let Some(sealing) = &self.sealing else { return Ok(Written::Clear) };
            let named = of.map(|of| own.named(of));
            let subject = named.as_ref().unwrap_or(own);
            let Some(key) = keys.get(subject) else { return Ok(Written::Gone) };
            let value = key.seal(subject.context("personal"), value.as_bytes(), &*sealing.random)?;
            Ok(Written::Sealed(value.as_str().to_owned()))
        })
    }

    /// What gives back the key of who is erased, and sees to it that they get none any more.
    async fn held<F>(
        &self,
        sealing: &Sealing,
        subject: &Subject,
        pool: &PgPool,
        make: &impl Fn(Append) -> F,
    ) -> Result<Vec<Claim>, append::Error>
    where
        F: Future<Output = Result<(), append::Error>>,
    {
        // As the log has it: whoever has it gives it back. Who has none might get one before the append: then it would stay.
        let mut held = self.holder(subject, pool).await?;
        if held.is_empty() {
            held.extend(self.shared(sealing, subject, pool, make).await?.map(|(_, holder)| (subject.claim(), holder)));
        }
        let released =
            held.into_iter().map(|(key, holder)| Claim { kind: PERSON_KEY, key, holder, act: ClaimAct::Release });
        Ok(released.chain([is_erased(subject, ClaimAct::Mark)]).collect())
    }

    async fn holder(&self, subject: &Subject, pool: &PgPool) -> Result<HashMap<[u8; 32], String>, append::Error> {
        let keys = [subject.claim(), subject.former_claim()].map(|key| key.to_vec()).to_vec();
        holders(pool, subject.tenant, PERSON_KEY, keys).await.map_err(unsealed)
    }

    /// The key of a person under which what is theirs in many streams is sealed, and as what the log has it; made if it is not there
    /// yet. None: they are erased.
    async fn shared<F>(
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

    fn remember(&self, subject: Subject, key: DataKey) {
        self.persons.insert(subject, (key, Instant::now()));
    }

    /// Forgets the keys that events took with them, whoever appended them.
    pub(crate) fn forget_erased<'e>(&self, events: impl IntoIterator<Item = &'e RecordedEvent>) {
        for event in events {
            if erases(&event.event_type) {
                self.persons.remove(&Subject::of(event));
            }
        }
    }

    /// The key that a stream has. One that begins has none yet.
    async fn known(&self, subject: &Subject, begins: bool, pool: &PgPool) -> Result<Option<DataKey>, append::Error> {
        let key = self.remembered(subject);
        if key.is_some() || begins || self.sealing.is_none() {
            return Ok(key);
        }
        Ok(self.persons(pool, [subject]).await.map_err(unsealed)?.pop().map(|(_, key)| key))
    }

    /// The append is done: its keys are those of the log.
    pub(crate) async fn done(&self, turned: Turned, pool: &PgPool) {
        for (subject, key) in turned.made {
            self.remember(subject, key);
        }
        for subject in turned.erased {
            self.persons.remove(&subject);
            let Some((aggregate_type, aggregate_id)) = subject.name.split_once('/') else { continue };
            let dropped = sqlx::query("SELECT log.drop_snapshot($1, $2, $3)")
                .bind(subject.tenant.uuid())
                .bind(aggregate_type)
                .bind(aggregate_id)
                .execute(pool)
                .await;
            if let Err(error) = dropped {
                tracing::debug!(%error, "a snapshot that can't be opened any more is still there");
            }
        }
    }

    /// A tenant's key; it is made when it is first needed.
    async fn tenant<F>(
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

    /// What a tenant's key is wrapped for.
    fn of_tenant(&self, tenant: TenantId) -> Context<'_> {
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

    /// Whether something of these is sealed, or keys are gone.
    pub(crate) fn is_needed(events: &[&RecordedEvent]) -> bool {
        events.iter().any(|event| is_sealed(&event.payload) || erases(&event.event_type))
    }

    /// Opens what is sealed in events; what can't be opened any more stays.
    ///
    /// # Errors
    /// Without a master key, or when the keys can't be read now.
    pub(crate) async fn open(&self, events: &mut [RecordedEvent], pool: &PgPool) -> Result<(), Error> {
        // First: what is opened with them may be what they took the key of.
        self.forget_erased(&*events);
        let sealed: Vec<usize> =
            events.iter().enumerate().filter(|(_, event)| is_sealed(&event.payload)).map(|(at, _)| at).collect();
        if !sealed.is_empty() {
            let mut subjects = BTreeSet::new();
            for at in &sealed {
                sealed_for(&events[*at].payload, &Subject::of(&events[*at]), &mut subjects)?;
            }
            let keys = self.keys(subjects, pool).await?;
            for at in sealed {
                let event = &mut events[at];
                event.payload = opened(&event.payload, &Subject::of(event), &keys)?;
            }
        }
        Ok(())
    }

    async fn keys(&self, subjects: BTreeSet<Subject>, pool: &PgPool) -> Result<HashMap<Subject, DataKey>, Error> {
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

    /// As events: the state of a stream, to be kept. `None`: its key is not there, so it is not to be kept.
    pub(crate) async fn seal_state(
        &self,
        (tenant, aggregate_type, aggregate_id): (TenantId, &str, &str),
        snapshot: &Snapshot,
        pool: &PgPool,
    ) -> Result<Option<Snapshot>, Error> {
        let text = std::str::from_utf8(&snapshot.state).map_err(|error| Error::Corrupt(error.to_string()))?;
        if !text.contains(TO_SEAL) {
            return Ok(Some(snapshot.clone()));
        }
        let own = Subject::new(tenant, aggregate_type, aggregate_id);
        let mut whose = BTreeSet::new();
        marked_as(text, &own, &mut whose).map_err(|error| Error::Corrupt(error.to_string()))?;
        let whose: BTreeSet<Subject> = whose.into_iter().map(|(subject, _)| subject).collect();
        let count = whose.len();
        let keys = if self.sealing.is_some() { self.keys(whose, pool).await? } else { HashMap::new() };
        if self.sealing.is_some() && keys.len() < count {
            return Ok(None);
        }
        let sealed = self.sealed(text, &own, &keys).map_err(|error| Error::Corrupt(error.to_string()))?;
        Ok(Some(Snapshot { state: sealed.into(), ..snapshot.clone() }))
    }

    /// Opens the state of a stream.
    pub(crate) async fn open_state(
        &self,
        (tenant, aggregate_type, aggregate_id): (TenantId, &str, &str),
        snapshot: &mut Snapshot,
        pool: &PgPool,
    ) -> Result<(), Error> {
        if is_sealed(&snapshot.state) {
            let (own, mut subjects) = (Subject::new(tenant, aggregate_type, aggregate_id), BTreeSet::new());
            sealed_for(&snapshot.state, &own, &mut subjects)?;
            let keys = self.keys(subjects, pool).await?;
            snapshot.state = opened(&snapshot.state, &own, &keys)?;
        }
        Ok(())
    }
}

/// Whether something in a payload is sealed.
pub fn is_sealed(json: &[u8]) -> bool {
    text::is_sealed(json)
}

/// Whose values are marked in JSON of a stream, and whether they are named there.
fn marked_as(json: &str, own: &Subject, whose: &mut BTreeSet<(Subject, bool)>) -> Result<(), Unsealed> {
    text::seal(json, |_, of| {
        whose.insert((of.map_or_else(|| own.clone(), |of| own.named(of)), of.is_some()));
        Ok(Written::Clear)
    })
    .map(drop)
}

/// Whose values are sealed in JSON of a stream.
fn sealed_for(json: &[u8], own: &Subject, subjects: &mut BTreeSet<Subject>) -> Result<(), Error> {
    text::open(json, |_, of| {
        subjects.insert(of.map_or_else(|| own.clone(), |of| own.named(of)));
        None
    })
    .map(drop)
}

fn opened(json: &[u8], own: &Subject, keys: &HashMap<Subject, DataKey>) -> Result<Bytes, Error> {
    text::open(json, |value, of| {
        let named = of.map(|of| own.named(of));
        let subject = named.as_ref().unwrap_or(own);
        Some(keys.get(subject)?.open(subject.context("personal"), &Sealed::read(value)).ok()?.to_vec())
    })
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
fn is_erased(subject: &Subject, act: ClaimAct) -> Claim {
    Claim { kind: PERSON_ERASED, key: subject.claim(), holder: "log".to_owned(), act }
}

/// The claim that a person's key is.
fn claim(
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

fn keyless(error: &keys::Error) -> append::Error {
    append::Error::Unavailable(format!("personal data can't be sealed: {error}"))
}

fn unsealed(error: Error) -> append::Error {
    match error {
        Error::Storage(error) => append::Error::Storage(error),
        other => append::Error::Unavailable(format!("personal data can't be sealed: {other}")),
    }
}

/// Why a payload is not sealed.
#[derive(Debug, thiserror::Error)]
enum Unsealed {
    #[error("a payload is no JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("personal data can't be sealed: {0}")]
    Keyless(#[from] keys::Error),
}

impl From<Unsealed> for append::Error {
    fn from(error: Unsealed) -> Self {
        match error {
            Unsealed::NotJson(_) => Self::Invalid(error.to_string()),
            Unsealed::Keyless(error) => keyless(&error),
        }
    }
}
