//! What is personal in one tenant's events, sealed for another tenant.
//!
//! What is sealed says for which tenant it is, so a history that is to be read under another tenant's id has to be sealed anew: the
//! values that can be opened now, under the same persons' keys, which are sealed under the other tenant's. Who is erased by now stays so:
//! their values stay as they are, which nobody opens.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use kernel::{RecordedEvent, TenantId};
use keys::{DataKey, Sealed, Wrapped};

use super::subject::Subject;
use super::{PERSON_KEY, Sealing, TENANT_KEY, THE_ONE, is_sealed, sealed_for, text};
use crate::backup::StoredClaim;
use crate::{Error, EventStore};

/// Seals the history of one tenant for another one, who has no keys yet.
pub struct Copying {
    sealing: Sealing,
    tenant: TenantId,
    of_tenant: DataKey,
    wrapped: Wrapped,
    /// Whose values were sealed for the other tenant, and under which keys.
    persons: BTreeMap<Subject, DataKey>,
}

impl EventStore {
    /// Begins to seal a history for a tenant who is new; none: this log seals nothing.
    ///
    /// # Errors
    /// [`Error::Key`] when the master key can't be asked.
    pub async fn copying_for(&self, tenant: TenantId) -> Result<Option<Copying>, Error> {
        let Some(sealing) = self.sealing().cloned() else { return Ok(None) };
        let of_tenant = DataKey::generate(&*sealing.random).map_err(Error::Key)?;
        let wrapped = sealing.master.wrap(self.of_tenant(tenant), &of_tenant).await.map_err(Error::Key)?;
        Ok(Some(Copying { sealing, tenant, of_tenant, wrapped, persons: BTreeMap::new() }))
    }
}

impl Copying {
    /// Seals events of one tenant of this log for the other, as far as they can be opened. Whatever bears the first tenant's own id bears
    /// the other's afterwards, which is the caller's to see to; here it is known.
    ///
    /// # Errors
    /// When keys can't be read.
    pub async fn seal(&mut self, store: &EventStore, events: &mut [RecordedEvent]) -> Result<(), Error> {
        let mut subjects = BTreeSet::new();
        for event in events.iter().filter(|event| is_sealed(&event.payload)) {
            sealed_for(&event.payload, &Subject::of(event), &mut subjects)?;
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
                    self.persons.entry(copy).or_insert_with(|| key.clone());
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

    /// Whose it is in the other tenant.
    fn copy_of(&self, subject: &Subject) -> Subject {
        let name = match subject.name.split_once('/') {
            Some((of, id)) if id == subject.tenant.to_string() => format!("{of}/{}", self.tenant),
            _ => subject.name.clone(),
        };
        Subject { tenant: self.tenant, name }
    }

    /// The keys as the other tenant's log has them; none when nothing was sealed.
    ///
    /// # Errors
    /// [`Error::Key`] without randomness.
    pub fn claims(&self) -> Result<Vec<StoredClaim>, Error> {
        if self.persons.is_empty() {
            return Ok(Vec::new());
        }
        let claim = |kind: &str, key, holder: &str| StoredClaim {
            tenant: self.tenant,
            kind: kind.to_owned(),
            key,
            holder: holder.to_owned(),
        };
        let mut claims = vec![claim(TENANT_KEY, THE_ONE, self.wrapped.as_str())];
        for (subject, key) in &self.persons {
            let sealed = self.of_tenant.seal(subject.context(PERSON_KEY), key.reveal(), &*self.sealing.random);
            claims.push(claim(PERSON_KEY, subject.claim(), sealed.map_err(Error::Key)?.as_str()));
        }
        Ok(claims)
    }
}
