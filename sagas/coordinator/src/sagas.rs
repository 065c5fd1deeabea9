//! A service's sagas, as it plugs them into the program.

use std::collections::BTreeSet;
use std::sync::Arc;

use executor::Executor;
use kernel::{AggregateType, Caller, Grant, Role, Service, TenantId};

use crate::Names;
use crate::definition::Definition;
use crate::instance::Instance;
use crate::repository::{LogRepository, Repository};

/// A service's sagas: what it plugs into the program.
#[derive(Clone)]
pub struct Sagas {
    service: Service,
    grants: &'static [Grant],
    definitions: Vec<Definition>,
    aggregate: AggregateType,
    open: fn(Executor) -> Arc<dyn Repository>,
}

impl Sagas {
    /// Definitions of a service; `grants` is the permission table from which each saga gets the permissions that it names.
    pub fn of<N: Names>(grants: &'static [Grant], definitions: Vec<Definition>) -> Self {
        Self {
            service: N::SERVICE,
            grants,
            definitions,
            aggregate: AggregateType::of::<Instance<N>>(),
            open: |executor| Arc::new(LogRepository::<N>::new(executor)),
        }
    }

    /// Whose they are.
    pub fn service(&self) -> Service {
        self.service
    }

    /// The aggregate of instances, for the lists of those.
    pub fn aggregate(&self) -> AggregateType {
        self.aggregate
    }

    /// All definitions, old versions too.
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// That there are sagas of this name here. An error says which there are.
    pub fn check(&self, name: &str) -> Result<(), String> {
        let names: BTreeSet<_> = self.definitions.iter().map(Definition::name).collect();
        if names.contains(name) {
            return Ok(());
        }
        Err(format!("there are no sagas {name:?} here; allowed: {}", names.into_iter().collect::<Vec<_>>().join(", ")))
    }

    /// The instances in the log.
    pub fn repository(&self, executor: Executor) -> Arc<dyn Repository> {
        (self.open)(executor)
    }

    pub(crate) fn find(&self, saga: &str, version: u32) -> Option<&Definition> {
        self.definitions.iter().find(|definition| definition.name == saga && definition.version == version)
    }

    /// Those on which new instances begin.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Definition> {
        self.definitions
            .iter()
            .filter(|one| self.definitions.iter().all(|other| other.name != one.name || other.version <= one.version))
    }

    /// As whom a saga acts: with the permissions that its definition names, and no others.
    pub(crate) fn caller(&self, tenant: TenantId, saga: &str, permissions: &[&str]) -> Caller {
        let grants: Vec<Grant> = self
            .grants
            .iter()
            .filter(|grant| permissions.contains(&grant.permission))
            .map(|grant| Grant { roles: &[Role::Admin], ..*grant })
            .collect();
        Caller::new(tenant, format!("saga:{saga}"), &[Role::Admin], &grants)
    }

    /// As whom the coordinator writes an instance's state.
    pub(crate) fn writer(tenant: TenantId, saga: &str, repository: &dyn Repository) -> Caller {
        let grant = Grant { permission: repository.write_permission(), roles: &[Role::Admin], meaning: "" };
        Caller::new(tenant, format!("saga:{saga}"), &[Role::Admin], &[grant])
    }
}
