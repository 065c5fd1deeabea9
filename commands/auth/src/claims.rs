//! What the events of signing in did to claims, told from the events alone.

use std::collections::HashMap;

use auth_aggregates::{Grant, GrantEvent, Machine, MachineEvent};
use executor::{ClaimHistory, Held};
use kernel::{Aggregate, DecodeError, RecordedEvent};

use crate::grant::ASSERTION;
use crate::machine::NAME;

/// The claims of a tenant's history.
#[derive(Debug, Default)]
pub struct Claims {
    held: Held,
    /// The name of each machine, lower case.
    names: HashMap<String, String>,
}

impl ClaimHistory for Claims {
    fn observe(&mut self, event: &RecordedEvent) -> Result<(), DecodeError> {
        let id = &event.aggregate_id;
        match event.aggregate_type.as_str() {
            Machine::TYPE => event.decode()?.into_iter().for_each(|event| self.machine(id, event)),
            Grant::TYPE => event.decode()?.into_iter().for_each(|event| self.grant(id, event)),
            _ => {}
        }
        Ok(())
    }

    fn held(&self) -> &Held {
        &self.held
    }
}

impl Claims {
    fn machine(&mut self, id: &str, event: MachineEvent) {
        match event {
            MachineEvent::MachineRegistered(e) => self.name(id, &e.name),
            MachineEvent::MachineChanged(e) => self.name(id, &e.name),
            MachineEvent::MachineSecretSet(_)
            | MachineEvent::MachineKeysSet(_)
            | MachineEvent::MachineDeactivated(_)
            | MachineEvent::MachineReactivated(_)
            | MachineEvent::MachineRefused(_) => {}
        }
    }

    fn grant(&mut self, id: &str, event: GrantEvent) {
        match event {
            GrantEvent::ClientAsserted(e) => self.held.claim(&ASSERTION, e.assertion, id),
            GrantEvent::GrantOpened(_)
            | GrantEvent::CodeRedeemed(_)
            | GrantEvent::TokensRefreshed(_)
            | GrantEvent::GrantRevoked(_) => {}
        }
    }

    fn name(&mut self, machine: &str, name: &str) {
        let name = name.to_lowercase();
        if let Some(before) = self.names.insert(machine.to_owned(), name.clone()) {
            self.held.release(&NAME, before, machine);
        }
        self.held.claim(&NAME, name, machine);
    }
}
