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

mod copying;
mod finding;
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
pub(crate) use self::finding::{Keyring, THE_ONE, holders};
use self::finding::{claim, is_erased};
use self::subject::Subject;
use self::text::{TO_SEAL, Written};
use crate::append::{self, Append, Claim, ClaimAct};
use crate::{Error, Snapshot};

/// The claims that are persons' keys.
pub const PERSON_KEY: &str = "log.person_key";
/// The claims that say that a person is erased: they get no key any more.
pub const PERSON_ERASED: &str = "log.person_erased";
/// The claim that is a tenant's key.
pub const TENANT_KEY: &str = "log.tenant_key";
/// All of these: the log's own claims, of which no event tells.
pub const KINDS: [&str; 3] = [PERSON_KEY, PERSON_ERASED, TENANT_KEY];

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

impl Keyring {
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

    /// The append is done: its keys are those of the log.
    pub(crate) async fn done(&self, turned: Turned, pool: &PgPool) {
        for (subject, key) in turned.made {
            self.remember(subject, key);
        }
        for subject in turned.erased {
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

    /// As events: a text that stands beside a stream's events. Keys are made that are not there yet; what is theirs who are erased is gone.
    pub(crate) async fn seal_text<F>(
        &self,
        (tenant, aggregate_type, aggregate_id): (TenantId, &str, &str),
        text: &str,
        pool: &PgPool,
        make: impl Fn(Append) -> F,
    ) -> Result<String, append::Error>
    where
        F: Future<Output = Result<(), append::Error>>,
    {
        let own = Subject::new(tenant, aggregate_type, aggregate_id);
        let mut keys = HashMap::new();
        if let Some(sealing) = &self.sealing {
            let mut whose = BTreeSet::new();
            marked_as(text, &own, &mut whose)?;
            let whose: BTreeSet<Subject> = whose.into_iter().map(|(subject, _)| subject).collect();
            for subject in whose {
                let key = match self.known(&subject, false, pool).await? {
                    None => self.shared(sealing, &subject, pool, &make).await?.map(|(key, _)| key),
                    key => key,
                };
                keys.extend(key.map(|key| (subject, key)));
            }
        }
        Ok(self.sealed(text, &own, &keys)?)
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

/// The name of the master key that wrapped a key, by how that is kept.
pub fn wrapped_by(wrapped: &str) -> String {
    Wrapped::read(wrapped).wrapped_by().to_owned()
}

/// Whether something in a payload is sealed.
pub fn is_sealed(json: &[u8]) -> bool {
    text::is_sealed(json)
}

/// Whose something in a payload is, where that is not its own stream's: the first that is named.
pub fn named(json: &[u8]) -> Option<String> {
    let mut named = None;
    // What is no text names nobody.
    let read = text::open(json, |_, of| {
        named = named.take().or_else(|| of.map(str::to_owned));
        None
    });
    read.ok().and(named)
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

fn keyless(error: &keys::Error) -> append::Error {
    append::Error::Keyless(error.clone())
}

fn unsealed(error: Error) -> append::Error {
    match error {
        Error::Storage(error) => append::Error::Storage(error),
        Error::Key(error) => append::Error::Keyless(error),
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
