//! Going through a tenant's history in the log, past its seals.

use kernel::{Position, TenantId};

use super::{Audit, Finding, Seal, SealedBy, Verdict, rows};
use crate::backup::StoredEvent;
use crate::{Error, EventStore};

/// What is gone past on the way through a history.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// A seal: its events come later.
    Seal(&'a Seal),
    /// An event, and which one it is, from 1.
    Event(u64, &'a StoredEvent),
}

/// Why a history was not gone through to its end.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It is not what was sealed.
    #[error(transparent)]
    Found(#[from] Finding),
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] Error),
}

/// Holds each event of a tenant against its hash, its stream and the seals that there are when this begins, and shows each to `see`, seals
/// before their events. `kept`: seals that somebody has from before, of which the history has to be, too.
///
/// # Errors
/// With the first thing that is wrong; when the log can't be read.
pub async fn verify(
    store: &EventStore,
    tenant: TenantId,
    trusted: Vec<SealedBy>,
    kept: &[Seal],
    mut see: impl FnMut(Seen<'_>),
) -> Result<Verdict, AuditError> {
    let mut audit = Audit::new(trusted);
    for seal in kept {
        audit.keep(seal.clone())?;
    }
    // What is sealed meanwhile is for the next time: its events may not be among those that are read here.
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

/// Takes seals until one is of so many events, or more.
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
