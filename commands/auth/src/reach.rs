//! On what a caller may act: nobody gives, takes or gets hold of more power than they have themselves.
//!
//! A command looks here at what it acts on in its own attempt, so that the append requires what was looked at: what became an
//! administrator's meanwhile is refused, too. What roles and people may do is in the user service's log, which no append here can require;
//! it is asked each time that the command runs.

use std::fmt;
use std::sync::Arc;

use auth_aggregates::Machine;
use executor::{Permissions, Work};
use kernel::{Caller, FieldError, MachineId, Refusal, Role, UserId};
use uuid::Uuid;

/// How far a command reaches. What is out of reach is refused with `exceeds_own_permissions`.
#[derive(Clone)]
pub enum Reach {
    /// Everything: for what the installation does by itself, or its operator.
    Everything,
    /// What may do no more than who asks, by what roles and people may do.
    Own(Arc<dyn Permissions>),
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everything => "Everything",
            Self::Own(_) => "Own",
        })
    }
}

impl Reach {
    /// Refuses to give these roles, if there is no such role, or if they allow more than the caller may.
    pub(crate) async fn to_give(&self, caller: &Caller, roles: &[String]) -> Result<(), Refusal> {
        let Self::Own(permissions) = self else { return Ok(()) };
        let mut unknown = Vec::new();
        for (place, name) in roles.iter().enumerate() {
            if !permissions.is_role(caller.tenant(), name).await? {
                let detail = format!("there is no role {name:?}");
                unknown.push(FieldError { pointer: format!("/roles/{place}"), code: "not_found", detail });
            }
        }
        if !unknown.is_empty() {
            return Err(Refusal::references(unknown));
        }
        self.over_roles(caller, roles).await
    }

    /// Refuses to hold power over what gives these roles, if they allow more than the caller may.
    pub(crate) async fn over_roles(&self, caller: &Caller, roles: &[String]) -> Result<(), Refusal> {
        let Self::Own(permissions) = self else { return Ok(()) };
        caller.reaches(permissions.of_roles(caller.tenant(), roles).await?)
    }

    /// Refuses to get hold of a machine that may do more than the caller (to give it something by which whoever has that is it), or to take
    /// something from it. `scopes`: of what it may, only that; empty: all. One that there is not, the command speaks of.
    pub(crate) async fn over_machine(
        &self,
        work: &mut Work<'_>,
        machine: MachineId,
        scopes: &[String],
    ) -> Result<(), Refusal> {
        let Self::Own(permissions) = self else { return Ok(()) };
        let Some(machine) = work.rely::<Machine>(machine).await? else { return Ok(()) };
        let caller = work.caller();
        let mut allowed = permissions.of_roles(caller.tenant(), &machine.roles).await?;
        if !scopes.is_empty() {
            allowed.retain(|permission| scopes.iter().any(|scope| kernel::covers(scope, permission)));
        }
        caller.reaches(allowed)
    }

    /// Refuses to act on a user who may do more than the caller.
    pub(crate) async fn over_user(&self, caller: &Caller, user: UserId) -> Result<(), Refusal> {
        let Self::Own(permissions) = self else { return Ok(()) };
        caller.reaches(permissions.of_user(caller.tenant(), user).await?)
    }

    /// Refuses to act on a subject of tokens who may do more than the caller: a user, or a machine.
    pub(crate) async fn over_subject(&self, work: &mut Work<'_>, subject: Uuid) -> Result<(), Refusal> {
        self.over_user(work.caller(), UserId::new(subject)).await?;
        self.over_machine(work, MachineId::new(subject), &[]).await
    }

    /// Refuses to get hold of what may act for anybody, unless the caller may all that administrators may: these are among them.
    pub(crate) async fn over_anybody(&self, caller: &Caller) -> Result<(), Refusal> {
        self.over_roles(caller, &[Role::Admin.to_string()]).await
    }
}
