//! Derives the claims of the auth service from its events.

use std::collections::{HashMap, HashSet};

use auth_aggregates::{
    Account, AccountEvent, Grant, GrantEvent, Machine, MachineEvent, SamlConnection, SamlConnectionDetails,
    SamlConnectionEvent, Session, SessionEvent,
};
use executor::{ClaimHistory, HeldClaims};
use kernel::{Aggregate, DecodeError, RecordedEvent};

use crate::client_assertion::ASSERTION;
use crate::machine::NAME;
use crate::passkey::PASSKEY;
use crate::saml_assertion::SAML_ASSERTION;
use crate::saml_connection::{self, claims};

/// The claims of one tenant, and the state needed to derive them.
#[derive(Debug, Default)]
pub struct Claims {
    held: HeldClaims,
    /// The name of each machine, lower case.
    names: HashMap<String, String>,
    /// The passkeys of each account.
    passkeys: HashMap<String, HashSet<String>>,
    /// The claims of each connection to an identity provider.
    connections: HashMap<String, Vec<saml_connection::Claim>>,
}

impl ClaimHistory for Claims {
    fn observe(&mut self, event: &RecordedEvent) -> Result<(), DecodeError> {
        let id = &event.aggregate_id;
        match event.aggregate_type.as_str() {
            Machine::TYPE => event.decode()?.into_iter().for_each(|event| self.machine(id, event)),
            Account::TYPE => event.decode()?.into_iter().for_each(|event| self.account(id, event)),
            SamlConnection::TYPE => event.decode()?.into_iter().for_each(|event| self.connection(id, event)),
            Session::TYPE => event.decode()?.into_iter().for_each(|event| self.session(id, event)),
            Grant::TYPE => event.decode()?.into_iter().for_each(|event| self.grant(id, event)),
            _ => {}
        }
        Ok(())
    }

    fn held(&self) -> &HeldClaims {
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

    fn connection(&mut self, id: &str, event: SamlConnectionEvent) {
        match event {
            SamlConnectionEvent::SamlConnectionCreated(e) => self.connected(id, &e.details),
            SamlConnectionEvent::SamlConnectionChanged(e) => self.connected(id, &e.details),
            SamlConnectionEvent::SamlConnectionDeactivated(_) | SamlConnectionEvent::SamlConnectionReactivated(_) => {}
        }
    }

    fn connected(&mut self, id: &str, details: &SamlConnectionDetails) {
        let after = claims(details);
        for (kind, value) in self.connections.insert(id.to_owned(), after.clone()).unwrap_or_default() {
            self.held.release(kind, value, id);
        }
        for (kind, value) in after {
            self.held.claim(kind, value, id);
        }
    }

    fn session(&mut self, id: &str, event: SessionEvent) {
        match event {
            SessionEvent::SessionStarted(e) => {
                if let Some(saml) = &e.saml {
                    self.held.claim(&SAML_ASSERTION, saml.key(), id);
                }
            }
            SessionEvent::SessionConfirmed(_) | SessionEvent::SessionUsed(_) | SessionEvent::SessionEnded(_) => {}
        }
    }

    fn account(&mut self, id: &str, event: AccountEvent) {
        match event {
            AccountEvent::PasskeyEnrolled(e) => {
                self.held.claim(&PASSKEY, e.passkey.clone(), id);
                self.passkeys.entry(id.to_owned()).or_default().insert(e.passkey);
            }
            AccountEvent::PasskeyRemoved(e) => {
                if let Some(passkeys) = self.passkeys.get_mut(id) {
                    passkeys.remove(&e.passkey);
                }
                self.held.release(&PASSKEY, e.passkey, id);
            }
            AccountEvent::AccountClosed(_) | AccountEvent::AccountErased(_) => {
                for passkey in self.passkeys.remove(id).unwrap_or_default() {
                    self.held.release(&PASSKEY, passkey, id);
                }
            }
            AccountEvent::PasswordSet(_)
            | AccountEvent::PasswordResetRequested(_)
            | AccountEvent::TotpEnrolled(_)
            | AccountEvent::TotpUsed(_)
            | AccountEvent::TotpRemoved(_)
            | AccountEvent::PasskeyUsed(_)
            | AccountEvent::PasskeyRenamed(_)
            | AccountEvent::RecoveryCodesSet(_)
            | AccountEvent::RecoveryCodeUsed(_)
            | AccountEvent::ClientJoined(_)
            | AccountEvent::SessionsEnded(_)
            | AccountEvent::AccountEntered(_)
            | AccountEvent::ConsentGiven(_)
            | AccountEvent::ConsentWithdrawn(_) => {}
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
