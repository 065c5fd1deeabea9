//! Mails the owners of a tenant, as found in the user service's log, when a webhook of theirs was disabled automatically.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::{TenantId, UserId};
use mailer::{Mail, MailError, Mailer};
use user_api::permission_resolver::PermissionResolver;
use uuid::Uuid;
use webhooks::{Notice, Notices};

use super::Late;

/// Sends these notices.
pub struct WebhookNotices {
    /// Sends mail.
    pub mailer: Arc<dyn Mailer>,
    /// Looks up owners in the log of the user service, which every process of ours can read.
    pub permission_resolver: Arc<Late<PermissionResolver>>,
    /// The public base URL, without a trailing slash.
    pub url: Arc<str>,
}

impl WebhookNotices {
    fn permission_resolver(&self) -> Result<&PermissionResolver, String> {
        self.permission_resolver.get().ok_or_else(|| "the people of this tenant are not available here yet".to_owned())
    }

    async fn mail(&self, to: UserId, notice: &Notice) -> Result<(), String> {
        let addressee =
            self.permission_resolver()?.addressee(notice.tenant, to).await.map_err(|refusal| refusal.to_string())?;
        let Some(addressee) = addressee else { return Ok(()) };
        let mail = Mail {
            // The same id each time that this notice is sent to this owner.
            id: Uuid::new_v5(&notice.webhook, format!("{}/{to}", notice.version).as_bytes()).to_string(),
            to: addressee.email.into(),
            subject: "A webhook was disabled".to_owned().into(),
            text: self.text(&addressee.name, notice).into(),
        };
        match self.mailer.send(&mail).await {
            Ok(()) => Ok(()),
            Err(MailError::Transient(reason)) => Err(reason),
            Err(MailError::Refused(reason)) => {
                tracing::warn!(user = %to, webhook = %notice.webhook, reason, "an owner is not told that it is disabled");
                Ok(())
            }
        }
    }

    fn text(&self, name: &str, notice: &Notice) -> String {
        let Notice { service, webhook, reason, .. } = notice;
        let described = match notice.description.as_str() {
            "" => String::new(),
            description => format!(" ({description})"),
        };
        format!(
            "Hello {name},\n\nthe webhook {webhook}{described} of the service {service} was disabled on {at} UTC: {reason}.\n\n\
             Nothing is lost: its events wait. Once its receiver is mended, enable it, and it goes on where it was:\n\n\
             POST {url}/v1/events/webhooks/{webhook}/enable\n\n\
             What was tried, and what came of it, shows GET {url}/v1/events/webhooks/{webhook}/deliveries.\n\n\
             You are told this as an owner of the tenant.\n",
            at = notice.at.format("%Y-%m-%d %H:%M"),
            url = self.url,
        )
    }
}

impl Notices for WebhookNotices {
    fn addressees(&self, tenant: TenantId) -> BoxFuture<'_, Result<Vec<UserId>, String>> {
        async move { self.permission_resolver()?.owners(tenant).await.map_err(|refusal| refusal.to_string()) }.boxed()
    }

    fn tell<'a>(&'a self, to: UserId, notice: &'a Notice) -> BoxFuture<'a, Result<(), String>> {
        self.mail(to, notice).boxed()
    }
}
