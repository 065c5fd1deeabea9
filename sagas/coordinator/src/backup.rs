//! Up to where events were looked at for sagas: taken out with a service's log and brought in again with it.
//!
//! Sagas themselves are events. What was not looked at yet when the log was taken out begins them where it is brought in; what was, was
//! asked about once, and is not asked again, but for events of which it could not be said whether they begin something: those wait again.

use deadletters::backup::StoredLetter;
use eventstore::backup::{Restore, Snapshot};
use kernel::{Position, TenantId};

use crate::letters::CONSUMERS;
use crate::passed_over::{self, PassedOver};

/// How far a service's events were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Up to here everybody's were.
    pub up_to: Position,
    /// But for these: of a tenant, the events after a position and up to another, which were passed over while it was closed.
    pub but: Vec<(TenantId, Position, Position)>,
    /// And for these, that wait for somebody to mend why it could not be said whether they begin something.
    pub letters: Vec<StoredLetter>,
}

/// How far it was at a log's moment; none: the service has no sagas, or a program of before had them.
///
/// # Errors
/// When the tables don't answer.
pub async fn looked(snapshot: &mut Snapshot) -> Result<Option<Looked>, sqlx::Error> {
    if !passed_over::is_migrated(&mut *snapshot.connection()).await? {
        return Ok(None);
    }
    let up_to: i64 =
        sqlx::query_scalar("SELECT position FROM saga.checkpoint").fetch_one(snapshot.connection()).await?;
    let but = passed_over::all(snapshot.connection()).await?;
    let but = but.into_iter().map(|PassedOver { tenant, after, to }| (tenant, after, to)).collect();
    let letters = deadletters::backup::waiting(snapshot, CONSUMERS).await?;
    Ok(Some(Looked { up_to: Position::from_i64(up_to), but, letters }))
}

/// Has those looked at that were not, in the transaction in which the log is restored.
///
/// # Errors
/// When the tables don't answer.
pub async fn restore(into: &mut Restore, looked: &Looked) -> Result<(), sqlx::Error> {
    for (tenant, after, to) in &looked.but {
        // What comes after `up_to` is looked at anyway.
        passed_over::hand_over(into.connection(), *tenant, *after, (*to).min(looked.up_to)).await?;
    }
    if looked.letters.is_empty() { Ok(()) } else { deadletters::backup::wait_again(into, &looked.letters).await }
}
