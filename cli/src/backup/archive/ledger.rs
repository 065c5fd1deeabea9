//! Checks the invariants of a log, whether it is read from a database or from a backup.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use deadletters::backup::StoredDecision;
use eventstore::backup::{StoredAnswer, StoredClaim, StoredEvent};
use eventstore::seals::Seal;
use kernel::{Leaf, Position, TenantId, Tree};
use uuid::Uuid;

use super::manifest::{ServicePart, TenantPart};

/// Checks the rows of one log in position order: positions are dense, a tenant's times do not go back, each event's bytes give its stored
/// leaf hash, each seal covers exactly the events before it and links to the previous seal. It also counts the rows of each tenant, and
/// collects the names of the master keys and of the seal keys.
#[derive(Debug, Default)]
pub struct Ledger {
    last: Position,
    tenants: BTreeMap<Uuid, Holding>,
    master_keys: BTreeSet<String>,
    seal_keys: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Holding {
    tree: Tree,
    recorded_at: Option<DateTime<Utc>>,
    seals: u64,
    /// Digest of the last seal; zeros if there is none.
    sealed: [u8; 32],
    commands: u64,
    claims: u64,
    decisions: u64,
}

impl Ledger {
    /// Checks the next event. Returns the number of events of its tenant so far.
    pub fn event(&mut self, StoredEvent { event, leaf_hash }: &StoredEvent) -> Result<u64> {
        let position = event.position;
        ensure!(position == self.last.next(), "after the event at {} comes the one at {position}", self.last);
        ensure!(
            Leaf::from(event).hash() == *leaf_hash,
            "the event at position {position} is not the one that was written: its bytes do not give its leaf hash {}",
            hex::encode(leaf_hash)
        );
        self.last = position;
        // Times are compared within a tenant only: a tenant that was moved here from another cell kept its earlier times.
        let holding = self.of(event.tenant);
        ensure!(
            holding.recorded_at.is_none_or(|last| last <= event.recorded_at),
            "at {position} the tenant's time goes back"
        );
        holding.recorded_at = Some(event.recorded_at);
        holding.tree.push(*leaf_hash);
        Ok(holding.tree.size())
    }

    /// Checks the seal that follows the last event. Its signature is not verified here.
    pub fn seal(&mut self, seal: &Seal) -> Result<()> {
        let holding = self.tenants.entry(seal.tenant).or_default();
        ensure!(
            (seal.size, seal.root) == (holding.tree.size(), holding.tree.root()),
            "{} is not of the events that are there: the first {} of them have the root {}, not {}",
            describe(seal),
            holding.tree.size(),
            hex::encode(holding.tree.root()),
            hex::encode(seal.root)
        );
        ensure!(
            seal.previous == holding.sealed,
            "{} does not follow on the one before it: a seal was taken away or put in",
            describe(seal)
        );
        holding.sealed = seal.digest();
        holding.seals += 1;
        if !self.seal_keys.contains(&seal.key) {
            self.seal_keys.insert(seal.key.clone());
        }
        Ok(())
    }

    /// Checks and counts a stored command.
    pub fn command(&mut self, command: &StoredAnswer) -> Result<()> {
        ensure!(
            command.first <= command.last && command.last <= self.last,
            "the command {:?} has events up to {}, the log ends at {}",
            command.command_id,
            command.last,
            self.last
        );
        self.of(command.tenant).commands += 1;
        Ok(())
    }

    /// Counts a claim, and notes which master key wrapped it if it holds a key.
    pub fn claim(&mut self, claim: &StoredClaim) {
        self.of(claim.tenant).claims += 1;
        self.master_keys.extend(claim.wrapped_by());
    }

    /// Checks and counts a decision about a dead letter.
    pub fn decision(&mut self, decision: &StoredDecision) -> Result<()> {
        let StoredDecision { tenant, consumer, position, .. } = decision;
        ensure!(
            *position <= self.last,
            "{consumer} has a decision about the event at {position}, the log ends at {}",
            self.last
        );
        self.of(*tenant).decisions += 1;
        Ok(())
    }

    /// Number of events of a tenant so far.
    pub fn events_of(&self, tenant: Uuid) -> u64 {
        self.tenants.get(&tenant).map_or(0, |holding| holding.tree.size())
    }

    fn of(&mut self, tenant: TenantId) -> &mut Holding {
        self.tenants.entry(tenant.uuid()).or_default()
    }

    /// The counts and the tree root of each tenant, by tenant id.
    pub fn tenants(&self) -> Vec<TenantPart> {
        let part = |(tenant_id, holding): (&Uuid, &Holding)| TenantPart {
            tenant_id: *tenant_id,
            events: holding.tree.size(),
            root: hex::encode(holding.tree.root()),
            commands: holding.commands,
            claims: holding.claims,
            decisions: holding.decisions,
            seals: holding.seals,
        };
        self.tenants.iter().map(part).collect()
    }

    /// The names of the master keys that wrap the tenants' keys.
    pub fn master_keys(&self) -> Vec<String> {
        self.master_keys.iter().cloned().collect()
    }

    /// The ids of the keys that signed the seals.
    pub fn seal_keys(&self) -> Vec<String> {
        self.seal_keys.iter().cloned().collect()
    }

    /// Checks that position, counts, roots and keys are those in the manifest.
    pub fn check(&self, log: &ServicePart) -> Result<()> {
        let service = &log.service;
        ensure!(
            self.last == log.position,
            "the log of {service} ends at {}, the manifest says {}",
            self.last,
            log.position
        );
        for copy in &log.copies {
            ensure!(
                copy.position <= self.last && self.tenants.contains_key(&copy.tenant_id),
                "the copy {} ends at {} in {service}, where it has nothing",
                copy.tenant_id,
                copy.position
            );
        }
        let wrapped_by = self.master_keys();
        ensure!(
            log.master_keys.as_ref().is_none_or(|said| *said == wrapped_by),
            "tenants' keys in the log of {service} are wrapped by {wrapped_by:?}, the manifest says {:?}",
            log.master_keys
        );
        let signed_by = self.seal_keys();
        ensure!(
            log.seal_keys.as_ref().is_none_or(|said| *said == signed_by),
            "seals in the log of {service} are signed by {signed_by:?}, the manifest says {:?}",
            log.seal_keys
        );
        let found = self.tenants();
        ensure!(
            found.len() == log.tenants.len(),
            "{} tenants are in the log of {service}, {} in the manifest",
            found.len(),
            log.tenants.len()
        );
        for (found, said) in found.iter().zip(&log.tenants) {
            ensure!(found == said, "tenant {} has {found:?} in {service}, the manifest says {said:?}", said.tenant_id);
        }
        Ok(())
    }
}

/// A description of a seal for error messages.
pub fn describe(seal: &Seal) -> String {
    format!("the seal of {} events of the tenant {} in {}", seal.size, seal.tenant, seal.service)
}
