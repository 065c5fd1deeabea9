//! Reads what the auth service stores about a user, from its log and read models, which every process of ours can read.

use async_trait::async_trait;
use auth_api::SignInRecords;
use face::{Erasure, KnownWhereSignedIn, NobodySignsIn, SigningIn};
use kernel::{Refusal, TenantId, UserId};

use super::Late;

impl Late<SignInRecords> {
    fn bound(&self) -> &dyn SigningIn {
        self.get().map_or(&NobodySignsIn, |sign_in_records| sign_in_records)
    }
}

#[async_trait]
impl SigningIn for Late<SignInRecords> {
    async fn known(&self, tenant: TenantId, user: UserId) -> Result<KnownWhereSignedIn, Refusal> {
        self.bound().known(tenant, user).await
    }

    async fn erasure(&self, tenant: TenantId, user: UserId) -> Result<Erasure, Refusal> {
        self.bound().erasure(tenant, user).await
    }
}
