//! What REST operations do: carry a command out, read a thing; and what they answer, besides version and position.

use std::fmt::Display;

use executor::{AskedJob, Command, Current, Request};
use jobs::NewJob;
use kernel::{Aggregate, Caller, Refusal};
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::{Changed, Created, Example, NotedNew, Problem, Resource, Runtime, example};

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

/// A command was carried out.
pub type Done<T = Target> = Result<Changed<T>, Problem>;

/// A command made something.
pub type Made<T = Target> = Result<Created<T>, Problem>;

/// A job was asked for, to be found among its service's jobs.
pub type Asked = Result<NotedNew<Target>, Problem>;

/// A thing as it is now.
pub type Found<T> = Result<Resource<T>, Problem>;

/// Carries out a command that changes the thing with this id.
pub async fn change<C: Command<Answer = ()>>(runtime: &Runtime, request: &Request, id: Uuid, command: C) -> Done {
    let done = runtime.executor.execute(request, &command).await?;
    Ok(Changed::new(runtime.service, done, |()| Target { id }))
}

/// Carries out a command that erases somebody, and with it asks for the job of this kind that removes the files in which they are.
///
/// # Errors
/// What the command is refused with.
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

/// Carries out a command that makes a thing, to be found under `/v1/<service>/<collection>/<id>`.
pub async fn create<C: Command>(
    runtime: &Runtime,
    request: &Request,
    collection: &str,
    command: C,
    id: impl Fn(&C::Answer) -> Uuid,
) -> Made {
    let done = runtime.executor.execute(request, &command).await?;
    let id = id(&done.answer);
    Ok(Changed::new(runtime.service, done, |_| Target { id })
        .created(format!("/v1/{}/{collection}/{id}", runtime.service)))
}

/// Reads a thing as it is now.
pub async fn find<A: Aggregate, T>(
    runtime: &Runtime,
    caller: &Caller,
    permission: &'static str,
    id: impl Display,
    show: impl FnOnce(&A) -> T,
) -> Found<T> {
    find_current(runtime, caller, permission, id, |found: &Current<A>| show(&found.state)).await
}

/// The same, for what also shows when it last changed.
pub async fn find_current<A: Aggregate, T>(
    runtime: &Runtime,
    caller: &Caller,
    permission: &'static str,
    id: impl Display,
    show: impl FnOnce(&Current<A>) -> T,
) -> Found<T> {
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
