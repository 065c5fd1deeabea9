//! The seals of a backup: which signatures are trusted, and which events each seal covers.

use std::collections::VecDeque;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use eventstore::seals::{Seal, SealedBy};
use gateway::Config;
use kernel::TenantId;
use tokio::sync::mpsc::Receiver;

use super::archive::ledger::{Ledger, describe};
use super::archive::rows::SealRow;
use super::archive::{Archive, Manifest, ServicePart};
use crate::audit::trusted;

/// How the seals of a backup are treated.
#[derive(Clone, Debug)]
pub enum Trust {
    /// They are ignored; the log is sealed again.
    NoSeals,
    /// They are compared with the events; their signatures are not verified.
    AnySigner,
    /// They are compared with the events, and each must be signed by one of these keys.
    Keys(Vec<SealedBy>),
}

impl Trust {
    /// Trusts the configured signing key and the public keys in these PEM files.
    ///
    /// # Errors
    /// When the backup has a seal of another key.
    pub fn of(config: Option<&Config>, files: &[PathBuf], manifest: &Manifest) -> Result<Self> {
        let mut keys = trusted::of_files(files)?;
        keys.extend(config.and_then(Config::seal_key).map(|key| key.sealed_by()));
        let ids: Vec<_> = keys.iter().map(SealedBy::id).collect();
        let lacking: Vec<_> = manifest.seal_keys().into_iter().filter(|key| !ids.contains(key)).collect();
        ensure!(
            lacking.is_empty(),
            "seals of the backup are signed by keys that are not trusted here: {}. Set the key that signs as audit.seal_key \
             (INOPSIO_SEAL_KEY), and name files with the public keys of before, as `inopsio audit key` printed them, with --seal-key. \
             Where one is lost, `inopsio restore` with --without-seals leaves them out, and the log is sealed anew",
            lacking.join(" and ")
        );
        Ok(Self::Keys(keys))
    }

    /// Checks that a seal is signed by a trusted key.
    pub fn check(&self, seal: &Seal) -> Result<()> {
        let Self::Keys(keys) = self else { return Ok(()) };
        ensure!(
            keys.iter().any(|key| key.has_signed(seal)),
            "{} is not one that was signed: its signature is not by the key {}, or that is not trusted here",
            describe(seal),
            seal.key
        );
        Ok(())
    }

    /// What a restored log should have: without seals for [`NoSeals`](Self::NoSeals).
    pub fn rest_of(&self, log: &ServicePart) -> ServicePart {
        let mut rest = log.clone();
        if matches!(self, Self::NoSeals) {
            for tenant in &mut rest.tenants {
                tenant.seals = 0;
            }
            (rest.seals, rest.seal_keys) = (None, None);
        }
        rest
    }
}

/// Reads the seals of an archived log in step with its events.
pub struct ArchivedSeals<'a> {
    service: &'a str,
    trust: &'a Trust,
    rows: Option<Receiver<Result<Vec<Seal>>>>,
    seals: VecDeque<Seal>,
}

impl<'a> ArchivedSeals<'a> {
    /// Begins before the first event.
    pub fn begin(archive: &Archive, log: &'a ServicePart, trust: &'a Trust) -> Self {
        let part = log.seals.as_ref().filter(|_| !matches!(trust, Trust::NoSeals));
        let rows = part.map(|part| archive.rows::<SealRow>(part));
        Self { service: &log.service, trust, rows, seals: VecDeque::new() }
    }

    /// The seal that covers exactly the first `events` events of a tenant, if there is one. Called after each event, in order.
    ///
    /// # Errors
    /// With the first seal that is not signed by a trusted key.
    pub async fn after(&mut self, tenant: TenantId, events: u64) -> Result<Option<Seal>> {
        self.fill().await?;
        Ok(self.seals.pop_front_if(|seal| (seal.tenant, seal.size) == (tenant.uuid(), events)))
    }

    /// Checks that no seal is left after the last event.
    ///
    /// # Errors
    /// With a seal that matches no prefix of its tenant's events, or is out of order.
    pub async fn finish(mut self, ledger: &Ledger) -> Result<()> {
        self.fill().await?;
        let Some(seal) = self.seals.front() else { return Ok(()) };
        bail!(
            "{} is not where the history comes to it, which has {} events of the tenant",
            describe(seal),
            ledger.events_of(seal.tenant)
        )
    }

    async fn fill(&mut self) -> Result<()> {
        while self.seals.is_empty() {
            let Some(rows) = &mut self.rows else { break };
            let Some(batch) = rows.recv().await.transpose()? else {
                self.rows = None;
                break;
            };
            for seal in &batch {
                ensure!(seal.service == self.service, "{} is among those of {}", describe(seal), self.service);
                self.trust.check(seal)?;
            }
            self.seals.extend(batch);
        }
        Ok(())
    }
}
