//! References in a body to other aggregates of the tenant.

use std::fmt::Display;
use std::sync::Arc;

use crm_aggregates::{Account, AccountId};
use executor::{Work, named};
use kernel::{Aggregate, FieldError, Refusal};

/// What a reference leads to; refused, when it does not exist. Another tenant's does not exist.
pub(crate) async fn existing<A: Aggregate>(
    work: &mut Work<'_>,
    id: impl Display + Send + Sync,
    pointer: &str,
) -> Result<Arc<A>, Refusal> {
    match work.find::<A>(&id).await? {
        Some(found) => Ok(found),
        None => Err(unknown(pointer, "not_found", format!("there is no {} {id}", named::<A>()))),
    }
}

/// Refuses an account that does not exist, where one is named.
pub(crate) async fn existing_account(work: &mut Work<'_>, account: Option<AccountId>) -> Result<(), Refusal> {
    if let Some(account) = account {
        existing::<Account>(work, account, "/account").await?;
    }
    Ok(())
}

/// A reference that leads nowhere. The body is well-formed, so it is no validation error: what it names may have been there.
pub(crate) fn unknown(pointer: &str, code: &'static str, detail: String) -> Refusal {
    Refusal::references(vec![FieldError { pointer: pointer.to_owned(), code, detail }])
}
