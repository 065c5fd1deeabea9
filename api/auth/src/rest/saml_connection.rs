//! Operations on SAML connections: identity providers that sign the tenant's users in.

use auth_aggregates::{SamlAttributes, SamlConnection, SamlProvider, SamlRole};
use auth_commands::{
    ChangeSamlConnection, CreateSamlConnection, DeactivateSamlConnection, ReactivateSamlConnection,
    SamlConnectionFields, lengths,
};
use face::operation::{ChangeResult, CreateResult, ReadResult, change, create, find, id};
use face::{Authenticated, Command, Empty, Example, Runtime, example};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Tag, reach};

/// Operations on SAML connections.
pub struct SamlConnections {
    runtime: Runtime,
}

impl SamlConnections {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// The complete details of a SAML connection.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Example Inc", "metadata": "<md:EntityDescriptor …>…</md:EntityDescriptor>", "domains": ["example.com"]}))]
struct SamlConnectionBody {
    /// Name shown to users: that of the organization or its identity provider.
    #[schemars(length(min = *lengths::NAME.start(), max = *lengths::NAME.end()))]
    name: String,
    /// The identity provider's metadata, as the XML document that it publishes. Its entity id, redirect sign-in URL and signing
    /// certificates are stored.
    #[schemars(length(min = 1, max = saml::MOST_METADATA), extend("contentMediaType" = "application/xml"))]
    metadata: String,
    /// E-mail domains of the users whom the provider signs in. It can't sign in anybody else. An installation may require that the tenant
    /// has verified each domain (`/v1/user/domains`).
    #[schemars(length(min = 1, max = lengths::DOMAINS))]
    domains: Vec<String>,
    /// Whether sign-in may be started at the provider (IdP-initiated).
    #[serde(default)]
    provider_initiated: bool,
    /// Whether people who are not users yet are registered when they sign in.
    #[serde(default)]
    admits: bool,
    /// Names of the attributes in the provider's assertions.
    #[serde(default)]
    attributes: SamlAttributes,
    /// Maps values of the role attribute to roles. Its users have these roles through the provider only, and lose them when it no longer
    /// sends the value.
    #[serde(default)]
    #[schemars(length(max = lengths::ROLE_MAPPINGS))]
    roles: Vec<SamlRole>,
}

impl From<SamlConnectionBody> for SamlConnectionFields {
    fn from(body: SamlConnectionBody) -> Self {
        let SamlConnectionBody { name, metadata, domains, provider_initiated, admits, attributes, roles } = body;
        Self { name, metadata, domains, provider_initiated, admits, attributes, roles }
    }
}

/// A SAML connection. The metadata of our side is at `/t/{tenant}/saml/{id}/metadata`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SamlConnection")]
struct SamlConnectionResource {
    /// Id of the connection; part of our URLs for the provider.
    id: Uuid,
    /// Name shown to users.
    name: String,
    /// The identity provider.
    provider: SamlProvider,
    /// E-mail domains of the users whom the provider signs in.
    domains: Vec<String>,
    /// Whether sign-in may be started at the provider (IdP-initiated).
    provider_initiated: bool,
    /// Whether people who are not users yet are registered when they sign in.
    admits: bool,
    /// Names of the attributes in the provider's assertions.
    attributes: SamlAttributes,
    /// Maps values of the role attribute to roles.
    roles: Vec<SamlRole>,
    /// Whether the connection is active and signs users in.
    active: bool,
}

impl Example for SamlConnectionResource {
    fn example() -> Self {
        let provider = SamlProvider {
            entity_id: "https://idp.example.com/metadata".to_owned(),
            sign_in_url: "https://idp.example.com/sso".to_owned(),
            sign_out_url: Some("https://idp.example.com/slo".to_owned()),
            sign_out_by_post: false,
            sign_out_answer_url: None,
            certificates: vec!["MIIBpzCCAU2gAwIBAgIUYkJdCS0m…".to_owned()],
        };
        let attributes =
            SamlAttributes { email: None, name: Some("displayName".to_owned()), roles: Some("groups".to_owned()) };
        Self {
            id: example::id(1),
            name: "Example Inc.".to_owned(),
            provider,
            domains: vec!["example.com".to_owned()],
            provider_initiated: false,
            admits: true,
            attributes,
            roles: vec![SamlRole { value: "sales".to_owned(), role: "member".to_owned() }],
            active: true,
        }
    }
}

#[OpenApi(tag = "Tag::SamlConnections")]
impl SamlConnections {
    /// Create a SAML connection to an identity provider
    ///
    /// Needs the permission `auth:saml_connection:write`.
    #[oai(path = "/v1/auth/saml-connections", method = "post", operation_id = "createSamlConnection")]
    async fn create(&self, command: Command<SamlConnectionBody>) -> CreateResult {
        let made = CreateSamlConnection { fields: command.body.into(), reach: reach(&self.runtime) };
        create(&self.runtime, &command.request, "saml-connections", made, |id| id.uuid()).await
    }

    /// Get a SAML connection
    ///
    /// Needs the permission `auth:saml_connection:read`.
    #[oai(path = "/v1/auth/saml-connections/:connection", method = "get", operation_id = "getSamlConnection")]
    async fn get(
        &self,
        Authenticated(caller): Authenticated,
        connection: Path<Uuid>,
    ) -> ReadResult<SamlConnectionResource> {
        find(&self.runtime, &caller, "auth:saml_connection:read", connection.0, |state: &SamlConnection| {
            let details = state.details.clone();
            SamlConnectionResource {
                id: connection.0,
                name: details.name,
                provider: details.provider,
                domains: details.domains,
                provider_initiated: details.provider_initiated,
                admits: details.admits,
                attributes: details.attributes,
                roles: details.roles,
                active: state.active,
            }
        })
        .await
    }

    /// Replace the details of a SAML connection
    ///
    /// Needs the permission `auth:saml_connection:write`.
    #[oai(
        path = "/v1/auth/saml-connections/:connection/change",
        method = "post",
        operation_id = "changeSamlConnection"
    )]
    async fn change(&self, command: Command<SamlConnectionBody>, connection: Path<Uuid>) -> ChangeResult {
        let (fields, reach) = (command.body.into(), reach(&self.runtime));
        let changed = ChangeSamlConnection { connection: id(&connection), fields, reach };
        change(&self.runtime, &command.request, connection.0, changed).await
    }

    /// Deactivate a SAML connection
    ///
    /// Its identity provider can't sign users in any more. Existing sessions continue; end those separately.
    #[oai(
        path = "/v1/auth/saml-connections/:connection/deactivate",
        method = "post",
        operation_id = "deactivateSamlConnection"
    )]
    async fn deactivate(&self, command: Command<Empty>, connection: Path<Uuid>) -> ChangeResult {
        let deactivate = DeactivateSamlConnection { connection: id(&connection), reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, connection.0, deactivate).await
    }

    /// Reactivate a SAML connection
    ///
    /// Needs the permission `auth:saml_connection:write`.
    #[oai(
        path = "/v1/auth/saml-connections/:connection/reactivate",
        method = "post",
        operation_id = "reactivateSamlConnection"
    )]
    async fn reactivate(&self, command: Command<Empty>, connection: Path<Uuid>) -> ChangeResult {
        let reactivate = ReactivateSamlConnection { connection: id(&connection), reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, connection.0, reactivate).await
    }
}
