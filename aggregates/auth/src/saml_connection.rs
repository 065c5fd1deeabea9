//! SAML connections: an identity provider that signs people of a tenant in.

use kernel::Aggregate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kernel::events! {
    /// What can happen to a SAML connection.
    pub enum SamlConnectionEvent of "auth.saml_connection" {
        /// Its provider signs people in from now on.
        SamlConnectionCreated = "auth.saml_connection.created" @ 1 { pub details: SamlConnectionDetails },
        /// These are its details now, all of them.
        SamlConnectionChanged = "auth.saml_connection.changed" @ 1 { pub details: SamlConnectionDetails },
        /// Nobody is signed in by it any more.
        SamlConnectionDeactivated = "auth.saml_connection.deactivated" @ 1 {},
        /// It signs people in again.
        SamlConnectionReactivated = "auth.saml_connection.reactivated" @ 1 {},
    }
}

/// What a SAML connection is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SamlConnectionDetails {
    /// What people are shown.
    pub name: String,
    /// Whom the tenant believes.
    pub provider: SamlProvider,
    /// The e-mail domains of the people whom it signs in. It says nothing about anybody else.
    pub domains: Vec<String>,
    /// Whether its provider may sign somebody in whom nobody sent there.
    pub provider_initiated: bool,
    /// Whether people who are no users yet become users.
    pub admits: bool,
    /// Where its assertions say what.
    pub attributes: SamlAttributes,
    /// Which values of the attribute for roles give which roles. Those roles are the provider's: it gives and takes them.
    pub roles: Vec<SamlRole>,
}

/// An identity provider, as its metadata says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SamlProvider {
    /// By whom assertions are.
    pub entity_id: String,
    /// Where browsers are sent to sign in.
    pub sign_in_url: String,
    /// Where browsers are sent to sign out; absent: it signs nobody out with us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_out_url: Option<String>,
    /// Whether they bring it forms there, for it takes no redirects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sign_out_by_post: bool,
    /// Where it is answered when it asks that, if that is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_out_answer_url: Option<String>,
    /// With what it signs: X.509, DER, base64.
    pub certificates: Vec<String>,
}

/// The names of the attributes that say something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SamlAttributes {
    /// The e-mail address; absent: it is the subject's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub email: Option<String>,
    /// The name for people; absent: a new user is called by their address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,
    /// What roles are made of; absent: it gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub roles: Option<String>,
}

/// A value that gives a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SamlRole {
    /// The attribute's value, letter by letter.
    #[schemars(length(min = 1, max = 256))]
    pub value: String,
    /// The role, by name.
    #[schemars(length(min = 2, max = 50))]
    pub role: String,
}

/// A SAML connection as its history has made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamlConnection {
    /// What it is.
    pub details: SamlConnectionDetails,
    /// Whether it signs people in.
    pub active: bool,
}

/// What can be asked of a SAML connection.
#[derive(Clone, Debug, PartialEq)]
pub enum SamlConnectionCommand {
    /// Begins.
    Create(SamlConnectionDetails),
    /// Says what it is now.
    Change(SamlConnectionDetails),
    /// Signs nobody in any more.
    Deactivate,
    /// Signs people in again.
    Reactivate,
}

impl SamlConnectionDetails {
    /// Whether it may speak of this e-mail address.
    pub fn speaks_of(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map(|(_, domain)| domain);
        domain.is_some_and(|domain| self.domains.iter().any(|known| known.eq_ignore_ascii_case(domain)))
    }

    /// All roles that its provider gives and takes.
    pub fn managed_roles(&self) -> Vec<String> {
        let mut roles: Vec<String> = self.roles.iter().map(|given| given.role.clone()).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    /// The roles that these values give.
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
