//! Machines (service accounts): sensors and integrations, with tokens and keys of their own, independent of users.

use chrono::{DateTime, Utc};
use kernel::{Aggregate, Refusal};
use serde::{Deserialize, Serialize};

use crate::Jwk;

kernel::events! {
    /// Events of a machine.
    pub enum MachineEvent of "auth.machine" {
        /// The machine was registered and may get tokens.
        MachineRegistered = "auth.machine.registered" @ 1 {
            /// Name, unique in the tenant.
            pub name: String,
            /// Roles of the machine, by name.
            pub roles: Vec<String>,
        },
        /// The name or the roles of the machine were changed.
        MachineChanged = "auth.machine.changed" @ 1 { pub name: String, pub roles: Vec<String> },
        /// A new secret was set; the previous one is no longer valid.
        MachineSecretSet = "auth.machine.secret_set" @ 1 {
            /// SHA-256 hash of the secret, hexadecimal. (The secret has 256 random bits, so it can't be guessed.)
            pub secret_hash: String,
        },
        /// The public keys with which the machine authenticates were set.
        MachineKeysSet = "auth.machine.keys_set" @ 1 { pub keys: Vec<Jwk> },
        /// The machine was deactivated: it gets no tokens any more, and its current ones are refused.
        MachineDeactivated = "auth.machine.deactivated" @ 1 { pub at: DateTime<Utc> },
        /// The machine was reactivated and may get new tokens.
        MachineReactivated = "auth.machine.reactivated" @ 1 {},
        /// An authentication as this machine failed.
        MachineRefused = "auth.machine.refused" @ 1 { pub reason: String },
    }
}

/// A machine, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Name, unique in the tenant.
    pub name: String,
    /// Roles of the machine, by name.
    pub roles: Vec<String>,
    /// SHA-256 of its secret, hexadecimal.
    pub secret_hash: Option<String>,
    /// The public keys with which it authenticates.
    pub keys: Vec<Jwk>,
    /// Whether it can get tokens.
    pub active: bool,
    /// When it was last deactivated: tokens from before are never accepted again.
    pub deactivated_at: Option<DateTime<Utc>>,
}

/// The commands of a machine.
#[derive(Clone, Debug, PartialEq)]
pub enum MachineCommand {
    /// Registers the machine.
    Register(MachineRegistered),
    /// Replaces its name and roles.
    Change(MachineChanged),
    /// Replaces its secret.
    SetSecret(MachineSecretSet),
    /// Replaces its public keys; empty: it can't authenticate with a key any more.
    SetKeys(MachineKeysSet),
    /// Deactivates the machine.
    Deactivate { at: DateTime<Utc> },
    /// Reactivates the machine.
    Reactivate,
    /// Records a failed authentication as this machine.
    Refuse { reason: String },
}

/// Why a machine refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// The machine is deactivated and must be reactivated first.
    #[error("the machine is deactivated; reactivate it first")]
    Deactivated,
}

impl From<MachineError> for Refusal {
    fn from(error: MachineError) -> Self {
        Self::conflict("machine_deactivated", error.to_string())
    }
}

impl Machine {
    /// Whether its tokens issued at this time are still accepted.
    pub fn is_token_valid(&self, issued_at: DateTime<Utc>) -> bool {
        self.active && self.deactivated_at.is_none_or(|ended| issued_at > ended)
    }
}

impl Aggregate for Machine {
    const TYPE: &'static str = "auth.machine";
    type Command = MachineCommand;
    type Event = MachineEvent;
    type Error = MachineError;

    fn decide(&self, command: MachineCommand) -> Result<Vec<MachineEvent>, MachineError> {
        Ok(match command {
            MachineCommand::Register(registered) => vec![registered.into()],
            MachineCommand::Change(e) if e.name == self.name && e.roles == self.roles => vec![],
            MachineCommand::Change(changed) => vec![changed.into()],
            MachineCommand::SetSecret(_) | MachineCommand::SetKeys(_) if !self.active => {
                return Err(MachineError::Deactivated);
            }
            MachineCommand::SetSecret(set) => vec![set.into()],
            MachineCommand::SetKeys(set) if set.keys == self.keys => vec![],
            MachineCommand::SetKeys(set) => vec![set.into()],
            MachineCommand::Deactivate { .. } if !self.active => vec![],
            MachineCommand::Deactivate { at } => vec![MachineDeactivated { at }.into()],
            MachineCommand::Reactivate if self.active => vec![],
            MachineCommand::Reactivate => vec![MachineReactivated {}.into()],
            MachineCommand::Refuse { reason } => vec![MachineRefused { reason }.into()],
        })
    }

    fn evolve(&mut self, event: MachineEvent) {
        match event {
            MachineEvent::MachineRegistered(e) => {
                (self.name, self.roles, self.active) = (e.name, e.roles, true);
            }
            MachineEvent::MachineChanged(e) => (self.name, self.roles) = (e.name, e.roles),
            MachineEvent::MachineSecretSet(e) => self.secret_hash = Some(e.secret_hash),
            MachineEvent::MachineKeysSet(e) => self.keys = e.keys,
            MachineEvent::MachineDeactivated(e) => (self.active, self.deactivated_at) = (false, Some(e.at)),
            MachineEvent::MachineReactivated(_) => self.active = true,
            MachineEvent::MachineRefused(_) => {}
        }
    }
}

kernel::aggregate!(Machine);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    fn registered() -> MachineEvent {
        MachineRegistered { name: "sensor".to_owned(), roles: vec!["member".to_owned()] }.into()
    }

    #[test]
    fn a_deactivated_machine_gets_no_secret_until_it_is_reactivated() {
        let set = || MachineSecretSet { secret_hash: "ab".to_owned() };
        let after = |events: Vec<MachineEvent>| TestFramework::<Machine>::with(()).given(events);
        let deactivated = vec![registered(), MachineDeactivated { at: DateTime::UNIX_EPOCH }.into()];
        after(deactivated.clone()).when(MachineCommand::SetSecret(set())).then_expect_error(MachineError::Deactivated);
        after([deactivated, vec![MachineReactivated {}.into()]].concat())
            .when(MachineCommand::SetSecret(set()))
            .then_expect_events(vec![set().into()]);
    }

    #[test]
    fn what_changes_nothing_is_no_event() {
        let same = MachineChanged { name: "sensor".to_owned(), roles: vec!["member".to_owned()] };
        for command in [MachineCommand::Change(same), MachineCommand::Reactivate] {
            TestFramework::<Machine>::with(()).given(vec![registered()]).when(command).then_expect_events(vec![]);
        }
    }
}
