//! Derives the claims of a tenant from its events: to restore the claims when a history is copied into another log, and to verify that the
//! claims of a log match its events.

use std::collections::{BTreeSet, HashMap};

use eventstore::backup::StoredClaim;
use kernel::{DecodeError, RecordedEvent, TenantId};

use crate::ClaimKind;
use crate::claim::ClaimHasher;

/// Derives claims from a domain's events. Create a new one for each tenant.
pub trait ClaimHistory: Send {
    /// Processes the tenant's next event, in the order of the log. Events that concern no claim change nothing.
    ///
    /// # Errors
    /// If the event can't be decoded.
    fn observe(&mut self, event: &RecordedEvent) -> Result<(), DecodeError>;

    /// The claims that are held after the events so far.
    fn held(&self) -> &HeldClaims;
}

/// The claims that are held at one point of a history, by kind and value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldClaims {
    claims: HashMap<(&'static str, String), String>,
    forgotten: BTreeSet<&'static str>,
}

impl HeldClaims {
    /// Takes a claim if it is free. Taking and [marking](crate::Work::mark) need no distinction here: an event exists only if its append
    /// was not refused, so the first holder keeps the claim.
    pub fn claim(&mut self, kind: &'static ClaimKind, value: impl Into<String>, holder: impl ToString) {
        self.claims.entry((kind.name, value.into())).or_insert_with(|| holder.to_string());
    }

    /// Releases a claim, if `holder` has it.
    pub fn release(&mut self, kind: &'static ClaimKind, value: impl Into<String>, holder: impl ToString) {
        let key = (kind.name, value.into());
        if self.claims.get(&key).is_some_and(|has| *has == holder.to_string()) {
            self.claims.remove(&key);
        }
    }

    /// Records that an erased person held a claim of this kind, whose value is no longer known. Another person who requested the same
    /// value, and did not get it, now appears to hold it.
    pub fn forget(&mut self, kind: &'static ClaimKind) {
        self.forgotten.insert(kind.name);
    }

    /// Whether the derived claims of this kind may include some that are not held in the log, because of [forgotten](Self::forget) ones.
    pub fn has_forgotten(&self, kind: &str) -> bool {
        self.forgotten.contains(kind)
    }

    /// The claims in the form in which the log stores them for this tenant, hashed with this key; sorted.
    pub fn stored(&self, key: &[u8; 32], tenant: TenantId) -> Vec<StoredClaim> {
        let hasher = ClaimHasher::new(key);
        let stored = self.claims.iter().map(|((kind, value), holder)| StoredClaim {
            tenant,
            kind: (*kind).to_owned(),
            key: hasher.hash(tenant, kind, value),
            holder: holder.clone(),
        });
        let mut stored: Vec<_> = stored.collect();
        stored.sort_unstable();
        stored
    }
}
