//! Verification of a tenant's history in the log against its seals.

use kernel::{Position, TenantId};

use super::{Audit, Finding, Seal, SealedBy, Verdict, rows};
use crate::backup::StoredEvent;
use crate::{Error, EventStore};

/// What [`verify`] reads, for its observer.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// A seal; the events that it covers come later.
    Seal(&'a Seal),
    /// An event, and its number in the history, from 1.
    Event(u64, &'a StoredEvent),
}

/// Why a verification failed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The history differs from what was sealed.
    #[error(transparent)]
    Found(#[from] Finding),
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] Error),
}

/// Checks each event of a tenant against its hash, its stream and the seals that exist when this begins, and calls `see` for each seal and
/// event, seals before their events. `kept` are seals that somebody kept outside the log; the history has to match them, too.
///
/// # Errors
/// The first difference; if the log can't be read.
pub async fn verify(
    store: &EventStore,
    tenant: TenantId,
    trusted: Vec<SealedBy>,
    kept: &[Seal],
    mut see: impl FnMut(Seen<'_>),
) -> Result<Verdict, AuditError> {
    let mut audit = Audit::new(trusted);
    for seal in kept {
        audit.require(seal.clone())?;
    }
    // Seals that are signed meanwhile are ignored: their events may not be among those that are read here.
    let until = rows::last_seal(store, tenant).await?.map_or(0, |seal| seal.size);
    let mut after = Position::START;
    loop {
        let page = rows::history(store, tenant, after).await?;
        let Some(last) = page.last() else { break };
        after = last.event.position;
        let events = audit.events() + page.len() as u64;
        take_seals(store, tenant, &mut audit, events.min(until), &mut see).await?;
        for event in &page {
            audit.event(event)?;
            see(Seen::Event(audit.events(), event));
        }
    }
    take_seals(store, tenant, &mut audit, until, &mut see).await?;
    Ok(audit.finish()?)
}

/// Passes seals until one covers at least this many events.
async fn take_seals(
    store: &EventStore,
    tenant: TenantId,
    audit: &mut Audit,
    events: u64,
    see: &mut impl FnMut(Seen<'_>),
) -> Result<(), AuditError> {
    while audit.sealed() < events {
        let seals = rows::seals(store, tenant, audit.sealed()).await?;
        if seals.is_empty() {
            return Ok(());
        }
        for seal in seals {
            see(Seen::Seal(&seal));
            audit.seal(seal)?;
        }
    }
    Ok(())
}
