//! SAML connections: an identity provider that signs a tenant's users in.

use kernel::Aggregate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kernel::events! {
    /// Events of a SAML connection.
    pub enum SamlConnectionEvent of "auth.saml_connection" {
        /// The connection was created: its identity provider may sign users in.
        SamlConnectionCreated = "auth.saml_connection.created" @ 1 { pub details: SamlConnectionDetails },
        /// The details of the connection were changed; these are the complete details.
        SamlConnectionChanged = "auth.saml_connection.changed" @ 1 { pub details: SamlConnectionDetails },
        /// The connection was deactivated: it can't sign users in any more.
        SamlConnectionDeactivated = "auth.saml_connection.deactivated" @ 1 {},
        /// The connection was reactivated and signs users in again.
        SamlConnectionReactivated = "auth.saml_connection.reactivated" @ 1 {},
    }
}

/// Details of a SAML connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SamlConnectionDetails {
    /// Name shown to users.
    pub name: String,
    /// The identity provider.
    pub provider: SamlProvider,
    /// E-mail domains of the users whom the provider signs in. It can't sign in anybody else.
    pub domains: Vec<String>,
    /// Whether sign-in may be started at the provider (IdP-initiated).
    pub provider_initiated: bool,
    /// Whether people who are not users yet are registered when they sign in.
    pub admits: bool,
    /// Names of the attributes in the provider's assertions.
    pub attributes: SamlAttributes,
    /// Maps values of the role attribute to roles. The provider grants and revokes these roles.
    pub roles: Vec<SamlRole>,
}

/// An identity provider, as described by its metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SamlProvider {
    /// Entity id, the issuer of its assertions.
    pub entity_id: String,
    /// URL to which browsers are sent to sign in.
    pub sign_in_url: String,
    /// URL to which browsers are sent to sign out; absent: the provider does not support single logout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_out_url: Option<String>,
    /// Whether logout requests are sent to it by POST, because it does not support redirects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sign_out_by_post: bool,
    /// URL for responses to its logout requests, if it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_out_answer_url: Option<String>,
    /// Signing certificates: X.509, DER, base64-encoded.
    pub certificates: Vec<String>,
}

/// Names of the attributes in an identity provider's assertions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SamlAttributes {
    /// Attribute with the e-mail address; absent: the subject's name id is the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub email: Option<String>,
    /// Attribute with the display name; absent: new users get their address as name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,
    /// Attribute with the values for roles; absent: the provider grants no roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub roles: Option<String>,
}

/// A value that grants a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SamlRole {
    /// Value of the attribute; compared exactly.
    #[schemars(length(min = 1, max = 256))]
    pub value: String,
    /// Name of the role.
    #[schemars(length(min = 2, max = 50))]
    pub role: String,
}

/// A SAML connection, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamlConnection {
    /// Its details.
    pub details: SamlConnectionDetails,
    /// Whether it is active and signs users in.
    pub active: bool,
}

/// The commands of a SAML connection.
#[derive(Clone, Debug, PartialEq)]
pub enum SamlConnectionCommand {
    /// Creates the connection.
    Create(SamlConnectionDetails),
    /// Replaces all details.
    Change(SamlConnectionDetails),
    /// Deactivates the connection.
    Deactivate,
    /// Reactivates the connection.
    Reactivate,
}

impl SamlConnectionDetails {
    /// Whether the provider may vouch for this e-mail address.
    pub fn speaks_of(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map(|(_, domain)| domain);
        domain.is_some_and(|domain| self.domains.iter().any(|known| known.eq_ignore_ascii_case(domain)))
    }

    /// All roles that its provider grants and revokes.
    pub fn managed_roles(&self) -> Vec<String> {
        let mut roles: Vec<String> = self.roles.iter().map(|given| given.role.clone()).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    /// The roles that these attribute values grant.
    pub fn roles_of<'v>(&self, values: impl IntoIterator<Item = &'v str>) -> Vec<String> {
        let values: Vec<&str> = values.into_iter().collect();
        let given = self.roles.iter().filter(|given| values.contains(&given.value.as_str()));
        let mut roles: Vec<String> = given.map(|given| given.role.clone()).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }
}

impl Aggregate for SamlConnection {
    const TYPE: &'static str = "auth.saml_connection";
    const FORM: u32 = 3;
    type Command = SamlConnectionCommand;
    type Event = SamlConnectionEvent;
    type Error = std::convert::Infallible;

    fn decide(&self, command: SamlConnectionCommand) -> Result<Vec<SamlConnectionEvent>, Self::Error> {
        Ok(match command {
            SamlConnectionCommand::Create(details) => vec![SamlConnectionCreated { details }.into()],
            SamlConnectionCommand::Change(details) if details == self.details => vec![],
            SamlConnectionCommand::Change(details) => vec![SamlConnectionChanged { details }.into()],
            SamlConnectionCommand::Deactivate if !self.active => vec![],
            SamlConnectionCommand::Deactivate => vec![SamlConnectionDeactivated {}.into()],
            SamlConnectionCommand::Reactivate if self.active => vec![],
            SamlConnectionCommand::Reactivate => vec![SamlConnectionReactivated {}.into()],
        })
    }

    fn evolve(&mut self, event: SamlConnectionEvent) {
        match event {
            SamlConnectionEvent::SamlConnectionCreated(e) => (self.details, self.active) = (e.details, true),
            SamlConnectionEvent::SamlConnectionChanged(e) => self.details = e.details,
            SamlConnectionEvent::SamlConnectionDeactivated(_) => self.active = false,
            SamlConnectionEvent::SamlConnectionReactivated(_) => self.active = true,
        }
    }
}

kernel::aggregate!(SamlConnection);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    fn details() -> SamlConnectionDetails {
        let role = |value: &str, role: &str| SamlRole { value: value.to_owned(), role: role.to_owned() };
        SamlConnectionDetails {
            domains: vec!["example.com".to_owned()],
            roles: vec![role("staff", "member"), role("boss", "manager"), role("chief", "manager")],
            ..SamlConnectionDetails::default()
        }
    }

    #[test]
    fn it_speaks_of_its_domains_and_not_of_those_that_end_alike() {
        for own in ["ada@example.com", "Ada@EXAMPLE.com"] {
            assert!(details().speaks_of(own), "{own}");
        }
        for other in ["ada@evil-example.com", "ada@sub.example.com", "ada@example.com@evil.example", "example.com", ""]
        {
            assert!(!details().speaks_of(other), "{other}");
        }
    }

    #[test]
    fn values_give_the_roles_that_they_are_mapped_to_and_no_others() {
        assert_eq!(details().roles_of(["boss", "chief", "Staff", "admin"]), ["manager"]);
        assert_eq!(details().managed_roles(), ["manager", "member"]);
    }

    #[test]
    fn what_it_is_already_is_no_event() {
        let given = || {
            TestFramework::<SamlConnection>::with(()).given(vec![SamlConnectionCreated { details: details() }.into()])
        };
        given().when(SamlConnectionCommand::Change(details())).then_expect_events(vec![]);
        given().when(SamlConnectionCommand::Reactivate).then_expect_events(vec![]);
        given().when(SamlConnectionCommand::Deactivate).then_expect_events(vec![SamlConnectionDeactivated {}.into()]);
    }
}
