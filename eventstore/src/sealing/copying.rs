//! [`Copying`]: re-encrypts the personal data of a tenant's history for another tenant.
//!
//! The tenant is part of the context of each sealed value, so a history that is to be read under another tenant's id has to be sealed
//! again. Values that can be opened now are sealed under the same data subjects' keys, which are in turn encrypted under the other tenant's
//! key. Values of data subjects who were erased are copied as they are, and stay unreadable.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use kernel::{RecordedEvent, TenantId};
use keys::{DataKey, Sealed, Wrapped};
use sqlx::postgres::PgConnection;

use super::subject::Subject;
use super::{ONLY_KEY, PERSON_KEY, Sealing, TENANT_KEY, is_sealed, sealed_subjects, text};
use crate::backup::StoredClaim;
use crate::{Error, EventStore};

/// Claims that are looked up with one statement.
const LOOKUPS: usize = 5_000;

/// Seals the history of one tenant for another, new one.
pub struct Copying {
    sealing: Sealing,
    tenant: TenantId,
    tenant_key: DataKey,
    wrapped: Wrapped,
    /// The data subjects in the other tenant; who each is in the first one, and the key.
    persons: BTreeMap<Subject, (Subject, DataKey)>,
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
        Ok(Some(Copying { sealing, tenant, tenant_key, wrapped, persons: BTreeMap::new() }))
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
                    self.persons.entry(copy).or_insert_with(|| (subject.clone(), key.clone()));
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

    /// The claims that store the keys in the other tenant's log. Data subjects who were erased since their values were sealed here get none,
    /// so that nobody can read what was copied of them. `transaction` holds the writers' lock: nobody is erased meanwhile.
    ///
    /// # Errors
    /// [`Error::Key`] if there is no randomness; if the claims can't be read.
    pub(crate) async fn claims(&self, transaction: &mut PgConnection) -> Result<Vec<StoredClaim>, Error> {
        let known = self.known(transaction).await?;
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let claim = |kind: &str, key, holder: &str| StoredClaim {
            tenant: self.tenant,
            kind: kind.to_owned(),
            key,
            holder: holder.to_owned(),
        };
        let mut claims = vec![claim(TENANT_KEY, ONLY_KEY, self.wrapped.as_str())];
        for (subject, (of, key)) in &self.persons {
            if known.contains(&of.claim()[..]) || known.contains(&of.former_claim()[..]) {
                let sealed = self.tenant_key.seal(subject.context(PERSON_KEY), key.reveal(), &*self.sealing.random);
                claims.push(claim(PERSON_KEY, subject.claim(), sealed.map_err(Error::Key)?.as_str()));
            }
        }
        Ok(claims)
    }

    /// The claims of the data subjects' keys that are still in the first tenant's log.
    async fn known(&self, transaction: &mut PgConnection) -> Result<HashSet<Vec<u8>>, Error> {
        let mut known = HashSet::new();
        let Some((of, _)) = self.persons.values().next() else { return Ok(known) };
        let claims = self.persons.values().flat_map(|(of, _)| [of.claim(), of.former_claim()]);
        let claims: Vec<Vec<u8>> = claims.map(|claim| claim.to_vec()).collect();
        for some in claims.chunks(LOOKUPS) {
            let found: Vec<Vec<u8>> = sqlx::query_scalar("SELECT key FROM log.holders($1, $2, $3)")
                .bind(of.tenant.uuid())
                .bind(PERSON_KEY)
                .bind(some)
                .fetch_all(&mut *transaction)
                .await?;
            known.extend(found);
        }
        Ok(known)
    }
}
