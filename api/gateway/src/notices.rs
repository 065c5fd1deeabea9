//! What applications are told when somebody's session ends, in a token of the tenant's issuer, at the address that they registered. It is
//! sent as webhooks are, past the same guard: no tenant has us knock on doors inside our own network.

use std::sync::OnceLock;

use auth_api::authority::Authority;
use auth_api::provider::logout_notice;
use auth_sagas::{LoggedOut, Notices};
use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::TenantId;
use webhooks::{Sender, Settings};

const FORM: &str = "application/x-www-form-urlencoded";

/// Tells them, once it has been handed the keys: sagas are defined before anything is opened.
pub struct Herald {
    authority: OnceLock<Authority>,
    sender: Result<Sender, String>,
}

impl Default for Herald {
    /// Tells nobody anything.
    fn default() -> Self {
        Self { authority: OnceLock::new(), sender: Err("nothing is sent from here".to_owned()) }
    }
}

impl Herald {
    /// Sends with these settings.
    pub fn new(settings: &Settings) -> Self {
        Self { authority: OnceLock::new(), sender: Sender::new(settings) }
    }

    /// Hands it the keys of the tenants.
    pub fn employ(&self, authority: Authority) {
        // A second time it would be the same.
        _ = self.authority.set(authority);
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

impl Notices for Herald {
    fn logged_out(&self, tenant: TenantId, notice: LoggedOut) -> BoxFuture<'_, Result<(), String>> {
        self.tell(tenant, notice).boxed()
    }
}
