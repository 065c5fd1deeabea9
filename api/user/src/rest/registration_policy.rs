//! Who may register by themselves.

use face::operation::{Done, Found, change};
use face::{Authenticated, Command, Example, Resource};
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use user_aggregates::{OpenTo, RegistrationPolicy};
use user_commands::{SetRegistrationPolicy, lengths};

use super::{Service, Tag, form};

/// The operations on the tenant's policy of registration.
pub struct RegistrationPolicies {
    service: Service,
}

impl RegistrationPolicies {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// Who may register, and what they get: all of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"open_to": "domains", "domains": ["example.com"], "roles": ["member"]}))]
struct NewRegistrationPolicy {
    /// `nobody`, `verified_domains` (who has an address of a domain that the tenant has verified), `domains` (of one that is named here)
    /// or `everybody`.
    open_to: OpenTo,
    /// The domains, such as `example.com`, where `open_to` is `domains`; else none.
    #[serde(default)]
    #[schemars(length(max = lengths::DOMAINS))]
    domains: Vec<String>,
    /// The roles that they begin with: built-in ones, or the tenant's own. Not more than the caller may.
    #[serde(default)]
    #[schemars(with = "Vec<form::RoleName>", length(max = lengths::ROLES))]
    roles: Vec<String>,
}

/// Who may register by themselves, and what they get.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RegistrationPolicy")]
struct Shown {
    /// Who may register.
    open_to: OpenTo,
    /// The domains, where `open_to` is `domains`; as the domain name system has them.
    domains: Vec<String>,
    /// The roles that they begin with.
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
    /// Say who may register by themselves
    ///
    /// Who may finds a page for it beside the sign-in page, and is mailed a link. A link that was mailed before counts for what the policy
    /// says when it is followed.
    #[oai(path = "/v1/user/registration-policy/set", method = "post", operation_id = "setRegistrationPolicy")]
    async fn set(&self, command: Command<NewRegistrationPolicy>) -> Done {
        let tenant = command.request.caller.tenant().uuid();
        let NewRegistrationPolicy { open_to, domains, roles } = command.body;
        let catalogue = self.service.catalogue.clone();
        let set = SetRegistrationPolicy { open_to, domains, roles, catalogue };
        change(&self.service.runtime, &command.request, tenant, set).await
    }

    /// Who may register by themselves
    ///
    /// Needs the permission `user:registration_policy:read`.
    #[oai(path = "/v1/user/registration-policy", method = "get", operation_id = "getRegistrationPolicy")]
    async fn get(&self, Authenticated(caller): Authenticated) -> Found<Shown> {
        caller.require("user:registration_policy:read")?;
        let tenant = caller.tenant().to_string();
        let found = self.service.runtime.executor.load::<RegistrationPolicy>(&caller, &tenant).await?;
        let (policy, version) = found.map_or_else(Default::default, |(state, version)| ((*state).clone(), version));
        let RegistrationPolicy { open_to, domains, roles } = policy;
        Ok(Resource { body: Shown { open_to, domains, roles }, version })
    }
}
