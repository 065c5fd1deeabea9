//! Group: users who get roles together. Memberships are in the users' own streams.

use std::collections::BTreeSet;

use kernel::{Aggregate, Refusal};
use serde::{Deserialize, Serialize};

kernel::events! {
    /// Events of a group.
    pub enum GroupEvent of "user.group" {
        /// The group was created.
        GroupCreated = "user.group.created" @ 1 {
            pub name: String,
            /// Roles that members of the group get in addition to their own.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub roles: Vec<String>,
        },
        /// The group was renamed.
        GroupRenamed = "user.group.renamed" @ 1 { pub name: String },
        /// The id of the group at its identity provider was changed or removed.
        GroupExternalIdChanged = "user.group.external_id_changed" @ 1 {
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub external_id: Option<String>,
        },
        /// The members of the group got a role.
        GroupRoleGranted = "user.group.role_granted" @ 1 { pub role: String },
        /// The members of the group lost a role.
        GroupRoleRevoked = "user.group.role_revoked" @ 1 { pub role: String },
        /// The group was dissolved: it grants no roles any more, and nobody can join it.
        GroupDissolved = "user.group.dissolved" @ 1 {},
    }
}

/// Maximum roles of a group.
pub const MOST_GROUP_ROLES: usize = 50;

/// A group, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub name: String,
    /// Id of the group at an identity provider. It need not be unique: the provider assigns it.
    pub external_id: Option<String>,
    pub roles: BTreeSet<String>,
    pub dissolved: bool,
}

/// Commands for a group. The form of their values has been checked.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupCommand {
    Create(GroupCreated),
    Rename { name: String },
    ChangeExternalId { external_id: Option<String> },
    GrantRole { role: String },
    RevokeRole { role: String },
    Dissolve,
}

/// Why a group refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The group was dissolved.
    #[error("the group is dissolved")]
    Dissolved,
    /// The group has too many roles.
    #[error("a group has at most {MOST_GROUP_ROLES} roles")]
    TooManyRoles,
}

impl From<GroupError> for Refusal {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::Dissolved => Self::conflict("group_dissolved", error.to_string()),
            GroupError::TooManyRoles => Self::conflict("too_many_roles", error.to_string()),
        }
    }
}

impl Aggregate for Group {
    const TYPE: &'static str = "user.group";
    const FORM: u32 = 2;
    type Command = GroupCommand;
    type Event = GroupEvent;
    type Error = GroupError;

    fn decide(&self, command: GroupCommand) -> Result<Vec<GroupEvent>, GroupError> {
        Ok(match command {
            GroupCommand::Create(created) => vec![created.into()],
            GroupCommand::Dissolve if self.dissolved => vec![],
            _ if self.dissolved => return Err(GroupError::Dissolved),
            GroupCommand::Rename { name } if name == self.name => vec![],
            GroupCommand::Rename { name } => vec![GroupRenamed { name }.into()],
            GroupCommand::ChangeExternalId { external_id } if external_id == self.external_id => vec![],
            GroupCommand::ChangeExternalId { external_id } => vec![GroupExternalIdChanged { external_id }.into()],
            GroupCommand::GrantRole { role } if self.roles.contains(&role) => vec![],
            GroupCommand::GrantRole { .. } if self.roles.len() >= MOST_GROUP_ROLES => {
                return Err(GroupError::TooManyRoles);
            }
            GroupCommand::GrantRole { role } => vec![GroupRoleGranted { role }.into()],
            GroupCommand::RevokeRole { role } if !self.roles.contains(&role) => vec![],
            GroupCommand::RevokeRole { role } => vec![GroupRoleRevoked { role }.into()],
            GroupCommand::Dissolve => vec![GroupDissolved {}.into()],
        })
    }

    fn evolve(&mut self, event: GroupEvent) {
        match event {
            GroupEvent::GroupCreated(e) => {
                self.name = e.name;
                self.roles = e.roles.into_iter().collect();
            }
            GroupEvent::GroupRenamed(e) => self.name = e.name,
            GroupEvent::GroupExternalIdChanged(e) => self.external_id = e.external_id,
            GroupEvent::GroupRoleGranted(e) => _ = self.roles.insert(e.role),
            GroupEvent::GroupRoleRevoked(e) => _ = self.roles.remove(&e.role),
            GroupEvent::GroupDissolved(_) => self.dissolved = true,
        }
    }
}

kernel::aggregate!(Group);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    #[test]
    fn a_dissolved_group_gives_nothing_any_more() {
        let created = || GroupCreated { name: "Sales".to_owned(), roles: vec!["member".to_owned()] }.into();
        let given = |events| TestFramework::<Group>::with(()).given(events);
        let grant = |role: &str| GroupCommand::GrantRole { role: role.to_owned() };
        given(vec![created()]).when(grant("member")).then_expect_events(vec![]);
        given(vec![created()])
            .when(grant("auditor"))
            .then_expect_events(vec![GroupRoleGranted { role: "auditor".to_owned() }.into()]);
        let dissolved = || vec![created(), GroupDissolved {}.into()];
        given(dissolved()).when(GroupCommand::Dissolve).then_expect_events(vec![]);
        given(dissolved()).when(grant("auditor")).then_expect_error(GroupError::Dissolved);
    }

    #[test]
    fn a_provider_knows_a_group_by_one_id_or_by_none() {
        let known = |id: Option<&str>| GroupExternalIdChanged { external_id: id.map(str::to_owned) }.into();
        let given = |mut later: Vec<GroupEvent>| {
            later.insert(0, GroupCreated { name: "Sales".to_owned(), roles: vec![] }.into());
            TestFramework::<Group>::with(()).given(later)
        };
        let by = |id: Option<&str>| GroupCommand::ChangeExternalId { external_id: id.map(str::to_owned) };
        given(vec![]).when(by(None)).then_expect_events(vec![]);
        given(vec![]).when(by(Some("7"))).then_expect_events(vec![known(Some("7"))]);
        given(vec![known(Some("7"))]).when(by(Some("7"))).then_expect_events(vec![]);
        given(vec![known(Some("7"))]).when(by(None)).then_expect_events(vec![known(None)]);
        given(vec![GroupDissolved {}.into()]).when(by(Some("7"))).then_expect_error(GroupError::Dissolved);
    }
}
