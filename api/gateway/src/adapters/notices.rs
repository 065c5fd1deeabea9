//! Notifies applications when a user's session ends: posts a logout token of the tenant's issuer to the URL that the application
//! registered. It uses the sender of webhooks, whose guard prevents requests to our own network (SSRF).

use std::sync::Arc;

use auth_api::authority::Authority;
use auth_api::provider::logout_notice;
use auth_sagas::{LoggedOut, Notices};
use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::TenantId;
use webhooks::{Sender, Settings};

use super::Late;

const FORM: &str = "application/x-www-form-urlencoded";

/// Sends logout tokens (OpenID Connect Back-Channel Logout 1.0).
pub struct LogoutNotices {
    authority: Arc<Late<Authority>>,
    sender: Result<Sender, String>,
}

impl Default for LogoutNotices {
    /// Sends nothing.
    fn default() -> Self {
        Self { authority: Arc::default(), sender: Err("nothing is sent from here".to_owned()) }
    }
}

impl LogoutNotices {
    /// Sends tokens that `authority` signs, with these settings.
    pub fn new(authority: Arc<Late<Authority>>, settings: &Settings) -> Self {
        Self { authority, sender: Sender::new(settings) }
    }

    async fn tell(&self, tenant: TenantId, notice: LoggedOut) -> Result<(), String> {
        let authority = self.authority.get().ok_or("nothing is signed here")?;
        let LoggedOut { id, client, user, session } = notice;
        let notice = logout_notice(authority, tenant, id, client, user, session).await;
        let Some(notice) = notice.map_err(|refusal| refusal.to_string())? else { return Ok(()) };
        let sender = self.sender.as_ref().map_err(Clone::clone)?;
        let outcome = sender.post(&notice.address, FORM, &[], notice.body.as_bytes()).await;
        outcome.error.map_or(Ok(()), Err)
    }
}

impl Notices for LogoutNotices {
    fn logged_out(&self, tenant: TenantId, notice: LoggedOut) -> BoxFuture<'_, Result<(), String>> {
        self.tell(tenant, notice).boxed()
    }
}
