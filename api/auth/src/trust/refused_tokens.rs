//! Records of refused bearer tokens that are forged or misused: one record per tenant, reason and hour over all processes, however many
//! tokens are sent and from wherever. So nobody can fill the log with them.

use auth_aggregates::Place;
use auth_commands::{NoteRefusedSignIn, protocol};
use kernel::{Refusal, TenantId};
use quick_cache::sync::Cache;

use crate::authority::Authority;

/// The recorded reasons: a token is forged, or is not meant for us. (That a token has expired or was revoked is normal, and the revocation
/// is on record.)
const REASONS: [&str; 4] = ["token_invalid", "token_type", "token_audience", "token_tenant"];

/// The capacity of the cache of written records; the log knows all of them.
const REMEMBERED: usize = 10_000;

/// The hour of the last record, by tenant and reason.
#[derive(Debug)]
pub(super) struct RefusedTokens(Cache<(TenantId, &'static str), u64>);

impl Default for RefusedTokens {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl RefusedTokens {
    /// Records, in the background, that a token with this tenant's issuer was refused.
    pub(super) fn note(&self, authority: &Authority, tenant: TenantId, refusal: &Refusal) {
        let Some(reason) = REASONS.into_iter().find(|reason| *reason == refusal.code()) else { return };
        let hour = authority.hour();
        if self.0.get(&(tenant, reason)) == Some(hour) {
            return;
        }
        // Remembered before it is written: if writing fails, it is not tried again for each further token.
        self.0.insert((tenant, reason), hour);
        let authority = authority.clone();
        tokio::spawn(async move {
            // Nothing in the token is recorded: it may be somebody else's, and its claims may be made up.
            let note = NoteRefusedSignIn { user: None, reason, place: Place::default(), origin: None };
            // Ids of parts can't be claimed by a request beforehand.
            let executor = authority.executor();
            let once = executor.internal_request(&protocol(tenant, "auth"), Some(reason.to_owned()));
            if let Err(refusal) = executor.execute_part(&once, hour, &note).await {
                tracing::warn!(%tenant, reason, %refusal, "that a token was refused could not be noted");
            }
        });
    }
}
