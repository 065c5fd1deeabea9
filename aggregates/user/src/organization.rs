//! Organization: a part of a tenant, such as a subsidiary or a department. Memberships are in the users' own streams.

use kernel::{Aggregate, Refusal};
use serde::{Deserialize, Serialize};

use crate::OrganizationId;

kernel::events! {
    /// Events of an organization.
    pub enum OrganizationEvent of "user.organization" {
        /// The organization was created.
        OrganizationCreated = "user.organization.created" @ 1 {
            pub name: String,
            /// Parent organization.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub parent: Option<OrganizationId>,
        },
        /// The organization was renamed.
        OrganizationRenamed = "user.organization.renamed" @ 1 { pub name: String },
        /// The organization was closed; nobody can join it any more.
        OrganizationClosed = "user.organization.closed" @ 1 {},
    }
}

/// An organization, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Organization {
    pub name: String,
    pub parent: Option<OrganizationId>,
    pub closed: bool,
}

/// Commands for an organization. The form of their values has been checked.
#[derive(Clone, Debug, PartialEq)]
pub enum OrganizationCommand {
    Create(OrganizationCreated),
    Rename { name: String },
    Close,
}

/// Why an organization refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrganizationError {
    /// The organization was closed.
    #[error("the organization is closed")]
    Closed,
}

impl From<OrganizationError> for Refusal {
    fn from(error: OrganizationError) -> Self {
        Self::conflict("organization_closed", error.to_string())
    }
}

impl Aggregate for Organization {
    const TYPE: &'static str = "user.organization";
    type Command = OrganizationCommand;
    type Event = OrganizationEvent;
    type Error = OrganizationError;

    fn decide(&self, command: OrganizationCommand) -> Result<Vec<OrganizationEvent>, OrganizationError> {
        Ok(match command {
            OrganizationCommand::Create(created) => vec![created.into()],
            OrganizationCommand::Close if self.closed => vec![],
            _ if self.closed => return Err(OrganizationError::Closed),
            OrganizationCommand::Rename { name } if name == self.name => vec![],
            OrganizationCommand::Rename { name } => vec![OrganizationRenamed { name }.into()],
            OrganizationCommand::Close => vec![OrganizationClosed {}.into()],
        })
    }

    fn evolve(&mut self, event: OrganizationEvent) {
        match event {
            OrganizationEvent::OrganizationCreated(e) => (self.name, self.parent) = (e.name, e.parent),
            OrganizationEvent::OrganizationRenamed(e) => self.name = e.name,
            OrganizationEvent::OrganizationClosed(_) => self.closed = true,
        }
    }
}

kernel::aggregate!(Organization);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    #[test]
    fn a_closed_organization_changes_no_more() {
        let created = || OrganizationCreated { name: "North".to_owned(), parent: None }.into();
        let given = |events| TestFramework::<Organization>::with(()).given(events);
        let rename = |name: &str| OrganizationCommand::Rename { name: name.to_owned() };
        given(vec![created()]).when(rename("North")).then_expect_events(vec![]);
        given(vec![created(), OrganizationClosed {}.into()])
            .when(rename("South"))
            .then_expect_error(OrganizationError::Closed);
    }
}
