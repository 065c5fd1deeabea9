//! What must be true of a log, whether it is read from a database or from a backup.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use deadletters::backup::StoredDecision;
use eventstore::backup::{StoredAnswer, StoredClaim, StoredEvent};
use kernel::{Leaf, Position, TenantId, Tree};
use uuid::Uuid;

use super::manifest::{ServicePart, TenantPart};

/// Follows the rows of one log: positions are dense, a tenant's times do not go back, each event's bytes give the hash that its writer
/// noted; and counts what each tenant has, and by what their keys are wrapped.
#[derive(Debug, Default)]
pub struct Ledger {
    last: Position,
    tenants: BTreeMap<Uuid, Holding>,
    master_keys: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Holding {
    tree: Tree,
    recorded_at: Option<DateTime<Utc>>,
    commands: u64,
    claims: u64,
    decisions: u64,
}

impl Ledger {
    /// The next event.
    pub fn event(&mut self, StoredEvent { event, leaf_hash }: &StoredEvent) -> Result<()> {
        let position = event.position;
        ensure!(position == self.last.next(), "after the event at {} comes the one at {position}", self.last);
        ensure!(
            Leaf::from(event).hash() == *leaf_hash,
            "the event at position {position} is not the one that was written: its bytes do not give its leaf hash {}",
            hex::encode(leaf_hash)
        );
        self.last = position;
        // A tenant that came from another cell brought its times along.
        let holding = self.of(event.tenant);
        ensure!(
            holding.recorded_at.is_none_or(|last| last <= event.recorded_at),
            "at {position} the tenant's time goes back"
        );
        holding.recorded_at = Some(event.recorded_at);
        holding.tree.push(*leaf_hash);
        Ok(())
    }

    /// A command.
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

    /// A claim.
    pub fn claim(&mut self, claim: &StoredClaim) {
        self.of(claim.tenant).claims += 1;
        self.master_keys.extend(claim.wrapped_by());
    }

    /// A decision about a dead letter.
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

    fn of(&mut self, tenant: TenantId) -> &mut Holding {
        self.tenants.entry(tenant.uuid()).or_default()
    }

    /// What each tenant has.
    pub fn tenants(&self) -> Vec<TenantPart> {
        let part = |(tenant_id, holding): (&Uuid, &Holding)| TenantPart {
            tenant_id: *tenant_id,
            events: holding.tree.size(),
            root: hex::encode(holding.tree.root()),
            commands: holding.commands,
            claims: holding.claims,
            decisions: holding.decisions,
        };
        self.tenants.iter().map(part).collect()
    }

    /// The names of the master keys that wrapped tenants' keys.
    pub fn master_keys(&self) -> Vec<String> {
        self.master_keys.iter().cloned().collect()
    }

    /// That the rows are those of which the manifest speaks.
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
