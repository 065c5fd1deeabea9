//! The seals of a backup: whose signatures count, and where in the history each of them stands.

use std::collections::VecDeque;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use eventstore::seals::{Seal, SealedBy};
use gateway::Config;
use kernel::TenantId;
use tokio::sync::mpsc::Receiver;

use super::archive::ledger::{Ledger, named};
use super::archive::rows::SealRow;
use super::archive::{Archive, Manifest, ServicePart};
use crate::audit::trusted;

/// What is made of seals.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Nothing: the log is sealed anew.
    NoSeals,
    /// They are held against the events. Who signed them is for others to see.
    AnySigner,
    /// Each is signed by one of these, too.
    Keys(Vec<SealedBy>),
}

impl Trust {
    /// The key that signs with a configuration, and those of these files, as PEM.
    ///
    /// # Errors
    /// When a seal of the backup is signed by another one.
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

    /// That a seal is signed by whom it has to be.
    pub fn check(&self, seal: &Seal) -> Result<()> {
        let Self::Keys(keys) = self else { return Ok(()) };
        ensure!(
            keys.iter().any(|key| key.has_signed(seal)),
            "{} is not one that was signed: its signature is not by the key {}, or that is not trusted here",
            named(seal),
            seal.key
        );
        Ok(())
    }

    /// What a log has of which these seals were read.
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

/// The seals of a log in an archive, read beside its events: those that the events have not come to.
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

    /// After so many events of a tenant: the seal of them, if there is one.
    ///
    /// # Errors
    /// With the first seal that is not signed by whom it has to be.
    pub async fn after(&mut self, tenant: TenantId, events: u64) -> Result<Option<Seal>> {
        self.fill().await?;
        Ok(self.seals.pop_front_if(|seal| (seal.tenant, seal.size) == (tenant.uuid(), events)))
    }

    /// After the last event.
    ///
    /// # Errors
    /// With a seal that is of no events that came where it stands.
    pub async fn finish(mut self, ledger: &Ledger) -> Result<()> {
        self.fill().await?;
        let Some(seal) = self.seals.front() else { return Ok(()) };
        bail!(
            "{} is not where the history comes to it, which has {} events of the tenant",
            named(seal),
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
                ensure!(seal.service == self.service, "{} is among those of {}", named(seal), self.service);
                self.trust.check(seal)?;
            }
            self.seals.extend(batch);
        }
        Ok(())
    }
}
