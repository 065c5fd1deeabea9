//! The tenant's policy for self-registration.

use face::operation::{ChangeResult, UnstoredResult, change};
use face::{Authenticated, Command, Example, Resource, Unstored};
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use user_aggregates::{OpenTo, RegistrationPolicy};
use user_commands::{SetRegistrationPolicy, lengths};

use super::{Service, Tag, form};

/// Operations on the tenant's registration policy.
pub struct RegistrationPolicies {
    service: Service,
}

impl RegistrationPolicies {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// The complete policy: who may register, and the roles that they get.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"open_to": "domains", "domains": ["example.com"], "roles": ["member"]}))]
struct NewRegistrationPolicy {
    /// Who may register: `nobody`, `verified_domains` (anybody with an e-mail address of a domain that the tenant has verified), `domains`
    /// (anybody with an address of one of the `domains`) or `everybody`.
    open_to: OpenTo,
    /// Domains, such as `example.com`, if `open_to` is `domains`; otherwise empty.
    #[serde(default)]
    #[schemars(length(max = lengths::DOMAINS))]
    domains: Vec<String>,
    /// Roles that they get: built-in ones or the tenant's own. They may not allow more than the caller's permissions do.
    #[serde(default)]
    #[schemars(with = "Vec<form::RoleName>", length(max = lengths::ROLES))]
    roles: Vec<String>,
}

/// Who may register without an invitation, and the roles that they get.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RegistrationPolicy")]
struct Shown {
    /// Who may register.
    open_to: OpenTo,
    /// Domains, in ASCII (`xn--…`) form, if `open_to` is `domains`.
    domains: Vec<String>,
    /// Roles that they get.
    roles: Vec<String>,
}

impl Example for Shown {
    fn example() -> Self {
        let (domains, roles) = (vec!["example.com".to_owned()], vec!["viewer".to_owned()]);
        Self { open_to: OpenTo::Domains, domains, roles }
    }
}

#[OpenApi(tag = "Tag::Invitations")]
impl RegistrationPolicies {
    /// Set who may register without an invitation
    ///
    /// Those who may register find a link to the registration page on the sign-in page, and get a link by e-mail. A link that was sent
    /// earlier follows the policy at the time when it is used.
    #[oai(path = "/v1/user/registration-policy/set", method = "post", operation_id = "setRegistrationPolicy")]
    async fn set(&self, command: Command<NewRegistrationPolicy>) -> ChangeResult {
        let tenant = command.request.caller.tenant().uuid();
        let NewRegistrationPolicy { open_to, domains, roles } = command.body;
        let catalogue = self.service.catalogue.clone();
        let set = SetRegistrationPolicy { open_to, domains, roles, catalogue };
        change(&self.service.runtime, &command.request, tenant, set).await
    }

    /// Get the tenant's registration policy
    ///
    /// Needs the permission `user:registration_policy:read`.
    #[oai(path = "/v1/user/registration-policy", method = "get", operation_id = "getRegistrationPolicy")]
    async fn get(&self, Authenticated(caller): Authenticated) -> UnstoredResult<Shown> {
        caller.require("user:registration_policy:read")?;
        let tenant = caller.tenant().to_string();
        let found = self.service.runtime.executor.load::<RegistrationPolicy>(&caller, &tenant).await?;
        let (policy, version) = found.map_or_else(Default::default, |(state, version)| ((*state).clone(), version));
        let RegistrationPolicy { open_to, domains, roles } = policy;
        Ok(Unstored(Resource { body: Shown { open_to, domains, roles }, version }))
    }
}
