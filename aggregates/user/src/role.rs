//! Role: a set of permissions that a tenant defines under a name of its own. (The built-in ones are `kernel::Role`.)

use std::collections::BTreeSet;

use kernel::{Aggregate, Refusal, TenantId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::RoleId;

kernel::events! {
    /// Events of a role.
    pub enum RoleEvent of "user.role" {
        /// The role was defined.
        RoleDefined = "user.role.defined" @ 1 {
            /// Name in tokens and events; it never changes.
            pub name: String,
            /// Display name.
            pub title: String,
            /// Permissions of the role itself: `service:resource:action`.
            pub permissions: Vec<String>,
            /// Roles, built-in or defined by the tenant, whose permissions are included.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub includes: Vec<String>,
        },
        /// The definition of the role was changed; this is the complete definition.
        RoleChanged = "user.role.changed" @ 1 {
            pub title: String,
            pub permissions: Vec<String>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub includes: Vec<String>,
        },
        /// The role was retired: it grants nothing any more to those who have it, and can't be granted. Its name stays taken.
        RoleRetired = "user.role.retired" @ 1 {},
    }
}

impl RoleId {
    /// The id of the role with this name. It is derived from the name, so that a tenant has one role of each name.
    pub fn of(tenant: TenantId, name: &str) -> Self {
        Self::new(Uuid::new_v5(&tenant.uuid(), format!("user.role {name}").as_bytes()))
    }
}

/// A role, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Role {
    pub name: String,
    pub title: String,
    pub permissions: BTreeSet<String>,
    pub includes: BTreeSet<String>,
    pub retired: bool,
}

/// Commands for a role. The form of their values has been checked, and that permissions and included roles exist.
#[derive(Clone, Debug, PartialEq)]
pub enum RoleCommand {
    Define(RoleDefined),
    Change(RoleChanged),
    Retire,
}

/// Why a role refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The role was retired.
    #[error("the role {name} is retired; define a new one with another name")]
    Retired { name: String },
}

impl From<RoleError> for Refusal {
    fn from(error: RoleError) -> Self {
        Self::conflict("role_retired", error.to_string())
    }
}

impl Aggregate for Role {
    const TYPE: &'static str = "user.role";
    type Command = RoleCommand;
    type Event = RoleEvent;
    type Error = RoleError;

    fn decide(&self, command: RoleCommand) -> Result<Vec<RoleEvent>, RoleError> {
        Ok(match command {
            RoleCommand::Define(defined) => vec![defined.into()],
            RoleCommand::Retire if self.retired => vec![],
            RoleCommand::Change(_) if self.retired => return Err(RoleError::Retired { name: self.name.clone() }),
            RoleCommand::Change(RoleChanged { title, permissions, includes })
                if title == self.title
                    && self.permissions.iter().eq(&permissions)
                    && self.includes.iter().eq(&includes) =>
            {
                vec![]
            }
            RoleCommand::Change(changed) => vec![changed.into()],
            RoleCommand::Retire => vec![RoleRetired {}.into()],
        })
    }

    fn evolve(&mut self, event: RoleEvent) {
        match event {
            RoleEvent::RoleDefined(e) => {
                (self.name, self.title) = (e.name, e.title);
                self.permissions = e.permissions.into_iter().collect();
                self.includes = e.includes.into_iter().collect();
            }
            RoleEvent::RoleChanged(e) => {
                self.title = e.title;
                self.permissions = e.permissions.into_iter().collect();
                self.includes = e.includes.into_iter().collect();
            }
            RoleEvent::RoleRetired(_) => self.retired = true,
        }
    }
}

kernel::aggregate!(Role);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    fn changed(permissions: &[&str]) -> RoleChanged {
        let permissions = permissions.iter().map(|permission| (*permission).to_owned()).collect();
        RoleChanged { title: "Sales".to_owned(), permissions, includes: vec![] }
    }

    fn defined() -> RoleEvent {
        let RoleChanged { title, permissions, includes } = changed(&["crm:lead:read", "crm:lead:write"]);
        RoleDefined { name: "sales".to_owned(), title, permissions, includes }.into()
    }

    #[test]
    fn a_role_changes_until_it_is_retired() {
        let given = |events| TestFramework::<Role>::with(()).given(events);
        let less = || changed(&["crm:lead:read"]);
        given(vec![defined()]).when(RoleCommand::Change(less())).then_expect_events(vec![less().into()]);
        given(vec![defined()])
            .when(RoleCommand::Change(changed(&["crm:lead:read", "crm:lead:write"])))
            .then_expect_events(vec![]);
        given(vec![defined()]).when(RoleCommand::Retire).then_expect_events(vec![RoleRetired {}.into()]);
        let retired = || vec![defined(), RoleRetired {}.into()];
        given(retired()).when(RoleCommand::Retire).then_expect_events(vec![]);
        given(retired())
            .when(RoleCommand::Change(less()))
            .then_expect_error(RoleError::Retired { name: "sales".to_owned() });
    }
}
