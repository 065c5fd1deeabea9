//! Clients: applications that sign people in.

use chrono::{DateTime, Utc};
use kernel::{Aggregate, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Jwk, OurAlgorithm};

kernel::events! {
    /// What can happen to a client.
    pub enum ClientEvent of "auth.client" {
        /// It may sign people in from now on.
        ClientRegistered = "auth.client.registered" @ 1 { pub details: ClientDetails },
        /// These are its details now, all of them.
        ClientChanged = "auth.client.changed" @ 1 { pub details: ClientDetails },
        /// It has a new secret; the one before it is worth nothing any more.
        ClientSecretSet = "auth.client.secret_set" @ 1 {
            /// SHA-256 of it, hexadecimal. (It is 256 bits of randomness: nobody guesses it.)
            pub secret_hash: String,
        },
        /// It signs nobody in any more, and what was granted to it has ended.
        ClientDeactivated = "auth.client.deactivated" @ 1 { pub at: DateTime<Utc> },
        /// It may sign people in again.
        ClientReactivated = "auth.client.reactivated" @ 1 {},
        /// Somebody said that they were it, and could not show it.
        ClientRefused = "auth.client.refused" @ 1 { pub reason: String },
    }
}

/// What a client is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientDetails {
    /// What people are shown.
    pub name: String,
    /// Whether it can keep a secret: one in a browser or on a phone can't, and shows none.
    pub confidential: bool,
    /// Where people are sent back to, exactly.
    pub redirect_uris: Vec<String>,
    /// Where they are sent after they signed out, exactly.
    pub post_logout_redirect_uris: Vec<String>,
    /// The tenant's own: people are not asked whether they consent.
    pub trusted: bool,
    /// The public keys with which it signs, instead of showing a secret.
    #[serde(default)]
    pub keys: Vec<Jwk>,
    /// Where it is told that somebody's session has ended; absent: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
    /// Whether it may exchange tokens that it was given for such that may less.
    #[serde(default)]
    pub exchanges: bool,
    /// By which algorithm its ID tokens and logout tokens are signed.
    #[serde(default)]
    pub id_token_signed_response_alg: OurAlgorithm,
}

/// A client as its history has made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// What it is.
    pub details: ClientDetails,
    /// SHA-256 of its secret, hexadecimal.
    pub secret_hash: Option<String>,
    /// Whether it may sign people in.
    pub active: bool,
    /// When it was last deactivated: what was granted to it before has ended.
    pub deactivated_at: Option<DateTime<Utc>>,
}

/// What can be asked of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientCommand {
    /// Begins.
    Register(ClientDetails),
    /// Says what it is now.
    Change(ClientDetails),
    /// Gives it a secret.
    SetSecret(ClientSecretSet),
    /// Ends its access.
    Deactivate { at: DateTime<Utc> },
    /// Lets it in again.
    Reactivate,
    /// Notes that somebody could not show that they were it.
    Refuse { reason: String },
}

/// Why a client says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// It can't keep one.
    #[error("a public client keeps no secret: whoever has the application has it; PKCE protects it instead")]
    Public,
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        Self::conflict("client_public", error.to_string())
    }
}

impl Client {
    /// Whether what was granted to it at a time still holds.
    pub fn stands_by(&self, granted_at: DateTime<Utc>) -> bool {
        self.active && self.deactivated_at.is_none_or(|ended| granted_at > ended)
    }
}

impl Aggregate for Client {
    const TYPE: &'static str = "auth.client";
    const FORM: u32 = 3;
    type Command = ClientCommand;
    type Event = ClientEvent;
    type Error = ClientError;

    fn decide(&self, command: ClientCommand) -> Result<Vec<ClientEvent>, ClientError> {
        Ok(match command {
            ClientCommand::Register(details) => vec![ClientRegistered { details }.into()],
            ClientCommand::Change(details) if details == self.details => vec![],
            ClientCommand::Change(details) => vec![ClientChanged { details }.into()],
            ClientCommand::SetSecret(_) if !self.details.confidential => return Err(ClientError::Public),
            ClientCommand::SetSecret(set) => vec![set.into()],
            ClientCommand::Deactivate { .. } if !self.active => vec![],
            ClientCommand::Deactivate { at } => vec![ClientDeactivated { at }.into()],
            ClientCommand::Reactivate if self.active => vec![],
            ClientCommand::Reactivate => vec![ClientReactivated {}.into()],
            ClientCommand::Refuse { reason } => vec![ClientRefused { reason }.into()],
        })
    }

    fn evolve(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::ClientRegistered(e) => (self.details, self.active) = (e.details, true),
            ClientEvent::ClientChanged(e) => self.details = e.details,
            ClientEvent::ClientSecretSet(e) => self.secret_hash = Some(e.secret_hash),
            ClientEvent::ClientDeactivated(e) => (self.active, self.deactivated_at) = (false, Some(e.at)),
            ClientEvent::ClientReactivated(_) => self.active = true,
            ClientEvent::ClientRefused(_) => {}
        }
    }
}

kernel::aggregate!(Client);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    #[test]
    fn a_client_that_can_not_keep_a_secret_gets_none() {
        let set = || ClientSecretSet { secret_hash: "ab".to_owned() };
        let given = |confidential| {
            let details = ClientDetails { confidential, ..ClientDetails::default() };
            TestFramework::<Client>::with(()).given(vec![ClientRegistered { details }.into()])
        };
        given(false).when(ClientCommand::SetSecret(set())).then_expect_error(ClientError::Public);
        given(true).when(ClientCommand::SetSecret(set())).then_expect_events(vec![set().into()]);
    }
}
