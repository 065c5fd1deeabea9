//! How a tenant's signing keys follow one another: when somebody asks for it, and by themselves before one is too old.

use std::sync::Arc;

use auth_aggregates::{Algorithm, LONGEST_SESSION, SigningKeyAdded};
use auth_commands::{AddSigningKey, GRANTS, RetireSigningKey};
use chrono::TimeDelta;
use executor::{Command, Done, Request};
use kernel::{Caller, Refusal, Role, TenantId};

use super::{Authority, Ring};

/// The longest that a token of ours is good that is no access token.
const LONGEST_TOKEN: TimeDelta = TimeDelta::minutes(10);

/// How much longer a key verifies than anything is good that it signed, and than a session lasts of that time.
const GRACE: TimeDelta = TimeDelta::days(1);

impl Authority {
    /// Publishes a new key of an algorithm, which signs when all who verify know it. Answers its id.
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

    /// The key of an algorithm that may follow those which a tenant has.
    async fn next_key(&self, tenant: TenantId, algorithm: Algorithm) -> Result<SigningKeyAdded, Refusal> {
        let ring = self.ring_or_open(tenant).await?;
        let key = self.tenant_key(tenant, &ring).await?;
        self.make(tenant, algorithm, self.now() + self.parts.settings.overlap, key).await
    }

    /// Sees to it that a tenant's keys grow no older than the settings say: a new one is published before that, and one that is followed by
    /// another since longer than anything is good that it signed is retired. Whoever has something signed does not wait for it.
    pub(super) fn keep_young(&self, tenant: TenantId, ring: &Arc<Ring>, algorithm: Algorithm) {
        let Some(age) = self.parts.settings.rotation else { return };
        if !ring.is_first_look(algorithm) {
            return;
        }
        let now = self.now();
        let old = ring.grown_old(algorithm, now - age);
        // ID tokens come back when somebody signs out, however long ago they ended.
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

    /// Publishes the key that follows an old one, and retires those that are outlived. Of all processes that see it in an hour one does it; in
    /// the next one it is looked anew, because what followed may have been retired before it signed.
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
        // The id of a part is none that a request can take beforehand.
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
            let retired = executor.execute_part(&retire, hour, &RetireSigningKey { kid }).await;
            done = done.and(retired.map(drop));
        }
        self.forget(tenant);
        done
    }
}
