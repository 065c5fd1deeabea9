//! The state of multi-step pages, sealed into the page itself, so that we store nothing and nobody else can read or make it.

use chrono::{DateTime, TimeDelta, Utc};
use keys::{Context, Sealed};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{OAuthError, Provider, Visit};

/// The lifetime of sealed state.
const LIFETIME: TimeDelta = TimeDelta::minutes(30);

#[derive(Serialize, Deserialize)]
struct SealedState<T> {
    at: DateTime<Utc>,
    what: T,
}

impl Provider {
    /// Seals state into text for a page or cookie. `purpose`: the page or cookie that it is for.
    ///
    /// # Errors
    /// When the tenant's key can't be used.
    pub(super) async fn seal_state<T: Serialize>(
        &self,
        visit: &Visit,
        purpose: &'static str,
        what: T,
    ) -> Result<String, OAuthError> {
        let key = self.tenant_key(visit).await?;
        let kept = SealedState { at: self.authority.now(), what };
        let bytes = serde_json::to_vec(&kept).map_err(|_| OAuthError::invalid_request("this can't be kept"))?;
        let context = Context { tenant: visit.tenant.id, purpose, subject: "" };
        let sealed = key.seal(context, &bytes, self.authority.random()).map_err(crate::authority::refused)?;
        Ok(sealed.as_str().to_owned())
    }

    /// Opens sealed state; none: it was not sealed by us for this purpose and tenant, or has expired.
    ///
    /// # Errors
    /// When the tenant's key can't be used.
    pub(super) async fn open_state<T: DeserializeOwned>(
        &self,
        visit: &Visit,
        purpose: &'static str,
        text: &str,
    ) -> Result<Option<T>, OAuthError> {
        let key = self.tenant_key(visit).await?;
        let context = Context { tenant: visit.tenant.id, purpose, subject: "" };
        let Ok(bytes) = key.open(context, &Sealed::read(text)) else { return Ok(None) };
        let kept: Option<SealedState<T>> = serde_json::from_slice(&bytes).ok();
        Ok(kept.filter(|kept| self.authority.ago(kept.at).is_some_and(|ago| ago < LIFETIME)).map(|kept| kept.what))
    }

    /// The key under which the tenant's secrets are sealed.
    pub(super) async fn tenant_key(&self, visit: &Visit) -> Result<keys::DataKey, OAuthError> {
        let ring = self.authority.ring_or_open(visit.tenant.id).await?;
        Ok(self.authority.tenant_key(visit.tenant.id, &ring).await?)
    }
}
