//! Clients: applications that sign users in.

use chrono::{DateTime, Utc};
use kernel::{Aggregate, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Jwk, OurAlgorithm};

kernel::events! {
    /// Events of a client.
    pub enum ClientEvent of "auth.client" {
        /// The client was registered and may sign users in.
        ClientRegistered = "auth.client.registered" @ 1 { pub details: ClientDetails },
        /// The details of the client were changed; these are the complete details.
        ClientChanged = "auth.client.changed" @ 1 { pub details: ClientDetails },
        /// A new secret was set; the previous one is no longer valid.
        ClientSecretSet = "auth.client.secret_set" @ 1 {
            /// SHA-256 hash of the secret, hexadecimal. (The secret has 256 random bits, so it can't be guessed.)
            pub secret_hash: String,
        },
        /// The client was deactivated: it can't sign users in any more, and its grants ended.
        ClientDeactivated = "auth.client.deactivated" @ 1 { pub at: DateTime<Utc> },
        /// The client was reactivated and may sign users in again.
        ClientReactivated = "auth.client.reactivated" @ 1 {},
        /// An authentication as this client failed.
        ClientRefused = "auth.client.refused" @ 1 { pub reason: String },
    }
}

/// Details of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientDetails {
    /// Name shown to users.
    pub name: String,
    /// Whether the client can keep a secret. Applications in a browser or on a phone can't, and do not authenticate with one.
    pub confidential: bool,
    /// URIs to which users may be redirected after sign-in; compared exactly, except for the port of a public client's loopback addresses.
    pub redirect_uris: Vec<String>,
    /// URIs to which users may be redirected after sign-out; compared exactly.
    pub post_logout_redirect_uris: Vec<String>,
    /// Whether the client is the tenant's own, so that users are not asked for consent.
    pub trusted: bool,
    /// Public keys with which the client authenticates instead of with a secret.
    #[serde(default)]
    pub keys: Vec<Jwk>,
    /// URI that is notified when a session ends; absent: it is not notified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
    /// Whether the client may exchange access tokens for ones with fewer permissions.
    #[serde(default)]
    pub exchanges: bool,
    /// Algorithm that signs its ID tokens and logout tokens.
    #[serde(default)]
    pub id_token_signed_response_alg: OurAlgorithm,
}

impl ClientDetails {
    /// Whether users may be redirected to this URI after sign-in. A public client on the user's own machine takes a port that is free, so
    /// the port of its loopback addresses is not compared (RFC 8252 section 7.3).
    pub fn redirects_to(&self, uri: &str) -> bool {
        let any_port = if self.confidential { None } else { loopback(uri) };
        self.redirect_uris.iter().any(|known| known == uri || any_port.is_some() && loopback(known) == any_port)
    }
}

/// The host of a URI on the user's own machine, and what follows the port; none: it leads elsewhere. A name such as `localhost` may lead
/// elsewhere (section 8.3).
fn loopback(uri: &str) -> Option<(&'static str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let (host, rest) = ["127.0.0.1", "[::1]"].into_iter().find_map(|host| Some((host, rest.strip_prefix(host)?)))?;
    let (port, rest) = match rest.strip_prefix(':') {
        Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("80", rest),
    };
    let is_port = !port.starts_with('0') && port.parse::<u16>().is_ok();
    (is_port && (rest.is_empty() || rest.starts_with(['/', '?']))).then_some((host, rest))
}

/// A client, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// Its details.
    pub details: ClientDetails,
    /// SHA-256 of its secret, hexadecimal.
    pub secret_hash: Option<String>,
    /// Whether it may sign users in.
    pub active: bool,
    /// When it was last deactivated: grants from before are not valid.
    pub deactivated_at: Option<DateTime<Utc>>,
}

/// The commands of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientCommand {
    /// Registers the client.
    Register(ClientDetails),
    /// Replaces all details.
    Change(ClientDetails),
    /// Replaces the secret.
    SetSecret(ClientSecretSet),
    /// Deactivates the client.
    Deactivate { at: DateTime<Utc> },
    /// Reactivates the client.
    Reactivate,
    /// Records a failed authentication as this client.
    Refuse { reason: String },
}

/// Why a client refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// A public client can't have a secret.
    #[error("a public client can't have a secret, because it could not keep it confidential; PKCE protects it instead")]
    Public,
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        Self::conflict("client_public", error.to_string())
    }
}

impl Client {
    /// Whether a grant made at this time is still valid, as far as the client is concerned.
    pub fn is_grant_valid(&self, granted_at: DateTime<Utc>) -> bool {
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

    #[test]
    fn a_public_client_has_any_port_on_the_users_own_machine_and_nothing_else_differs() {
        let known = [
            "http://127.0.0.1/back?x=1",
            "http://[::1]:4000/back",
            "http://localhost:4000/back",
            "https://app.example.com/back",
        ];
        let client = |confidential| ClientDetails {
            confidential,
            redirect_uris: known.map(str::to_owned).to_vec(),
            ..ClientDetails::default()
        };
        for exact in known {
            assert!(client(true).redirects_to(exact) && client(false).redirects_to(exact), "{exact}");
        }
        for port in [
            "http://127.0.0.1:1/back?x=1",
            "http://127.0.0.1:65535/back?x=1",
            "http://[::1]/back",
            "http://[::1]:61023/back",
        ] {
            assert!(client(false).redirects_to(port), "{port}");
            assert!(!client(true).redirects_to(port), "{port}");
        }
        for other in [
            "http://127.0.0.1:5000",
            "http://127.0.0.1:5000/",
            "http://127.0.0.1:5000/back",
            "http://127.0.0.1:5000/back?x=2",
            "http://127.0.0.1:5000/back?x=1&y=2",
            "http://127.0.0.1:5000/back?x=1#part",
            "http://127.0.0.1:5000/Back?x=1",
            "http://127.0.0.1:5000/a/../back?x=1",
            "http://127.0.0.1:5000//back?x=1",
            "http://127.0.0.1:5000\\back?x=1",
            "http://127.0.0.1:/back?x=1",
            "http://127.0.0.1:0/back?x=1",
            "http://127.0.0.1:080/back?x=1",
            "http://127.0.0.1:+80/back?x=1",
            "http://127.0.0.1:65536/back?x=1",
            "http://127.0.0.1:5000:5000/back?x=1",
            "http://127.0.0.1:5000@evil.example.com/back?x=1",
            "http://127.0.0.1:5000.evil.example.com/back?x=1",
            "http://127.0.0.1.evil.example.com:5000/back?x=1",
            "http://evil@127.0.0.1:5000/back?x=1",
            "http://127.0.0.2:5000/back?x=1",
            "http://127.1:5000/back?x=1",
            "https://127.0.0.1:5000/back?x=1",
            "HTTP://127.0.0.1:5000/back?x=1",
            "http://[::1]:5000/back?x=1",
            "http://[0::1]:5000/back",
            "http://[::ffff:127.0.0.1]:5000/back",
            "http://localhost:5000/back",
            "http://localhost/back",
            "https://app.example.com:8443/back",
        ] {
            assert!(!client(false).redirects_to(other), "{other}");
        }
    }
}
