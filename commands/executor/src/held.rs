//! Which claims a history comes down to: for histories that are played into another log, and to prove that the claims of a
//! log are those of its events.

use std::collections::{BTreeSet, HashMap};

use eventstore::backup::StoredClaim;
use kernel::{DecodeError, RecordedEvent, TenantId};

use crate::ClaimKind;
use crate::claim::ClaimHasher;

/// A domain's knowledge of what its events did to claims. Begun anew for each tenant.
pub trait ClaimHistory: Send {
    /// Takes the tenant's next event, in the order of the log; events that concern no claim change nothing.
    ///
    /// # Errors
    /// An event that can't be read.
    fn observe(&mut self, event: &RecordedEvent) -> Result<(), DecodeError>;

    /// What is held after the events that were observed.
    fn held(&self) -> &Held;
}

/// Claims by value, as they stand at one point of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    claims: HashMap<(&'static str, String), String>,
    forgotten: BTreeSet<&'static str>,
}

impl Held {
    /// Takes or marks a claim. An event tells that it was not refused, so whether it was one or the other makes no
    /// difference: who came first has it.
    pub fn claim(&mut self, kind: &'static ClaimKind, value: impl Into<String>, holder: impl ToString) {
        self.claims.entry((kind.name, value.into())).or_insert_with(|| holder.to_string());
    }

    /// Gives a claim back, if `holder` has it.
    pub fn release(&mut self, kind: &'static ClaimKind, value: impl Into<String>, holder: impl ToString) {
        let key = (kind.name, value.into());
        if self.claims.get(&key).is_some_and(|has| *has == holder.to_string()) {
            self.claims.remove(&key);
        }
    }

    /// Somebody who is erased had a claim of this kind, once: on what, nobody can tell any more. Whoever wanted the same beside
    /// them, and did not get it, seems to have got it.
    pub fn forget(&mut self, kind: &'static ClaimKind) {
        self.forgotten.insert(kind.name);
    }

    /// Whether claims of this kind may be told that are not held, because of [forgotten](Self::forget) ones.
    pub fn has_forgotten(&self, kind: &str) -> bool {
        self.forgotten.contains(kind)
    }

    /// The claims as a log keeps them for this tenant, under this key; in order.
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
