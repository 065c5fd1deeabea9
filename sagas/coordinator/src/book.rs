//! The instances of a service in its log, without its type.

use std::marker::PhantomData;
use std::sync::Arc;

use executor::{Command, Done, Executor, Request, Work};
use futures::future::BoxFuture;
use kernel::{AggregateType, Caller, Grant, Refusal, Role, Service, TenantId};
use uuid::Uuid;

use crate::Names;
use crate::definition::Definition;
use crate::facts::{Fact, Started};
use crate::instance::{Instance, InstanceCommand};
use crate::state::State;

/// A service's sagas: what it plugs into the program.
#[derive(Clone)]
pub struct Sagas {
    service: Service,
    grants: &'static [Grant],
    definitions: Vec<Definition>,
    aggregate: AggregateType,
    open: fn(Executor) -> Arc<dyn Book>,
}

impl Sagas {
    /// Definitions of a service; `grants` is the permission table from which each saga gets the permissions that it names.
    pub fn of<N: Names>(grants: &'static [Grant], definitions: Vec<Definition>) -> Self {
        Self {
            service: N::SERVICE,
            grants,
            definitions,
            aggregate: AggregateType::of::<Instance<N>>(),
            open: |executor| Arc::new(Written::<N> { executor, names: PhantomData }),
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

    /// The instances in the log.
    pub fn book(&self, executor: Executor) -> Arc<dyn Book> {
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
    pub(crate) fn writer(tenant: TenantId, saga: &str, book: &dyn Book) -> Caller {
        let grant = Grant { permission: book.write_permission(), roles: &[Role::Admin], meaning: "" };
        Caller::new(tenant, format!("saga:{saga}"), &[Role::Admin], &[grant])
    }
}

/// A service's instances in its log.
pub trait Book: Send + Sync + 'static {
    /// The aggregate type of instances.
    fn aggregate_type(&self) -> &'static str;

    /// The permission to see them.
    fn read_permission(&self) -> &'static str;

    /// The permission to resume and cancel them.
    fn write_permission(&self) -> &'static str;

    /// The executor that all goes through.
    fn executor(&self) -> &Executor;

    /// An instance's state, from the log.
    fn load<'a>(&'a self, caller: &'a Caller, id: Uuid) -> BoxFuture<'a, Result<Option<State>, Refusal>>;

    /// Begins an instance; nothing happens when it began before.
    fn start<'a>(&'a self, request: &'a Request, id: Uuid, started: Started) -> BoxFuture<'a, Result<(), Refusal>>;

    /// Notes facts, on the state of this version.
    fn advance<'a>(
        &'a self,
        request: &'a Request,
        id: Uuid,
        version: u64,
        facts: Vec<Fact>,
    ) -> BoxFuture<'a, Result<(), Refusal>>;

    /// A person lets a stuck instance go on.
    fn resume<'a>(&'a self, request: &'a Request, id: Uuid) -> BoxFuture<'a, Result<Done<()>, Refusal>>;

    /// A person wants an instance taken back.
    fn cancel<'a>(&'a self, request: &'a Request, id: Uuid, reason: String)
    -> BoxFuture<'a, Result<Done<()>, Refusal>>;
}

struct Written<N> {
    executor: Executor,
    names: PhantomData<N>,
}

struct Begin<N> {
    id: Uuid,
    started: Started,
    names: PhantomData<N>,
}

struct Ask<N> {
    id: Uuid,
    command: InstanceCommand,
    names: PhantomData<N>,
}

impl<N: Names> Command for Begin<N> {
    const PERMISSION: &'static str = N::WRITE;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.create::<Instance<N>>(self.id, InstanceCommand::Start(self.started.clone()))
    }
}

impl<N: Names> Command for Ask<N> {
    const PERMISSION: &'static str = N::WRITE;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Instance<N>>(self.id, self.command.clone()).await
    }
}

impl<N: Names> Written<N> {
    fn ask(&self, id: Uuid, command: InstanceCommand) -> Ask<N> {
        Ask { id, command, names: self.names }
    }
}

impl<N: Names> Book for Written<N> {
    fn aggregate_type(&self) -> &'static str {
        N::TYPE
    }

    fn read_permission(&self) -> &'static str {
        N::READ
    }

    fn write_permission(&self) -> &'static str {
        N::WRITE
    }

    fn executor(&self) -> &Executor {
        &self.executor
    }

    fn load<'a>(&'a self, caller: &'a Caller, id: Uuid) -> BoxFuture<'a, Result<Option<State>, Refusal>> {
        Box::pin(async move {
            let found = self.executor.load::<Instance<N>>(caller, &id.to_string()).await?;
            Ok(found.map(|(instance, _)| instance.state.clone()))
        })
    }

    fn start<'a>(&'a self, request: &'a Request, id: Uuid, started: Started) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move {
            let begin = Begin::<N> { id, started, names: self.names };
            match self.executor.execute_part(request, 0, &begin).await {
                Err(refusal) if refusal.code() != "already_exists" => Err(refusal),
                _ => Ok(()),
            }
        })
    }

    fn advance<'a>(
        &'a self,
        request: &'a Request,
        id: Uuid,
        version: u64,
        facts: Vec<Fact>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move {
            self.executor.execute(request, &self.ask(id, InstanceCommand::Advance { version, facts })).await.map(drop)
        })
    }

    fn resume<'a>(&'a self, request: &'a Request, id: Uuid) -> BoxFuture<'a, Result<Done<()>, Refusal>> {
        Box::pin(async move { self.executor.execute(request, &self.ask(id, InstanceCommand::Resume)).await })
    }

    fn cancel<'a>(
        &'a self,
        request: &'a Request,
        id: Uuid,
        reason: String,
    ) -> BoxFuture<'a, Result<Done<()>, Refusal>> {
        Box::pin(async move { self.executor.execute(request, &self.ask(id, InstanceCommand::Cancel { reason })).await })
    }
}
