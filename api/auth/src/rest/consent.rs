//! Operations on the consents of users to applications, and on single grants.

use auth_aggregates::{Account, Client};
use auth_commands::{RevokeConsent, WithdrawGrant};
use face::operation::{ChangeResult, UnstoredResult, change, id};
use face::{Authenticated, Command, Empty, Example, KnownConsent, Resource, Runtime, Unstored};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{Tag, reach};

/// Operations on consents and grants.
pub struct Consents {
    runtime: Runtime,
}

impl Consents {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// Consents that a user gave to applications.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Consents")]
struct ConsentList {
    /// Consents, by application.
    consents: Vec<KnownConsent>,
}

impl Example for ConsentList {
    fn example() -> Self {
        Self { consents: vec![KnownConsent::example()] }
    }
}

#[OpenApi(tag = "Tag::Consents")]
impl Consents {
    /// List the consents of a user
    ///
    /// Applications of the tenant's own (`trusted`) do not ask for consent and are not listed.
    #[oai(path = "/v1/auth/users/:user/consents", method = "get", operation_id = "listConsents")]
    async fn list(&self, Authenticated(caller): Authenticated, user: Path<Uuid>) -> UnstoredResult<ConsentList> {
        caller.require("auth:grant:read")?;
        let executor = &self.runtime.executor;
        let found = executor.load::<Account>(&caller, &user.0.to_string()).await?;
        // A user who never signed in has no account, and so no consents.
        if found.is_none() {
            super::addressee(&self.runtime, &caller, id(&user)).await?;
        }
        let (account, version) = found.unwrap_or_default();
        let mut consents = Vec::with_capacity(account.consents.len());
        for (client, scope) in &account.consents {
            let found = executor.load::<Client>(&caller, &client.to_string()).await?;
            let name = found.map(|(client, _)| client.details.name.clone()).unwrap_or_default();
            consents.push(KnownConsent { client: client.uuid(), name, scope: scope.iter().cloned().collect() });
        }
        Ok(Unstored(Resource { body: ConsentList { consents }, version }))
    }

    /// Withdraw a user's consent for an application
    ///
    /// The application's grants for this user end everywhere within a second, and it has to ask for consent again.
    #[oai(path = "/v1/auth/users/:user/consents/:client/withdraw", method = "post", operation_id = "withdrawConsent")]
    async fn withdraw(&self, command: Command<Empty>, user: Path<Uuid>, client: Path<Uuid>) -> ChangeResult {
        let revoke = RevokeConsent { user: id(&user), client: id(&client), reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, user.0, revoke).await
    }

    /// Revoke a grant
    ///
    /// The grant is the one in the claim `grant` of its access tokens. Its access and refresh tokens are refused everywhere within a
    /// second.
    #[oai(path = "/v1/auth/grants/:grant/withdraw", method = "post", operation_id = "withdrawGrant")]
    async fn withdraw_grant(&self, command: Command<Empty>, grant: Path<Uuid>) -> ChangeResult {
        let withdraw = WithdrawGrant { grant: id(&grant), reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, grant.0, withdraw).await
    }
}
