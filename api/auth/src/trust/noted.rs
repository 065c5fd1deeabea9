//! That bearer tokens were refused which nobody of ours made: one record a tenant, reason and hour, of all processes, however many of them
//! come and from how many places. So nobody fills a log by it.

use auth_aggregates::Place;
use auth_commands::{NoteRefusedSignIn, protocol};
use kernel::{Refusal, TenantId};
use quick_cache::sync::Cache;

use crate::authority::Authority;

/// Why a token is refused that somebody forged, or uses for what it is not. (That one has expired, or what it rests on has ended, is
/// everyday life, and what ended it is on record.)
const REASONS: [&str; 4] = ["token_invalid", "token_type", "token_audience", "token_tenant"];

/// How many of them are remembered to be noted; the log knows all.
const REMEMBERED: usize = 10_000;

/// Which were noted here, and in which hour.
#[derive(Debug)]
pub(super) struct Noted(Cache<(TenantId, &'static str), u64>);

impl Default for Noted {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Noted {
    /// Notes that a token was refused whose issuer is this tenant's; the answer does not wait for it.
    pub(super) fn note(&self, authority: &Authority, tenant: TenantId, refusal: &Refusal) {
        let Some(reason) = REASONS.into_iter().find(|reason| *reason == refusal.code()) else { return };
        let hour = authority.hour();
        if self.0.get(&(tenant, reason)) == Some(hour) {
            return;
        }
        // Before it is written: where that fails, it is not tried again for each token that comes.
        self.0.insert((tenant, reason), hour);
        let authority = authority.clone();
        tokio::spawn(async move {
            // Nothing of the token is kept: it may be another's.
            let note = NoteRefusedSignIn { user: None, reason, place: Place::default(), origin: None };
            // The id of a part is none that a request can take beforehand.
            let executor = authority.executor();
            let once = executor.internal_request(&protocol(tenant, "auth"), Some(reason.to_owned()));
            if let Err(refusal) = executor.execute_part(&once, hour, &note).await {
                tracing::warn!(%tenant, reason, %refusal, "that a token was refused could not be noted");
            }
        });
    }
}
