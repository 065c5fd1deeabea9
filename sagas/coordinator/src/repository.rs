//! The repository of a service's saga instances. It hides the service's type parameter ([`Names`]) from the rest of the coordinator.

use std::marker::PhantomData;

use executor::{Command, Done, Executor, Request, Work, not_found};
use futures::future::BoxFuture;
use kernel::{Caller, Refusal};
use uuid::Uuid;

use crate::Names;
use crate::definition::FinalSteps;
use crate::facts::{Fact, Started};
use crate::instance::{Instance, InstanceCommand};
use crate::state::State;

/// The saga instances of a service, in its log.
pub trait Repository: Send + Sync + 'static {
    /// The aggregate type of instances.
    fn aggregate_type(&self) -> &'static str;

    /// The permission to view instances.
    fn read_permission(&self) -> &'static str;

    /// The permission to resume and cancel instances.
    fn write_permission(&self) -> &'static str;

    /// The executor through which all reads and writes go.
    fn executor(&self) -> &Executor;

    /// An instance's state, read from the log.
    fn load<'a>(&'a self, caller: &'a Caller, id: Uuid) -> BoxFuture<'a, Result<Option<State>, Refusal>>;

    /// Starts an instance; does nothing if it exists already.
    fn start<'a>(&'a self, request: &'a Request, id: Uuid, started: Started) -> BoxFuture<'a, Result<(), Refusal>>;

    /// Appends facts. Refused if the stream's version is not `version`.
    fn advance<'a>(
        &'a self,
        request: &'a Request,
        id: Uuid,
        version: u64,
        facts: Vec<Fact>,
    ) -> BoxFuture<'a, Result<(), Refusal>>;

    /// Makes the append of a step's command require that the instance's stream has this version.
    fn rely<'a>(&'a self, work: &'a mut Work<'_>, id: Uuid, version: u64) -> BoxFuture<'a, Result<(), Refusal>>;

    /// Resumes a stuck instance, for a person.
    fn resume<'a>(&'a self, request: &'a Request, id: Uuid) -> BoxFuture<'a, Result<Done<()>, Refusal>>;

    /// Cancels an instance, for a person. `final_steps`: those of its definition; `None` if the program does not have the definition.
    fn cancel<'a>(
        &'a self,
        request: &'a Request,
        id: Uuid,
        reason: String,
        final_steps: Option<FinalSteps>,
    ) -> BoxFuture<'a, Result<Done<()>, Refusal>>;
}

/// The implementation over a service's executor.
pub(crate) struct LogRepository<N> {
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

impl<N: Names> LogRepository<N> {
    pub(crate) fn new(executor: Executor) -> Self {
        Self { executor, names: PhantomData }
    }

    fn ask(&self, id: Uuid, command: InstanceCommand) -> Ask<N> {
        Ask { id, command, names: self.names }
    }
}

impl<N: Names> Repository for LogRepository<N> {
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

    fn rely<'a>(&'a self, work: &'a mut Work<'_>, id: Uuid, version: u64) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move {
            let found = work.rely::<Instance<N>>(id).await?;
            found.ok_or_else(|| not_found::<Instance<N>>(&id.to_string()))?.require(version)?;
            Ok(())
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
        final_steps: Option<FinalSteps>,
    ) -> BoxFuture<'a, Result<Done<()>, Refusal>> {
        let command = InstanceCommand::Cancel { reason, final_steps };
        Box::pin(async move { self.executor.execute(request, &self.ask(id, command)).await })
    }
}
