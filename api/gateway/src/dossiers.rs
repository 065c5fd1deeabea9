//! What is known of people where they sign in: the auth service's log and read models have it, which every process of ours may read.

use std::sync::OnceLock;

use async_trait::async_trait;
use auth_api::Dossier;
use face::{Erasure, KnownWhereSignedIn, NobodySignsIn, SigningIn};
use kernel::{Refusal, TenantId, UserId};

/// Tells it, once it has been handed the log: services are opened before that is.
#[derive(Default)]
pub struct Dossiers(OnceLock<Dossier>);

impl Dossiers {
    /// Hands it the log and the read models.
    pub fn employ(&self, dossier: Dossier) {
        // A second time it would be the same.
        _ = self.0.set(dossier);
    }

    fn known(&self) -> &dyn SigningIn {
        self.0.get().map_or(&NobodySignsIn, |dossier| dossier)
    }
}

#[async_trait]
impl SigningIn for Dossiers {
    async fn known(&self, tenant: TenantId, user: UserId) -> Result<KnownWhereSignedIn, Refusal> {
        self.known().known(tenant, user).await
    }

    async fn erasure(&self, tenant: TenantId, user: UserId) -> Result<Erasure, Refusal> {
        self.known().erasure(tenant, user).await
    }
}
