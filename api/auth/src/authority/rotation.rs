//! The rotation of a tenant's signing keys: on request, and automatically when a key has reached its age.

use std::sync::Arc;

use auth_aggregates::{Algorithm, LONGEST_SESSION, SigningKeyAdded};
use auth_commands::{AddSigningKey, GRANTS, Reach, RetireSigningKey};
use chrono::TimeDelta;
use executor::{Command, Done, Request};
use kernel::{Caller, Refusal, Role, TenantId};

use super::{Authority, Ring};

/// The longest lifetime of our signed tokens other than access tokens.
const LONGEST_TOKEN: TimeDelta = TimeDelta::minutes(10);

/// How much longer a key is kept for verification than anything that it signed is valid, or than a session of that time lasts.
const GRACE: TimeDelta = TimeDelta::days(1);

impl Authority {
    /// Publishes a new signing key of an algorithm, which signs after the overlap. Returns its id.
    ///
    /// # Errors
    /// As [`ring_or_open`](Self::ring_or_open), and without the permission `auth:key:write`.
    pub async fn rotate(&self, request: &Request, algorithm: Algorithm) -> Result<Done<String>, Refusal> {
        request.caller.require(AddSigningKey::PERMISSION)?;
        let tenant = request.caller.tenant();
        let added = self.next_key(tenant, algorithm).await?;
        let done = self.parts.executor.execute(request, &AddSigningKey(added)).await?;
        self.forget(tenant);
        Ok(done)
    }

    /// Generates the successor of a tenant's signing key.
    async fn next_key(&self, tenant: TenantId, algorithm: Algorithm) -> Result<SigningKeyAdded, Refusal> {
        let ring = self.ring_or_open(tenant).await?;
        let key = self.tenant_key(tenant, &ring).await?;
        self.make(tenant, algorithm, self.now() + self.parts.settings.overlap, key).await
    }

    /// Rotates a tenant's keys in the background if they are due: publishes the successor of a key that has reached its age, and retires
    /// keys that have been succeeded for longer than anything that they signed is valid.
    pub(super) fn rotate_if_due(&self, tenant: TenantId, ring: &Arc<Ring>, algorithm: Algorithm) {
        let Some(age) = self.parts.settings.rotation else { return };
        if !ring.is_first_age_check(algorithm) {
            return;
        }
        let now = self.now();
        let old = ring.due_for_rotation(algorithm, now - age);
        // ID tokens come back as `id_token_hint` at sign-out, long after they have expired.
        let needed = self.parts.settings.access.max(LONGEST_TOKEN).max(LONGEST_SESSION) + GRACE;
        let outlived = ring.outlived(algorithm, now - needed);
        if old.is_none() && outlived.is_empty() {
            return;
        }
        let authority = self.clone();
        tokio::spawn(async move {
            if let Err(refusal) = authority.renew(tenant, algorithm, old, outlived).await {
                tracing::warn!(%tenant, %refusal, "signing keys that have grown old could not be changed; it is tried again");
            }
        });
    }

    /// Publishes the successor of an old key, and retires outlived keys. Of all processes that find it due in an hour, one does it; in the
    /// next hour it is checked again, because the successor may have been retired before it signed.
    async fn renew(
        &self,
        tenant: TenantId,
        algorithm: Algorithm,
        old: Option<String>,
        outlived: Vec<String>,
    ) -> Result<(), Refusal> {
        let executor = &self.parts.executor;
        let caller = Caller::new(tenant, "auth", &[Role::Admin], GRANTS);
        let hour = self.hour();
        // Ids of parts can't be claimed by a request beforehand.
        let asked = |what: &str, kid: &str| executor.internal_request(&caller, Some(format!("{what}-{kid}")));
        let mut done = Ok(());
        if let Some(kid) = old {
            done = match self.next_key(tenant, algorithm).await {
                Ok(added) => {
                    let rotate = asked("rotate-signing-key", &kid);
                    executor.execute_part(&rotate, hour, &AddSigningKey(added)).await.map(drop)
                }
                Err(refusal) => Err(refusal),
            };
        }
        for kid in outlived {
            let retire = asked("retire-signing-key", &kid);
            let command = RetireSigningKey { kid, reach: Reach::Everything };
            let retired = executor.execute_part(&retire, hour, &command).await;
            done = done.and(retired.map(drop));
        }
        self.forget(tenant);
        done
    }
}
