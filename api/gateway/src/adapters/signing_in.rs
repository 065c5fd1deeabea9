//! Reads what the auth service stores about a user, from its log and read models, which every process of ours can read.

use async_trait::async_trait;
use auth_api::Dossier;
use face::{Erasure, KnownWhereSignedIn, NobodySignsIn, SigningIn};
use kernel::{Refusal, TenantId, UserId};

use super::Late;

impl Late<Dossier> {
    fn bound(&self) -> &dyn SigningIn {
        self.get().map_or(&NobodySignsIn, |dossier| dossier)
    }
}

#[async_trait]
impl SigningIn for Late<Dossier> {
    async fn known(&self, tenant: TenantId, user: UserId) -> Result<KnownWhereSignedIn, Refusal> {
        self.bound().known(tenant, user).await
    }

    async fn erasure(&self, tenant: TenantId, user: UserId) -> Result<Erasure, Refusal> {
        self.bound().erasure(tenant, user).await
    }
}
