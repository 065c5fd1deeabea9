//! [`Copying`]: re-encrypts the personal data of a tenant's history for another tenant.
//!
//! The tenant is part of the context of each sealed value, so a history that is to be read under another tenant's id has to be sealed
//! again. Values that can be opened now are sealed under the same data subjects' keys, which are in turn encrypted under the other tenant's
//! key. Values of data subjects who were erased are copied as they are, and stay unreadable.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use kernel::{RecordedEvent, TenantId};
use keys::{DataKey, Sealed, Wrapped};
use sqlx::postgres::PgConnection;

use super::subject::Subject;
use super::{ONLY_KEY, PERSON_KEY, Sealing, TENANT_KEY, is_sealed, sealed_subjects, text};
use crate::backup::StoredClaim;
use crate::{Error, EventStore};

/// Data subjects whose claims are looked up with one statement.
const LOOKUPS: usize = 2_500;

/// Seals the history of one tenant for another, new one.
pub struct Copying {
    sealing: Sealing,
    tenant: TenantId,
    tenant_key: DataKey,
    wrapped: Wrapped,
    /// The data subjects in the other tenant; who each is in the first one, and the key.
    persons: BTreeMap<Subject, (Subject, DataKey)>,
    /// Those of them whose keys are not stored yet.
    added: Vec<Subject>,
    /// Whether the other tenant's own key is stored.
    has_key: bool,
}

impl EventStore {
    /// Begins to seal a history for a new tenant. `None`: this log does not seal personal data.
    ///
    /// # Errors
    /// [`Error::Key`] if the master key is unavailable, [`Error::MasterKey`] if it is not the log's.
    pub async fn copying_for(&self, tenant: TenantId) -> Result<Option<Copying>, Error> {
        let Some(sealing) = self.sealing().cloned() else { return Ok(None) };
        self.keyring().0.prove(&sealing).await?;
        let tenant_key = DataKey::generate(&*sealing.random).map_err(Error::Key)?;
        let wrapped = sealing.master.wrap(self.tenant_key_context(tenant), &tenant_key).await.map_err(Error::Key)?;
        Ok(Some(Copying {
            sealing,
            tenant,
            tenant_key,
            wrapped,
            persons: BTreeMap::new(),
            added: Vec::new(),
            has_key: false,
        }))
    }
}

impl Copying {
    /// Seals events of one tenant of this log for the other tenant, as far as they can be opened. The stream that has the first tenant's id
    /// as its own id will have the other tenant's id; the caller renames it, and the key's name is changed here accordingly.
    ///
    /// # Errors
    /// If keys can't be read.
    pub async fn seal(&mut self, store: &EventStore, events: &mut [RecordedEvent]) -> Result<(), Error> {
        let mut subjects = BTreeSet::new();
        for event in events.iter().filter(|event| is_sealed(&event.payload)) {
            sealed_subjects(&event.payload, &Subject::of(event), &mut subjects)?;
        }
        if subjects.is_empty() {
            return Ok(());
        }
        let (keyring, pool) = store.keyring();
        let keys = keyring.keys(subjects, pool).await?;
        for event in events.iter_mut().filter(|event| is_sealed(&event.payload)) {
            event.payload = self.sealed(event, &keys)?;
        }
        Ok(())
    }

    fn sealed(&mut self, event: &RecordedEvent, keys: &HashMap<Subject, DataKey>) -> Result<Bytes, Error> {
        let own = Subject::of(event);
        let mut failed = None;
        let sealed = text::open(&event.payload, |value, of| {
            let subject = of.map_or_else(|| own.clone(), |of| own.named(of));
            let key = keys.get(&subject)?;
            let clear = key.open(subject.context("personal"), &Sealed::read(value)).ok()?;
            let copy = self.copy_of(&subject);
            match key.seal(copy.context("personal"), clear.as_slice(), &*self.sealing.random) {
                Ok(sealed) => {
                    let written = text::written(sealed.as_str(), of.map(|_| copy.name.as_str()));
                    if let Entry::Vacant(entry) = self.persons.entry(copy) {
                        self.added.push(entry.key().clone());
                        entry.insert((subject.clone(), key.clone()));
                    }
                    Some(written.into_bytes())
                }
                Err(error) => {
                    failed = Some(error);
                    None
                }
            }
        })?;
        failed.map_or(Ok(sealed), |error| Err(Error::Key(error)))
    }

    /// The data subject in the other tenant that corresponds to this one.
    fn copy_of(&self, subject: &Subject) -> Subject {
        let name = match subject.name.split_once('/') {
            Some((of, id)) if id == subject.tenant.to_string() => format!("{of}/{}", self.tenant),
            _ => subject.name.clone(),
        };
        Subject { tenant: self.tenant, name }
    }

    /// The claims that store the keys of what was sealed since the last call. They belong into the transaction that appends it: whoever
    /// follows the log applies events at once, and takes what has no key for erased. Data subjects who were erased since their values were
    /// sealed here get none. `transaction` holds the writers' lock: nobody is erased meanwhile.
    ///
    /// # Errors
    /// [`Error::Key`] if there is no randomness; if the claims can't be read.
    pub(crate) async fn claims(&mut self, transaction: &mut PgConnection) -> Result<Vec<StoredClaim>, Error> {
        let added = std::mem::take(&mut self.added);
        let known = known(added.iter().filter_map(|subject| self.persons.get(subject)), transaction).await?;
        let claim = |kind: &str, key, holder: &str| StoredClaim {
            tenant: self.tenant,
            kind: kind.to_owned(),
            key,
            holder: holder.to_owned(),
        };
        let mut claims = Vec::new();
        for subject in added {
            let Some((of, key)) = self.persons.get(&subject) else { continue };
            if !is_known(of, &known) {
                self.persons.remove(&subject);
                continue;
            }
            let sealed = self.tenant_key.seal(subject.context(PERSON_KEY), key.reveal(), &*self.sealing.random);
            claims.push(claim(PERSON_KEY, subject.claim(), sealed.map_err(Error::Key)?.as_str()));
        }
        if !claims.is_empty() && !self.has_key {
            claims.push(claim(TENANT_KEY, ONLY_KEY, self.wrapped.as_str()));
            self.has_key = true;
        }
        Ok(claims)
    }

    /// The keys of the claims of those who were erased in the first tenant since their keys were stored in the other one.
    /// `transaction` as for [`claims`](Self::claims).
    ///
    /// # Errors
    /// If the claims can't be read.
    pub(crate) async fn erased(&self, transaction: &mut PgConnection) -> Result<Vec<[u8; 32]>, Error> {
        let known = known(self.persons.values(), transaction).await?;
        let erased = self.persons.iter().filter(|(_, (of, _))| !is_known(of, &known));
        Ok(erased.map(|(subject, _)| subject.claim()).collect())
    }
}

/// The claims of these data subjects' keys that are still in the first tenant's log.
async fn known<'p>(
    persons: impl Iterator<Item = &'p (Subject, DataKey)>,
    transaction: &mut PgConnection,
) -> Result<HashSet<Vec<u8>>, Error> {
    let subjects: Vec<&Subject> = persons.map(|(of, _)| of).collect();
    let mut known = HashSet::new();
    for some in subjects.chunks(LOOKUPS) {
        let claims: Vec<Vec<u8>> =
            some.iter().flat_map(|of| [of.claim(), of.former_claim()]).map(|claim| claim.to_vec()).collect();
        let found: Vec<Vec<u8>> = sqlx::query_scalar("SELECT key FROM log.holders($1, $2, $3)")
            .bind(some.first().map(|of| of.tenant.uuid()))
            .bind(PERSON_KEY)
            .bind(claims)
            .fetch_all(&mut *transaction)
            .await?;
        known.extend(found);
    }
    Ok(known)
}

/// Whether a data subject's key is among these claims, under its current or its former claim key.
fn is_known(of: &Subject, known: &HashSet<Vec<u8>>) -> bool {
    known.contains(&of.claim()[..]) || known.contains(&of.former_claim()[..])
}
