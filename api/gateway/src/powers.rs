//! Who may do what: the user service's log says so, in each process.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use async_trait::async_trait;
use face::{NoPowers, Powers};
use kernel::{Refusal, TenantId, UserId};
use user_api::bearers::Bearers;

/// Says so, once it has been handed what looks it up: services are opened before that is.
#[derive(Default)]
pub struct Ranks(OnceLock<Bearers>);

impl Ranks {
    /// Hands it what looks it up.
    pub fn employ(&self, bearers: Bearers) {
        // A second time it would be the same.
        _ = self.0.set(bearers);
    }
}

#[async_trait]
impl Powers for Ranks {
    async fn of_roles(&self, tenant: TenantId, roles: &[String]) -> Result<BTreeSet<&'static str>, Refusal> {
        let Some(bearers) = self.0.get() else { return NoPowers.of_roles(tenant, roles).await };
        Ok(bearers.with_roles(tenant, roles).await?.permissions)
    }

    async fn is_role(&self, tenant: TenantId, name: &str) -> Result<bool, Refusal> {
        let Some(bearers) = self.0.get() else { return NoPowers.is_role(tenant, name).await };
        bearers.is_role(tenant, name).await
    }

    async fn of_user(&self, tenant: TenantId, user: UserId) -> Result<BTreeSet<&'static str>, Refusal> {
        let Some(bearers) = self.0.get() else { return NoPowers.of_user(tenant, user).await };
        bearers.of_user(tenant, user).await
    }
}
