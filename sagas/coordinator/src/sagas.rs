//! The definitions of a service's sagas, and the identities with which they act.

use std::collections::BTreeSet;
use std::sync::Arc;

use executor::Executor;
use kernel::{AggregateType, Caller, Grant, Role, Service, TenantId};

use crate::Names;
use crate::definition::Definition;
use crate::instance::Instance;
use crate::repository::{LogRepository, Repository};

/// The sagas of one service. Each domain's crate builds one; the program passes it to the [`Coordinator`](crate::Coordinator).
#[derive(Clone)]
pub struct Sagas {
    service: Service,
    grants: &'static [Grant],
    definitions: Vec<Definition>,
    aggregate: AggregateType,
    open: fn(Executor) -> Arc<dyn Repository>,
}

impl Sagas {
    /// Sagas from these definitions. `grants` is the service's permission table: each saga gets those of its permissions that its
    /// definition names.
    pub fn of<N: Names>(grants: &'static [Grant], definitions: Vec<Definition>) -> Self {
        Self {
            service: N::SERVICE,
            grants,
            definitions,
            aggregate: AggregateType::of::<Instance<N>>(),
            open: |executor| Arc::new(LogRepository::<N>::new(executor)),
        }
    }

    /// The service to which the sagas belong.
    pub fn service(&self) -> Service {
        self.service
    }

    /// The aggregate type of saga instances.
    pub fn aggregate(&self) -> AggregateType {
        self.aggregate
    }

    /// All definitions, including old versions.
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// Checks that the service has a saga with this name.
    ///
    /// # Errors
    /// A sentence that lists the allowed names.
    pub fn check(&self, name: &str) -> Result<(), String> {
        let names: BTreeSet<_> = self.definitions.iter().map(Definition::name).collect();
        if names.contains(name) {
            return Ok(());
        }
        Err(format!("there are no sagas {name:?} here; allowed: {}", names.into_iter().collect::<Vec<_>>().join(", ")))
    }

    /// The repository of the service's instances, over its executor.
    pub fn repository(&self, executor: Executor) -> Arc<dyn Repository> {
        (self.open)(executor)
    }

    pub(crate) fn find(&self, saga: &str, version: u32) -> Option<&Definition> {
        self.definitions.iter().find(|definition| definition.name == saga && definition.version == version)
    }

    /// The newest version of each saga: the definitions on which new instances start.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Definition> {
        self.definitions
            .iter()
            .filter(|one| self.definitions.iter().all(|other| other.name != one.name || other.version <= one.version))
    }

    /// The caller as which a saga executes commands: it has the permissions that its definition names, and no others.
    pub(crate) fn caller(&self, tenant: TenantId, saga: &str, permissions: &[&str]) -> Caller {
        let grants: Vec<Grant> = self
            .grants
            .iter()
            .filter(|grant| permissions.contains(&grant.permission))
            .map(|grant| Grant { roles: &[Role::Admin], ..*grant })
            .collect();
        Caller::new(tenant, format!("saga:{saga}"), &[Role::Admin], &grants)
    }

    /// The caller as which the coordinator appends an instance's events.
    pub(crate) fn writer(tenant: TenantId, saga: &str, repository: &dyn Repository) -> Caller {
        let grant = Grant { permission: repository.write_permission(), roles: &[Role::Admin], meaning: "" };
        Caller::new(tenant, format!("saga:{saga}"), &[Role::Admin], &[grant])
    }
}
