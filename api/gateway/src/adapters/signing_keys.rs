//! Creates the keys that sign tenants' tokens, with the auth service's authority, which has the master key.

use async_trait::async_trait;
use auth_aggregates::{Algorithm, OurAlgorithm};
use auth_api::authority::Authority;
use executor::{Done, Request};
use face::{NoSigningKeys, SigningKeys};
use kernel::{Refusal, TenantId};

use super::Late;

#[async_trait]
impl SigningKeys for Late<Authority> {
    async fn rotate(&self, request: &Request, algorithm: &str) -> Result<Done<String>, Refusal> {
        let Some(authority) = self.get() else { return NoSigningKeys.rotate(request, algorithm).await };
        authority.rotate(request, ours(algorithm)?).await
    }

    async fn prepare(&self, tenant: TenantId, algorithm: &str) -> Result<(), Refusal> {
        let Some(authority) = self.get() else { return NoSigningKeys.prepare(tenant, algorithm).await };
        authority.ring_with(tenant, ours(algorithm)?).await.map(drop)
    }
}

fn ours(algorithm: &str) -> Result<Algorithm, Refusal> {
    let found = OurAlgorithm::ALL.into_iter().map(Algorithm::from).find(|ours| ours.as_str() == algorithm);
    found.ok_or_else(|| Refusal::invalid("algorithm_unknown", "tokens can be signed with EdDSA, ES256 or RS256"))
}
