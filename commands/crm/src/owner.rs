//! Owners: the users and machines to whom leads, contacts, accounts and opportunities belong, by the subjects of their tokens.
//!
//! Whoever is given a record must be able to sign in now, or else nobody would work on it. Not looked up, because that costs a query of
//! another service's log, are the caller, and who has the record already.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use executor::Work;
use kernel::{Aggregate, Checks, FieldError, Refusal};

use crate::lengths::SUBJECT;

/// For how long an import relies on what it found out about an owner.
const LATELY: TimeDelta = TimeDelta::seconds(10);

/// The most owners that an import remembers.
const MOST_REMEMBERED: usize = 1_000;

/// Validates the form of an owner.
pub(crate) fn form(checks: &mut Checks, text: &str) -> String {
    checks.identifier("/owner", text, SUBJECT)
}

/// Refuses an owner of a new record who can't sign in, if one is given.
pub(crate) async fn check(work: &Work<'_>, owner: Option<&str>) -> Result<(), Refusal> {
    match owner {
        Some(owner) if owner != work.caller().subject() => check_all(work, &[("/owner", owner)]).await,
        _ => Ok(()),
    }
}

/// Refuses all of these who can't sign in, each under the pointer that names them. None is exempt: a follow-up names them for later.
pub(crate) async fn check_all(work: &Work<'_>, named: &[(&str, &str)]) -> Result<(), Refusal> {
    let mut errors = Vec::new();
    for (pointer, subject) in named {
        if !work.can_sign_in(subject).await? {
            errors.push(cannot_sign_in(pointer));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Refusal::references(errors)) }
}

/// Gives a record to another owner. `former`: whose it is; `command`: the aggregate's command that gives it away.
pub(crate) async fn reassign<A: Aggregate>(
    work: &mut Work<'_>,
    record: impl Display + Send + Sync,
    owner: &str,
    former: fn(&A) -> Option<&str>,
    command: fn(String) -> A::Command,
) -> Result<(), Refusal> {
    let mut checks = Checks::default();
    let owner = form(&mut checks, owner);
    checks.finish()?;
    let has_it = former(work.read::<A>(&record).await?.as_ref()) == Some(owner.as_str());
    // The record first: what its state does not allow is refused whoever the owner is.
    work.update::<A>(&record, command(owner.clone())).await?;
    if has_it { Ok(()) } else { check(work, Some(&owner)).await }
}

/// What is wrong with somebody who can't sign in. The same for who left, for another tenant's users and for ids of nobody.
pub(crate) fn cannot_sign_in(pointer: &str) -> FieldError {
    FieldError::new(pointer, "cannot_sign_in", "not a user or machine of the tenant that can sign in now")
}

/// The owners that an import looked up lately: it asks for each of them, and not for each row. Its clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct OwnerLookups(Arc<Mutex<Lookups>>);

#[derive(Debug, Default)]
struct Lookups {
    since: DateTime<Utc>,
    /// Whether they can sign in.
    owners: HashMap<String, bool>,
}

impl OwnerLookups {
    /// Whether a row may give its record to this owner.
    pub(crate) async fn allow(&self, work: &Work<'_>, owner: &str) -> Result<bool, Refusal> {
        if owner == work.caller().subject() {
            return Ok(true);
        }
        let known = self.lately(work.now()).owners.get(owner).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = work.can_sign_in(owner).await?;
        self.lately(work.now()).owners.insert(owner.to_owned(), found);
        Ok(found)
    }

    fn lately(&self, now: DateTime<Utc>) -> MutexGuard<'_, Lookups> {
        let mut lookups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if (now - lookups.since).abs() >= LATELY || lookups.owners.len() >= MOST_REMEMBERED {
            *lookups = Lookups { since: now, owners: HashMap::new() };
        }
        lookups
    }
}
