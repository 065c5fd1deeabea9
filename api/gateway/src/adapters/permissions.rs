//! Looks up permissions in the user service's log, which every process of ours can read.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use executor::Standing;
use face::{NoPermissions, Permissions};
use kernel::{Refusal, TenantId, UserId};
use user_api::permission_resolver::PermissionResolver;

use super::Late;

/// How long such a question waits until the process has started.
const START_PATIENCE: Duration = Duration::from_secs(10);

#[async_trait]
impl Permissions for Late<PermissionResolver> {
    async fn of_roles(&self, tenant: TenantId, roles: &[String]) -> Result<BTreeSet<&'static str>, Refusal> {
        let Some(permission_resolver) = self.get() else { return NoPermissions.of_roles(tenant, roles).await };
        permission_resolver.of_roles(tenant, roles).await
    }

    async fn is_role(&self, tenant: TenantId, name: &str) -> Result<bool, Refusal> {
        let Some(permission_resolver) = self.get() else { return NoPermissions.is_role(tenant, name).await };
        permission_resolver.is_role(tenant, name).await
    }

    async fn of_user(&self, tenant: TenantId, user: UserId) -> Result<BTreeSet<&'static str>, Refusal> {
        let Some(permission_resolver) = self.get() else { return NoPermissions.of_user(tenant, user).await };
        permission_resolver.of_user(tenant, user).await
    }

    /// Jobs ask, which may continue while the process is still starting: a refusal would cost them an attempt and a pause. So may somebody
    /// who signs in just then.
    async fn standing(&self, tenant: TenantId, user: UserId) -> Result<Standing<&'static str>, Refusal> {
        let Some(permission_resolver) = self.within(START_PATIENCE).await else {
            return NoPermissions.standing(tenant, user).await;
        };
        permission_resolver.standing(tenant, user).await
    }

    /// Sagas and jobs ask, as above.
    async fn may_sign_in(&self, tenant: TenantId, user: UserId) -> Result<Option<bool>, Refusal> {
        let Some(permission_resolver) = self.within(START_PATIENCE).await else {
            return NoPermissions.may_sign_in(tenant, user).await;
        };
        permission_resolver.may_sign_in(tenant, user).await
    }
}
