//! References in a body to other aggregates of the tenant.

use std::fmt::Display;
use std::sync::Arc;

use crm_aggregates::{Account, AccountId};
use executor::{Work, named};
use kernel::{Aggregate, Refusal};

/// Loads the target of a reference. Refused if it does not exist; another tenant's does not exist.
pub(crate) async fn existing<A: Aggregate>(
    work: &mut Work<'_>,
    id: impl Display + Send + Sync,
    pointer: &str,
) -> Result<Arc<A>, Refusal> {
    match work.find::<A>(&id).await? {
        Some(found) => Ok(found),
        None => Err(Refusal::reference(pointer, "not_found", format!("there is no {} {id}", named::<A>()))),
    }
}

/// Refuses a reference to an account that does not exist, if one is given.
pub(crate) async fn existing_account(work: &mut Work<'_>, account: Option<AccountId>) -> Result<(), Refusal> {
    if let Some(account) = account {
        existing::<Account>(work, account, "/account").await?;
    }
    Ok(())
}
