//! The commands of SAML connections.

use std::collections::BTreeSet;

use auth_aggregates::{
    SamlAttributes, SamlConnection, SamlConnectionCommand, SamlConnectionDetails, SamlConnectionId, SamlProvider,
    SamlRole,
};
use executor::{ClaimKind, Command, Work};
use kernel::{Checks, Refusal};
use saml::IdentityProvider;
use url::Host;

use crate::lengths;
use crate::reach::Reach;

/// Claims on the entity ids of identity providers: an assertion's issuer determines its connection.
static PROVIDER: ClaimKind = ClaimKind {
    name: "auth.saml_connection.provider",
    code: "saml_provider_connected",
    detail: "another connection of this tenant (holder) has this identity provider",
};

/// Claims on e-mail domains: an address leads to one identity provider, and only that one may vouch for it.
static DOMAIN: ClaimKind = ClaimKind {
    name: "auth.saml_connection.domain",
    code: "saml_domain_taken",
    detail: "another connection of this tenant (holder) has one of these domains",
};

/// A claim of a connection: its kind and value.
pub(crate) type Claim = (&'static ClaimKind, String);

/// The details of a connection as sent; validated when the command runs.
#[derive(Clone, Debug, Default)]
pub struct SamlConnectionFields {
    pub name: String,
    /// The provider's metadata (XML).
    pub metadata: String,
    pub domains: Vec<String>,
    pub provider_initiated: bool,
    pub admits: bool,
    pub attributes: SamlAttributes,
    pub roles: Vec<SamlRole>,
}

/// Creates a connection to an identity provider.
#[derive(Clone, Debug)]
pub struct CreateSamlConnection {
    pub fields: SamlConnectionFields,
    pub reach: Reach,
}

/// Replaces all details of a connection.
#[derive(Clone, Debug)]
pub struct ChangeSamlConnection {
    pub connection: SamlConnectionId,
    pub fields: SamlConnectionFields,
    pub reach: Reach,
}

/// Deactivates a connection: nobody can sign in through it.
#[derive(Clone, Debug)]
pub struct DeactivateSamlConnection {
    pub connection: SamlConnectionId,
    pub reach: Reach,
}

/// Reactivates a connection.
#[derive(Clone, Debug)]
pub struct ReactivateSamlConnection {
    pub connection: SamlConnectionId,
    pub reach: Reach,
}

/// The claims that a connection holds while it exists.
pub(crate) fn claims(details: &SamlConnectionDetails) -> Vec<Claim> {
    // All spellings of a domain (IDNA) are one claim.
    let domains =
        details.domains.iter().map(|domain| (&DOMAIN, one_spelling(domain).unwrap_or_else(|| domain.clone())));
    std::iter::once((&PROVIDER, details.provider.entity_id.clone())).chain(domains).collect()
}

impl SamlConnectionFields {
    fn check(&self) -> Result<SamlConnectionDetails, Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, lengths::NAME);
        let provider = match IdentityProvider::read(&self.metadata) {
            Ok(provider) => SamlProvider {
                entity_id: provider.entity_id,
                sign_in_url: provider.sign_in_url,
                sign_out_url: provider.sign_out_url,
                sign_out_by_post: provider.sign_out_by_post,
                sign_out_answer_url: provider.sign_out_answer_url,
                certificates: provider.certificates.iter().map(saml::Certificate::to_base64).collect(),
            },
            Err(fault) => {
                checks.refuse("/metadata", fault.code(), fault.to_string());
                SamlProvider::default()
            }
        };
        let domains = domains(&mut checks, &self.domains);
        let attribute = |checks: &mut Checks, pointer: &str, name: &Option<String>| {
            name.as_ref().map(|name| checks.identifier(pointer, name, lengths::ATTRIBUTE))
        };
        let attributes = SamlAttributes {
            email: attribute(&mut checks, "/attributes/email", &self.attributes.email),
            name: attribute(&mut checks, "/attributes/name", &self.attributes.name),
            roles: attribute(&mut checks, "/attributes/roles", &self.attributes.roles),
        };
        if attributes.roles.is_none() && !self.roles.is_empty() {
            checks.refuse(
                "/attributes/roles",
                "missing",
                "roles need attributes.roles, the attribute from which they are mapped",
            );
        }
        let roles = roles(&mut checks, &self.roles);
        checks.finish()?;
        Ok(SamlConnectionDetails {
            name,
            provider,
            domains,
            provider_initiated: self.provider_initiated,
            admits: self.admits,
            attributes,
            roles,
        })
    }
}

/// A domain in ASCII form (IDNA), so that each has one spelling; `None` if it is not a domain, such as an IP address.
pub(crate) fn one_spelling(domain: &str) -> Option<String> {
    match Host::parse(domain) {
        Ok(Host::Domain(name)) => Some(name),
        _ => None,
    }
}

/// Validates the domains; returns them in lower case, without duplicates.
fn domains(checks: &mut Checks, domains: &[String]) -> Vec<String> {
    let most = lengths::DOMAINS;
    if domains.is_empty() || domains.len() > most {
        let detail =
            format!("a connection needs 1 to {most} e-mail domains, and can sign in only users of these domains");
        checks.refuse("/domains", "count", detail);
    }
    let (mut taken, mut spellings) = (Vec::new(), BTreeSet::new());
    for (index, domain) in domains.iter().enumerate().take(most) {
        let domain = kernel::folded(domain.trim());
        // As in an e-mail address after the @.
        let mut of_address = Checks::default();
        let address = of_address.email("", &format!("somebody@{domain}"));
        let of_address = of_address.ok() && address.strip_prefix("somebody@") == Some(&domain);
        let Some(name) = one_spelling(&domain).filter(|_| of_address) else {
            let detail = "not the domain of an e-mail address, such as example.com";
            checks.refuse(format!("/domains/{index}"), "domain", detail);
            continue;
        };
        let again = !spellings.insert(name);
        if again && !taken.contains(&domain) {
            checks.refuse(
                format!("/domains/{index}"),
                "duplicate",
                "another spelling of a domain that is already listed",
            );
        }
        if !again {
            taken.push(domain);
        }
    }
    taken
}

fn roles(checks: &mut Checks, roles: &[SamlRole]) -> Vec<SamlRole> {
    checks.at_most("/roles", roles.len(), lengths::ROLE_MAPPINGS);
    let checked = roles.iter().enumerate().map(|(index, given)| {
        let value = checks.identifier(&format!("/roles/{index}/value"), &given.value, lengths::ATTRIBUTE);
        let role = checks.role_name(&format!("/roles/{index}/role"), &given.role);
        SamlRole { value, role }
    });
    let checked: Vec<_> = checked.collect();
    // Only the first ones are checked, because each is compared with all before it.
    for (index, given) in checked.iter().enumerate().take(lengths::ROLE_MAPPINGS) {
        if checked.iter().take(index).any(|before| before == given) {
            checks.refuse(format!("/roles/{index}"), "duplicate", "this value is already mapped to this role");
        }
    }
    checked
}

/// Refuses connections to a caller who lacks a permission of administrators. Whoever controls a connection controls what its identity provider
/// asserts, and so can sign in as any user of its domains, whatever roles it maps.
async fn authorize(work: &Work<'_>, reach: &Reach) -> Result<(), Refusal> {
    reach.over_anybody(work.caller()).await
}

/// Refuses mapped roles that do not exist.
async fn check_roles(work: &Work<'_>, reach: &Reach, details: &SamlConnectionDetails) -> Result<(), Refusal> {
    // In the order in which they were sent, for the JSON pointers.
    let roles: Vec<_> = details.roles.iter().map(|given| given.role.clone()).collect();
    reach.to_give(work.caller(), &roles, |index| format!("/roles/{index}/role")).await
}

impl Command for CreateSamlConnection {
    const PERMISSION: &'static str = "auth:saml_connection:write";
    type Answer = SamlConnectionId;

    async fn run(&self, work: &mut Work<'_>) -> Result<SamlConnectionId, Refusal> {
        let details = self.fields.check()?;
        authorize(work, &self.reach).await?;
        check_roles(work, &self.reach, &details).await?;
        self.reach.to_assert(work.caller(), &self.fields.domains, &[]).await?;
        let connection: SamlConnectionId = work.new_id();
        for (kind, value) in claims(&details) {
            work.take(kind, &value, connection);
        }
        work.create::<SamlConnection>(connection, SamlConnectionCommand::Create(details))?;
        Ok(connection)
    }
}

impl Command for ChangeSamlConnection {
    const PERMISSION: &'static str = "auth:saml_connection:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let details = self.fields.check()?;
        authorize(work, &self.reach).await?;
        check_roles(work, &self.reach, &details).await?;
        let before = work.read::<SamlConnection>(self.connection).await?;
        self.reach.to_assert(work.caller(), &self.fields.domains, &before.details.domains).await?;
        let before = claims(&before.details);
        let after = claims(&details);
        let of = |claim: &Claim, all: &[Claim]| {
            all.iter().any(|(kind, value)| kind.name == claim.0.name && *value == claim.1)
        };
        for claim in before.iter().filter(|claim| !of(claim, &after)) {
            work.release(claim.0, &claim.1, self.connection);
        }
        for claim in after.iter().filter(|claim| !of(claim, &before)) {
            work.take(claim.0, &claim.1, self.connection);
        }
        work.update::<SamlConnection>(self.connection, SamlConnectionCommand::Change(details)).await
    }
}

impl Command for DeactivateSamlConnection {
    const PERMISSION: &'static str = "auth:saml_connection:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        authorize(work, &self.reach).await?;
        work.update::<SamlConnection>(self.connection, SamlConnectionCommand::Deactivate).await
    }
}

impl Command for ReactivateSamlConnection {
    const PERMISSION: &'static str = "auth:saml_connection:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        authorize(work, &self.reach).await?;
        work.update::<SamlConnection>(self.connection, SamlConnectionCommand::Reactivate).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_with_a_connection_is_said_at_once() {
        let fields = SamlConnectionFields {
            name: String::new(),
            metadata: "<!DOCTYPE a><a/>".to_owned(),
            domains: [
                "Example.com",
                "a b",
                "x@example.com",
                "example.com",
                "192.0.2.7",
                "com",
                "bücher.example",
                "xn--bcher-kva.example",
            ]
            .map(str::to_owned)
            .to_vec(),
            roles: [("staff", "No Role"), ("boss", "admin"), ("boss", "manager"), ("boss", "admin")]
                .map(|(value, role)| SamlRole { value: value.to_owned(), role: role.to_owned() })
                .to_vec(),
            ..SamlConnectionFields::default()
        };
        let refusal = fields.check().unwrap_err();
        let found: Vec<_> = refusal.errors().iter().map(|error| (error.pointer.as_str(), error.code)).collect();
        let expected = [
            ("/name", "empty"),
            ("/metadata", "saml_not_xml"),
            ("/domains/1", "domain"),
            ("/domains/2", "domain"),
            ("/domains/4", "domain"),
            ("/domains/5", "domain"),
            ("/domains/7", "duplicate"),
            ("/attributes/roles", "missing"),
            ("/roles/0/role", "role_name"),
            ("/roles/3", "duplicate"),
        ];
        assert_eq!(found, expected);
    }
}
