//! Rewrapping of tenants' keys, after the master key was replaced or has a new version.
//!
//! A tenant's wrapped key is stored as a claim, and is replaced as claims are: one append releases the old claim and takes the new one. So
//! the key exists before and after, wherever the process is killed. An interrupted run is simply started again, and finds the remaining
//! keys.

use std::collections::BTreeSet;

use kernel::TenantId;
use keys::{Context, Wrapped};
use sha2::{Digest, Sha256};

use crate::append::{self, Append, Claim, ClaimAct, CommandRecord};
use crate::sealing::{ONLY_KEY, TENANT_KEY};
use crate::{Error, EventStore, Sealing, master_key};

/// The progress and result of rewrapping the tenants' keys of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// The number of keys.
    pub all: u64,
    /// The number of keys that were checked so far.
    pub keys: u64,
    /// The number of keys that were rewrapped, or in a dry run would be.
    pub renewed: u64,
    /// The tenants whose keys were not rewrapped although they should be, and the reasons.
    pub left: Vec<(TenantId, String)>,
    /// The tenants who live in another cell, of whom there is a [copy](crate::Closure::is_copy) here with a key that should be rewrapped.
    /// Nothing is written to a copy; the key goes when it is purged.
    pub copies: Vec<TenantId>,
}

impl EventStore {
    /// Rewraps the tenants' keys with the current master key (and its latest version), `at_once` keys at a time. `tell` is called with the
    /// progress. With `dry_run` nothing is written.
    ///
    /// # Errors
    /// [`Error::NoMasterKey`]; when the master key or the log does not answer. Keys that were rewrapped until then stay so.
    pub async fn rewrap(
        &self,
        at_once: usize,
        dry_run: bool,
        mut tell: impl FnMut(&Rewrapped),
    ) -> Result<Rewrapped, Error> {
        let sealing = self.sealing().ok_or(Error::NoMasterKey)?;
        let keys = master_key::all(self.database()).await?;
        let closed = self.closed().await?.into_iter();
        let copies: BTreeSet<_> = closed.filter(|(_, closure)| closure.is_copy()).map(|(tenant, _)| tenant).collect();
        let mut done = Rewrapped { all: keys.len() as u64, ..Rewrapped::default() };
        for some in keys.chunks(at_once.max(1)) {
            self.rewrap_some(sealing, some, &copies, dry_run, &mut done).await?;
            tell(&done);
        }
        Ok(done)
    }

    async fn rewrap_some(
        &self,
        sealing: &Sealing,
        some: &[(TenantId, Wrapped)],
        copies: &BTreeSet<TenantId>,
        dry_run: bool,
        done: &mut Rewrapped,
    ) -> Result<(), Error> {
        let asked: Vec<(Context<'_>, &Wrapped)> =
            some.iter().map(|(tenant, wrapped)| (self.tenant_key_context(*tenant), wrapped)).collect();
        let renewed = sealing.master.renewed(&asked).await;
        let mut anew = Vec::new();
        for ((tenant, was), renewed) in some.iter().zip(renewed) {
            done.keys += 1;
            match renewed {
                Ok(None) => {}
                Err(error @ keys::Error::Unavailable(_)) => return Err(Error::Key(error)),
                _ if copies.contains(tenant) => done.copies.push(*tenant),
                Ok(Some(wrapped)) => anew.push((*tenant, was, wrapped)),
                Err(error) => done.left.push((*tenant, error.to_string())),
            }
        }
        // Verifies that the new wrapped keys can be unwrapped: otherwise the keys would be lost for ever when the old ones are replaced.
        let again: Vec<(Context<'_>, &Wrapped)> =
            anew.iter().map(|(tenant, _, wrapped)| (self.tenant_key_context(*tenant), wrapped)).collect();
        let opened = sealing.master.unwrap_all(&again).await;
        for ((tenant, was, wrapped), opened) in anew.iter().zip(opened) {
            match opened {
                Err(error @ keys::Error::Unavailable(_)) => return Err(Error::Key(error)),
                Err(error) => done.left.push((*tenant, format!("wrapped anew it does not open: {error}"))),
                Ok(_) if dry_run => done.renewed += 1,
                Ok(_) => match self.append(replacing(*tenant, was, wrapped)).await {
                    Ok(_) => done.renewed += 1,
                    // Another process rewraps the same keys, and was faster.
                    Err(append::Error::ClaimTaken { .. }) => {}
                    Err(error @ append::Error::Closed { .. }) => done.left.push((*tenant, error.to_string())),
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Ok(())
    }
}

/// The append that replaces one wrapped key by another.
fn replacing(tenant: TenantId, was: &Wrapped, wrapped: &Wrapped) -> Append {
    let claim =
        |wrapped: &Wrapped, act| Claim { kind: TENANT_KEY, key: ONLY_KEY, holder: wrapped.as_str().to_owned(), act };
    Append {
        tenant,
        // Ids of callers never begin with this control character.
        command: CommandRecord {
            id: format!("\u{1}tenant key {}", hex::encode(Sha256::digest(wrapped.as_str()))),
            request_hash: [0; 32],
            answer: "null".to_owned(),
        },
        streams: Vec::new(),
        claims: vec![claim(was, ClaimAct::Release), claim(wrapped, ClaimAct::Take)],
    }
}
