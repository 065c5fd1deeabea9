//! Connections that outlast a request: they end when their token does, also before its time.

use std::time::Duration;

use face::ActiveTenants as _;
use kernel::Kind;
use poem::http::HeaderValue;

use super::{Verified, Verifier};

/// Where it can't be told whether a token still holds, it is asked again so soon.
const AGAIN: Duration = Duration::from_secs(1);

/// A verified token, and how it was given.
#[derive(Clone, Debug)]
pub struct Bearer {
    header: HeaderValue,
    /// What it said.
    pub verified: Verified,
}

impl Bearer {
    /// Who came with this header `Authorization`, of which this was verified. It is never shown.
    pub fn new(mut header: HeaderValue, verified: Verified) -> Self {
        header.set_sensitive(true);
        Self { header, verified }
    }
}

impl Verifier {
    /// Returns when the bearer may not go on as they came: the token's time is over, what it rests on was revoked, it gives other
    /// permissions than it did, or the tenant is suspended.
    pub async fn ended(&self, bearer: Bearer) {
        let over = tokio::time::sleep(self.valid_for(&bearer.verified));
        tokio::select! {
            () = over => {}
            () = self.withdrawn(bearer) => {}
        }
    }

    async fn withdrawn(&self, Bearer { header, mut verified }: Bearer) {
        // Before anything is looked at: what changes meanwhile is looked at again.
        let (mut touched, mut suspended) = (self.touched.subscribe(), self.suspended.subscribe());
        loop {
            if self.suspended.check(verified.caller.tenant()).is_err() {
                return;
            }
            if !self.holds(&verified) {
                match self.verify_header(header.as_bytes()).await {
                    Ok(now) if now.caller == verified.caller => verified = now,
                    Err(refusal) if !matches!(refusal.kind(), Kind::Unauthenticated | Kind::Forbidden) => {
                        tracing::debug!(%refusal, "whether a connection may stay is not known; it is asked again");
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                    Ok(_) | Err(_) => return,
                }
            }
            let changed = tokio::select! {
                changed = touched.changed() => changed,
                changed = suspended.changed() => changed,
            };
            if changed.is_err() {
                // Only at the end of the process.
                return;
            }
        }
    }
}
