//! The common bodies of REST operations (execute a command, read a resource) and their response types.

use std::fmt::Display;

use executor::{AskedJob, Command, Current, Request};
use jobs::NewJob;
use kernel::{Aggregate, Caller, Refusal};
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::{Changed, Created, Example, Problem, Resource, Runtime, Unstored, UnversionedCreated, example};

/// The resource that was created or changed.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Target {
    /// Its id.
    pub id: Uuid,
}

impl Example for Target {
    fn example() -> Self {
        Self { id: example::id(1) }
    }
}

/// The response to a command that changes a resource.
pub type ChangeResult<T = Target> = Result<Changed<T>, Problem>;

/// The response to a command that creates a resource.
pub type CreateResult<T = Target> = Result<Created<T>, Problem>;

/// The response to a request for a background job: its id, under which it is found among the service's jobs.
pub type EnqueueResult = Result<UnversionedCreated<Target>, Problem>;

/// The response with the current state of a resource.
pub type ReadResult<T> = Result<Resource<T>, Problem>;

/// As [`ReadResult`], of a resource whose version does not stand for all that is shown.
pub type UnstoredResult<T> = Result<Unstored<T>, Problem>;

/// Executes a command that changes the resource with this id.
pub async fn change<C: Command<Answer = ()>>(
    runtime: &Runtime,
    request: &Request,
    id: Uuid,
    command: C,
) -> ChangeResult {
    let done = runtime.executor.execute(request, &command).await?;
    Ok(Changed::new(runtime.service, done, |()| Target { id }))
}

/// Executes a command that erases a person. The command also submits a job of the kind `forgetting`, which removes the files that
/// contain the person's data.
///
/// # Errors
/// Those of the command.
pub async fn erase<C: Command<Answer = ()>>(
    runtime: &Runtime,
    request: &Request,
    id: Uuid,
    forgetting: &str,
    erase: impl FnOnce(AskedJob) -> C,
) -> Result<Changed<Target>, Refusal> {
    let (arguments, actor) = (json!({}), request.caller.subject().to_owned());
    let forget = NewJob { arguments, actor, run_at: None, unique: None };
    let forget = runtime.jobs.asked(forgetting, &forget)?;
    let done = runtime.executor.execute(request, &erase(forget)).await?;
    runtime.jobs.wake().await;
    Ok(Changed::new(runtime.service, done, |()| Target { id }))
}

/// Executes a command that creates a resource with the path `/v1/<service>/<collection>/<id>`.
pub async fn create<C: Command>(
    runtime: &Runtime,
    request: &Request,
    collection: &str,
    command: C,
    id: impl Fn(&C::Answer) -> Uuid,
) -> CreateResult {
    let done = runtime.executor.execute(request, &command).await?;
    let id = id(&done.answer);
    Ok(Changed::new(runtime.service, done, |_| Target { id })
        .created(format!("/v1/{}/{collection}/{id}", runtime.service)))
}

/// Reads the current state of a resource.
pub async fn find<A: Aggregate, T>(
    runtime: &Runtime,
    caller: &Caller,
    permission: &'static str,
    id: impl Display,
    show: impl FnOnce(&A) -> T,
) -> ReadResult<T> {
    find_current(runtime, caller, permission, id, |found: &Current<A>| show(&found.state)).await
}

/// Like [`find`]; `show` also gets the metadata of the state, such as when it last changed.
pub async fn find_current<A: Aggregate, T>(
    runtime: &Runtime,
    caller: &Caller,
    permission: &'static str,
    id: impl Display,
    show: impl FnOnce(&Current<A>) -> T,
) -> ReadResult<T> {
    caller.require(permission)?;
    let id = id.to_string();
    let Some(found) = runtime.executor.current::<A>(caller, &id).await? else {
        return Err(executor::not_found::<A>(&id).into());
    };
    Ok(Resource { body: show(&found), version: found.version })
}

/// A typed id from a path.
pub fn id<I: From<Uuid>>(path: &Path<Uuid>) -> I {
    I::from(path.0)
}
