//! Owners: the administrators of a tenant who may sign in. There is always one.
//!
//! The rule concerns all users of a tenant, so a single user's aggregate can't enforce it. Therefore every change of a user's ownership
//! also changes this aggregate in the same append. If two concurrent commands each remove one of the last two owners, the second one gets a
//! version conflict, is decided again, and refused.

use std::collections::BTreeSet;

use kernel::{Aggregate, Refusal, UserId};
use serde::{Deserialize, Serialize};

kernel::events! {
    /// Events of the owners of a tenant.
    pub enum OwnersEvent of "user.owners" {
        /// A user became an owner of the tenant.
        OwnerAdded = "user.owners.added" @ 1 { pub user: UserId },
        /// A user is no longer an owner of the tenant.
        OwnerRemoved = "user.owners.removed" @ 1 { pub user: UserId },
    }
}

/// The owners of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Owners {
    pub users: BTreeSet<UserId>,
}

/// Commands for the owners of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnersCommand {
    Add { user: UserId },
    Remove { user: UserId },
}

/// Why the owners of a tenant refuse a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnersError {
    /// The tenant would have no owner left.
    #[error(
        "this is the tenant's last owner (a user with the role admin who may sign in): make another user an owner first"
    )]
    Last,
}

impl From<OwnersError> for Refusal {
    fn from(error: OwnersError) -> Self {
        Self::conflict("last_owner", error.to_string())
    }
}

impl Aggregate for Owners {
    const TYPE: &'static str = "user.owners";
    type Command = OwnersCommand;
    type Event = OwnersEvent;
    type Error = OwnersError;

    fn decide(&self, command: OwnersCommand) -> Result<Vec<OwnersEvent>, OwnersError> {
        Ok(match command {
            OwnersCommand::Add { user } if self.users.contains(&user) => vec![],
            OwnersCommand::Add { user } => vec![OwnerAdded { user }.into()],
            OwnersCommand::Remove { user } if !self.users.contains(&user) => vec![],
            OwnersCommand::Remove { .. } if self.users.len() == 1 => return Err(OwnersError::Last),
            OwnersCommand::Remove { user } => vec![OwnerRemoved { user }.into()],
        })
    }

    fn evolve(&mut self, event: OwnersEvent) {
        match event {
            OwnersEvent::OwnerAdded(e) => _ = self.users.insert(e.user),
            OwnersEvent::OwnerRemoved(e) => _ = self.users.remove(&e.user),
        }
    }
}

kernel::aggregate!(Owners);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;
    use uuid::Uuid;

    use super::*;

    fn user(number: u128) -> UserId {
        UserId::new(Uuid::from_u128(number))
    }

    #[test]
    fn the_last_owner_stays() {
        let added = |number| OwnerAdded { user: user(number) }.into();
        let given = |events| TestFramework::<Owners>::with(()).given(events);
        given(vec![added(1)]).when(OwnersCommand::Remove { user: user(1) }).then_expect_error(OwnersError::Last);
        given(vec![added(1)]).when(OwnersCommand::Remove { user: user(2) }).then_expect_events(vec![]);
        given(vec![added(1), added(2)])
            .when(OwnersCommand::Remove { user: user(1) })
            .then_expect_events(vec![OwnerRemoved { user: user(1) }.into()]);
        given(vec![added(1), added(2), OwnerRemoved { user: user(1) }.into()])
            .when(OwnersCommand::Remove { user: user(2) })
            .then_expect_error(OwnersError::Last);
    }
}
