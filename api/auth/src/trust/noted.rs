//! That bearer tokens were refused which nobody of ours made: one record a tenant, reason and hour, of all processes, however many of them
//! come and from how many places. So nobody fills a log by it.

use std::sync::Arc;

use auth_aggregates::Place;
use auth_commands::{NoteRefusedSignIn, protocol};
use kernel::{Refusal, TenantId};
use quick_cache::sync::Cache;

use crate::authority::Authority;

/// Why a token is refused that somebody forged, or uses for what it is not. (That one has expired, or what it rests on has ended, is
/// everyday life, and what ended it is on record.)
const REASONS: [&str; 4] = ["token_invalid", "token_type", "token_audience", "token_tenant"];

/// How long a reason is not noted again, in seconds.
const HOUR: i64 = 3_600;

/// How many of them are remembered to be noted; the log knows all.
const REMEMBERED: usize = 10_000;

/// Which were noted here, and in which hour.
#[derive(Debug)]
pub(super) struct Noted(Cache<(TenantId, &'static str), i64>);

impl Default for Noted {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Noted {
    /// Notes that a token was refused whose issuer is this tenant's; the answer does not wait for it.
    pub(super) fn note(self: &Arc<Self>, authority: &Authority, tenant: TenantId, refusal: &Refusal) {
        let Some(reason) = REASONS.into_iter().find(|reason| *reason == refusal.code()) else { return };
        let hour = authority.now().timestamp().div_euclid(HOUR);
        if self.0.get(&(tenant, reason)) == Some(hour) {
            return;
        }
        self.0.insert((tenant, reason), hour);
        let (noted, authority) = (self.clone(), authority.clone());
        tokio::spawn(async move {
            // Nothing of the token is kept: it may be another's.
            let note = NoteRefusedSignIn { user: None, reason, place: Place::default(), origin: None };
            let once = authority.executor().unasked(&protocol(tenant, "auth"), Some(format!("{reason}-{hour}")));
            if let Err(refusal) = authority.executor().execute(&once, &note).await {
                // The next one is.
                noted.0.remove(&(tenant, reason));
                tracing::warn!(%tenant, reason, %refusal, "that a token was refused could not be noted");
            }
        });
    }
}
