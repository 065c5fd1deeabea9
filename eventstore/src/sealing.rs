//! Encryption of personal data in the log: encrypted ("sealed") when it is appended, decrypted ("opened") for readers that may see it.
//!
//! Each stream whose events have personal values has a key of its own (that of the data subject), which is encrypted under the tenant's
//! key, which is wrapped by the master key. Both are stored as claims, because claims are taken and released in the same append that needs
//! the key: no event is ever without its key, and an event that [erases](kernel::personal::erases) destroys the key with it. Claims are
//! part of backups, but the keys in them are useless without the master key.
//!
//! Personal data of one person in many streams (each of their sessions, for instance) is encrypted under one key, that of the person's own
//! stream, which the append [names](kernel::personal::marked_of). Such a key is created by the first append that needs it. When the
//! person's stream is erased, all that data becomes unreadable, and no new key is created.
//!
//! Personal values in the payload of an append are [marked](kernel::personal::marked), and are stored sealed (`{"sealed":"v1.…"}`). Leaf
//! hash, relay, feed and backup use the sealed form only. In opened events the values themselves are in their place. A value whose key was
//! destroyed stays sealed.

mod copying;
mod keyring;
mod subject;
mod text;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kernel::personal::erases;
use kernel::{RecordedEvent, TenantId};
use keys::{DataKey, MasterKey, Random, Sealed, Wrapped};
use sqlx::postgres::PgPool;

pub use self::copying::Copying;
pub(crate) use self::keyring::{Keyring, ONLY_KEY, StoredKey, holders};
use self::keyring::{KnownKey, claim, is_erased};
use self::subject::Subject;
use self::text::{Replacement, TO_SEAL};
use crate::append::{self, Append, Claim, ClaimAct};
use crate::{Error, Snapshot};

/// The kind of claims that store the keys of data subjects.
pub const PERSON_KEY: &str = "log.person_key";
/// The kind of claims that record that a data subject was erased: no new key is created for them.
pub const PERSON_ERASED: &str = "log.person_erased";
/// The kind of the claim that stores a tenant's key.
pub const TENANT_KEY: &str = "log.tenant_key";
/// All of these kinds. They belong to the log itself, and no event records them.
pub const KINDS: [&str; 3] = [PERSON_KEY, PERSON_ERASED, TENANT_KEY];

/// What encryption needs.
#[derive(Clone)]
pub struct Sealing {
    /// The master key.
    pub master: Arc<dyn MasterKey>,
    /// The source of randomness.
    pub random: Arc<dyn Random>,
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealing(…)")
    }
}

/// The keys that an append brings and destroys: changes of the key cache to make after it has succeeded.
#[derive(Default)]
pub(crate) struct KeyChanges {
    /// The keys that have to be in the log, because values or created keys are encrypted under them.
    pub(crate) needed: Vec<StoredKey>,
    created: Vec<(Subject, KnownKey)>,
    erased: Vec<Subject>,
}

impl Keyring {
    /// Whether an append has personal data to seal, or erases a data subject.
    pub(crate) fn is_needed_for(append: &Append) -> bool {
        let mut events = append.streams.iter().flat_map(|stream| &stream.events);
        events.any(|event| event.payload.contains(TO_SEAL) || erases(event.event_type))
    }

    /// Seals the marked values of an append, and adds the claims for new and destroyed keys. `make` executes a separate append that creates
    /// a key, and gets the keys that it needs.
    pub(crate) async fn seal<F>(
        &self,
        append: &mut Append,
        pool: &PgPool,
        make: impl Fn(Append, Vec<StoredKey>) -> F,
    ) -> Result<KeyChanges, append::Error>
    where
        F: Future<Output = Result<(), append::Error>>,
    {
        let mut changes = KeyChanges::default();
        let tenant = append.tenant;
        for at in 0..append.streams.len() {
            let stream = &append.streams[at];
            let own = Subject::new(tenant, stream.aggregate_type, &stream.aggregate_id);
            let (begins, events) = (stream.expected == 0, &stream.events);
            let erased = events.iter().any(|event| erases(event.event_type));
            let mut subjects = BTreeSet::new();
            for event in events.iter().filter(|event| event.payload.contains(TO_SEAL)) {
                marked_subjects(&event.payload, &own, &mut subjects)?;
            }
            let mut keys = HashMap::new();
            for (subject, is_named) in subjects {
                let known = match (self.existing_key(&subject, begins && !is_named, pool).await?, &self.sealing) {
                    (None, Some(sealing)) if is_named => self.subject_key(sealing, &subject, pool, &make).await?,
                    (None, Some(sealing)) => {
                        let tenant_key = self.tenant_key(sealing, tenant, pool, &make).await?;
                        let key = DataKey::generate(&*sealing.random).map_err(|error| keyless(&error))?;
                        let claim = claim(sealing, &tenant_key.key, &subject, &key, begins)?;
                        changes.created.push((subject.clone(), KnownKey::created(key.clone(), &claim, &tenant_key)));
                        append.claims.push(claim);
                        Some(KnownKey { key, ..tenant_key })
                    }
                    (known, _) => known,
                };
                if let Some(KnownKey { key, stored }) = known {
                    keys.insert(subject, key);
                    changes.needed.push(stored);
                }
            }
            for event in append.streams[at].events.iter_mut().filter(|event| event.payload.contains(TO_SEAL)) {
                event.payload = self.sealed(&event.payload, &own, &keys)?;
            }
            if let (true, Some(sealing)) = (erased, &self.sealing) {
                let held = self.erasure_claims(sealing, &own, pool, &make).await?;
                append.claims.extend(held);
                changes.erased.push(own);
            }
        }
        Ok(changes)
    }

    /// Seals the marked values in JSON under these keys. A value without a key is replaced by an empty sealed value. If sealing is off, the
    /// values are written unsealed.
    fn sealed(&self, json: &str, own: &Subject, keys: &HashMap<Subject, DataKey>) -> Result<String, SealError> {
        text::seal(json, |value, of| {
            let Some(sealing) = &self.sealing else { return Ok(Replacement::Clear) };
            let named = of.map(|of| own.named(of));
            let subject = named.as_ref().unwrap_or(own);
            let Some(key) = keys.get(subject) else { return Ok(Replacement::Gone) };
            let value = key.seal(subject.context("personal"), value.as_bytes(), &*sealing.random)?;
            Ok(Replacement::Sealed(value.as_str().to_owned()))
        })
    }

    /// The claims of an append that erases a data subject: they release the key, and prevent that a new one is created.
    async fn erasure_claims<F>(
        &self,
        sealing: &Sealing,
        subject: &Subject,
        pool: &PgPool,
        make: &impl Fn(Append, Vec<StoredKey>) -> F,
    ) -> Result<Vec<Claim>, append::Error>
    where
        F: Future<Output = Result<(), append::Error>>,
    {
        // The stored claim is released as it is. If there is none, a key is created first: otherwise another process could create one
        // before this append, and it would remain.
        let mut held = self.holder(subject, pool).await?;
        if held.is_empty() {
            held.extend(
                self.subject_key(sealing, subject, pool, make)
                    .await?
                    .map(|KnownKey { stored, .. }| (stored.claim, stored.holder.to_string())),
            );
        }
        let released =
            held.into_iter().map(|(key, holder)| Claim { kind: PERSON_KEY, key, holder, act: ClaimAct::Release });
        Ok(released.chain([is_erased(subject, ClaimAct::Mark)]).collect())
    }

    /// Updates the key cache, and drops the snapshots of erased streams, after the append has succeeded.
    pub(crate) async fn apply(&self, changes: KeyChanges, pool: &PgPool) {
        for (subject, known) in changes.created {
            self.remember(subject, known);
        }
        for subject in changes.erased {
            self.forget(&subject);
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

    /// Whether events contain sealed values or destroy keys.
    pub(crate) fn is_needed_to_open(events: &[&RecordedEvent]) -> bool {
        events.iter().any(|event| is_sealed(&event.payload) || erases(&event.event_type))
    }

    /// Opens the sealed values in events. Values whose key was destroyed stay sealed.
    ///
    /// # Errors
    /// Without a master key, or if the keys can't be read.
    pub(crate) async fn open(&self, events: &mut [RecordedEvent], pool: &PgPool) -> Result<(), Error> {
        // Done first: these events may have destroyed keys of values that are opened here.
        self.forget_erased(&*events);
        let sealed: Vec<usize> =
            events.iter().enumerate().filter(|(_, event)| is_sealed(&event.payload)).map(|(at, _)| at).collect();
        if !sealed.is_empty() {
            let mut subjects = BTreeSet::new();
            for at in &sealed {
                sealed_subjects(&events[*at].payload, &Subject::of(&events[*at]), &mut subjects)?;
            }
            let keys = self.keys(subjects, pool).await?;
            for at in sealed {
                let event = &mut events[at];
                event.payload = opened(&event.payload, &Subject::of(event), &keys)?;
            }
        }
        Ok(())
    }

    /// Seals the state of a stream, for a snapshot. `None`: a key does not exist, so the snapshot must not be stored.
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
        let mut subjects = BTreeSet::new();
        marked_subjects(text, &own, &mut subjects).map_err(|error| Error::Corrupt(error.to_string()))?;
        let subjects: BTreeSet<Subject> = subjects.into_iter().map(|(subject, _)| subject).collect();
        let count = subjects.len();
        let keys = if self.sealing.is_some() { self.keys(subjects, pool).await? } else { HashMap::new() };
        if self.sealing.is_some() && keys.len() < count {
            return Ok(None);
        }
        let sealed = self.sealed(text, &own, &keys).map_err(|error| Error::Corrupt(error.to_string()))?;
        Ok(Some(Snapshot { state: sealed.into(), ..snapshot.clone() }))
    }

    /// Seals a text that is stored next to a stream's events. Missing keys are created; values of erased data subjects are replaced by
    /// empty sealed values.
    pub(crate) async fn seal_text<F>(
        &self,
        (tenant, aggregate_type, aggregate_id): (TenantId, &str, &str),
        text: &str,
        pool: &PgPool,
        make: impl Fn(Append, Vec<StoredKey>) -> F,
    ) -> Result<String, append::Error>
    where
        F: Future<Output = Result<(), append::Error>>,
    {
        let own = Subject::new(tenant, aggregate_type, aggregate_id);
        let mut keys = HashMap::new();
        if let Some(sealing) = &self.sealing {
            let mut subjects = BTreeSet::new();
            marked_subjects(text, &own, &mut subjects)?;
            let subjects: BTreeSet<Subject> = subjects.into_iter().map(|(subject, _)| subject).collect();
            for subject in subjects {
                let known = match self.existing_key(&subject, false, pool).await? {
                    None => self.subject_key(sealing, &subject, pool, &make).await?,
                    known => known,
                };
                keys.extend(known.map(|known| (subject, known.key)));
            }
        }
        Ok(self.sealed(text, &own, &keys)?)
    }

    /// Opens the sealed values in the state of a stream.
    pub(crate) async fn open_state(
        &self,
        (tenant, aggregate_type, aggregate_id): (TenantId, &str, &str),
        snapshot: &mut Snapshot,
        pool: &PgPool,
    ) -> Result<(), Error> {
        if is_sealed(&snapshot.state) {
            let (own, mut subjects) = (Subject::new(tenant, aggregate_type, aggregate_id), BTreeSet::new());
            sealed_subjects(&snapshot.state, &own, &mut subjects)?;
            let keys = self.keys(subjects, pool).await?;
            snapshot.state = opened(&snapshot.state, &own, &keys)?;
        }
        Ok(())
    }
}

/// The name of the master key that wrapped a stored key.
pub fn wrapped_by(wrapped: &str) -> String {
    Wrapped::read(wrapped).wrapped_by().to_owned()
}

/// Whether a payload contains a sealed value.
pub fn is_sealed(json: &[u8]) -> bool {
    text::is_sealed(json)
}

/// The data subject that a payload names for a value, if it names one that is not the event's own stream; the first one.
pub fn named(json: &[u8]) -> Option<String> {
    let mut named = None;
    // Invalid UTF-8 names nobody.
    let read = text::open(json, |_, of| {
        named = named.take().or_else(|| of.map(str::to_owned));
        None
    });
    read.ok().and(named)
}

/// Collects the data subjects of the marked values in JSON of a stream, each with whether it is named there explicitly.
fn marked_subjects(json: &str, own: &Subject, subjects: &mut BTreeSet<(Subject, bool)>) -> Result<(), SealError> {
    text::seal(json, |_, of| {
        subjects.insert((of.map_or_else(|| own.clone(), |of| own.named(of)), of.is_some()));
        Ok(Replacement::Clear)
    })
    .map(drop)
}

/// Collects the data subjects of the sealed values in JSON of a stream.
fn sealed_subjects(json: &[u8], own: &Subject, subjects: &mut BTreeSet<Subject>) -> Result<(), Error> {
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

fn keyless(error: &keys::Error) -> append::Error {
    append::Error::Keyless(error.clone())
}

fn append_error(error: Error) -> append::Error {
    match error {
        Error::Storage(error) => append::Error::Storage(error),
        Error::Key(error) => append::Error::Keyless(error),
        other => append::Error::Unavailable(format!("personal data can't be sealed: {other}")),
    }
}

/// Why a payload could not be sealed.
#[derive(Debug, thiserror::Error)]
enum SealError {
    #[error("a payload is no JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("personal data can't be sealed: {0}")]
    Keyless(#[from] keys::Error),
}

impl From<SealError> for append::Error {
    fn from(error: SealError) -> Self {
        match error {
            SealError::NotJson(_) => Self::Invalid(error.to_string()),
            SealError::Keyless(error) => keyless(&error),
        }
    }
}
