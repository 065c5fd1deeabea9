//! Long-lived connections: they end when their token expires or is revoked.

use std::time::Duration;

use face::ActiveTenants as _;
use kernel::Kind;
use poem::http::HeaderValue;

use super::{Verified, Verifier};

/// The pause before a failed check of a token is repeated.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A verified token with the header that contained it.
#[derive(Clone, Debug)]
pub struct Bearer {
    header: HeaderValue,
    /// The result of the verification.
    pub verified: Verified,
}

impl Bearer {
    /// The bearer of a request with this `Authorization` header, which is marked as sensitive so that it is never logged.
    pub fn new(mut header: HeaderValue, verified: Verified) -> Self {
        header.set_sensitive(true);
        Self { header, verified }
    }
}

impl Verifier {
    /// Returns when a connection of the bearer must end: the token expired or was revoked, its permissions changed, or the tenant was
    /// suspended.
    pub async fn ended(&self, bearer: Bearer) {
        let over = tokio::time::sleep(self.valid_for(&bearer.verified));
        tokio::select! {
            () = over => {}
            () = self.withdrawn(bearer) => {}
        }
    }

    async fn withdrawn(&self, Bearer { header, mut verified }: Bearer) {
        // Subscribes before the checks, so that no change between a check and the wait is missed.
        let (mut changed_ids, mut suspended) = (self.changed_ids.subscribe(), self.suspended.subscribe());
        loop {
            if self.suspended.check(verified.caller.tenant()).is_err() {
                return;
            }
            if !self.holds(&verified) {
                match self.verify_header(header.as_bytes()).await {
                    Ok(now) if now.caller == verified.caller => verified = now,
                    Err(refusal) if !matches!(refusal.kind(), Kind::Unauthenticated | Kind::Forbidden) => {
                        tracing::debug!(%refusal, "whether a connection may stay is not known; it is asked again");
                        tokio::time::sleep(RETRY_PAUSE).await;
                        continue;
                    }
                    Ok(_) | Err(_) => return,
                }
            }
            let changed = tokio::select! {
                changed = changed_ids.changed() => changed,
                changed = suspended.changed() => changed,
            };
            if changed.is_err() {
                // The sender was dropped, which happens only at the end of the process.
                return;
            }
        }
    }
}
