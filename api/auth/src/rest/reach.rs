//! On what a caller may act: nobody gives, or gets hold of, more power than they have themselves. What roles allow the user service knows
//! ([`face::Permissions`]); it is asked before the command, which then needs its permission besides.

use auth_aggregates::Machine;
use face::Runtime;
use kernel::{Caller, FieldError, MachineId, Refusal, Role, UserId};
use uuid::Uuid;

/// So many roles are looked for; more are refused by the command.
const MOST: usize = 50;

/// Refuses to give these roles, if there is no such role, or if they allow more than the caller may.
pub async fn over_roles(runtime: &Runtime, caller: &Caller, roles: &[String]) -> Result<(), Refusal> {
    let mut unknown = Vec::new();
    // What is no name of a role at all, the command says.
    for (place, name) in roles.iter().enumerate().take(MOST).filter(|(_, name)| Role::is_name(name)) {
        if !runtime.permissions.is_role(caller.tenant(), name).await? {
            let detail = format!("there is no role {name:?}");
            unknown.push(FieldError { pointer: format!("/roles/{place}"), code: "not_found", detail });
        }
    }
    if !unknown.is_empty() {
        return Err(Refusal::references(unknown));
    }
    over_given(runtime, caller, roles).await
}

/// Refuses to hold power over what gives these roles, if they allow more than the caller may.
pub async fn over_given(runtime: &Runtime, caller: &Caller, roles: &[String]) -> Result<(), Refusal> {
    caller.reaches(runtime.permissions.of_roles(caller.tenant(), roles).await?)
}

/// Refuses to get hold of a machine that may do more than the caller (to give it something by which whoever has that is it), or to take
/// something from it. `scopes`: of what it may, only that; empty: all.
pub async fn over_machine(
    runtime: &Runtime,
    caller: &Caller,
    machine: MachineId,
    scopes: &[String],
) -> Result<(), Refusal> {
    // One that there is not, the command speaks of.
    let Some((machine, _)) = runtime.executor.load::<Machine>(caller, &machine.to_string()).await? else {
        return Ok(());
    };
    let mut allowed = runtime.permissions.of_roles(caller.tenant(), &machine.roles).await?;
    if !scopes.is_empty() {
        let covered = |permission: &str| {
            let grant = runtime.grants.iter().find(|grant| grant.permission == permission);
            grant.is_some_and(|grant| scopes.iter().any(|scope| grant.is_covered_by(scope)))
        };
        allowed.retain(|permission| covered(permission));
    }
    caller.reaches(allowed)
}

/// Refuses to act on a user who may do more than the caller.
pub async fn over_user(runtime: &Runtime, caller: &Caller, user: UserId) -> Result<(), Refusal> {
    caller.reaches(runtime.permissions.of_user(caller.tenant(), user).await?)
}

/// Refuses to act on a subject of tokens who may do more than the caller: a user, or a machine.
pub async fn over_subject(runtime: &Runtime, caller: &Caller, subject: Uuid) -> Result<(), Refusal> {
    over_user(runtime, caller, UserId::new(subject)).await?;
    over_machine(runtime, caller, MachineId::new(subject), &[]).await
}

/// Refuses to get hold of what may act for anybody, unless the caller may all that administrators may: these are among them.
pub async fn over_anybody(runtime: &Runtime, caller: &Caller) -> Result<(), Refusal> {
    over_given(runtime, caller, &[Role::Admin.to_string()]).await
}
