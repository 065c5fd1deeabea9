//! Composes the auth service's mail to users. The address is from the user service; the link is created by the auth service.

use async_trait::async_trait;
use auth_aggregates::Account;
use auth_api::authority::Authority;
use auth_api::provider::password_link;
use auth_commands::protocol;
use auth_sagas::{PasswordLinkMail, PasswordLinkMails};
use face::{Addressee, Addressees};
use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::{Refusal, TenantId, UserId};

use super::Late;

impl Late<Authority> {
    async fn password_link_mail(
        &self,
        tenant: TenantId,
        user: UserId,
        turn: u32,
    ) -> Result<Option<PasswordLinkMail>, String> {
        let authority = self.get().ok_or("no letter is made here")?;
        let addressee = self.addressee(tenant, user).await.map_err(|refusal| refusal.to_string())?;
        let account = authority.executor().load::<Account>(&protocol(tenant, "auth"), &user.to_string()).await;
        let account = account.map_err(|refusal| refusal.to_string())?.map(|(account, _)| account).unwrap_or_default();
        let addressee = addressee.filter(|to| to.may_sign_in && account.opens_by_mail(to.email_verified));
        let Some(Addressee { name, email, .. }) = addressee else { return Ok(None) };
        let Some(tenant) = authority.tenant_by_id(tenant).await.map_err(|refusal| refusal.to_string())? else {
            return Ok(None);
        };
        let link =
            password_link(authority, &tenant, user, &email, turn).await.map_err(|refusal| refusal.to_string())?;
        Ok(Some(PasswordLinkMail { to: email.into(), name: name.into(), tenant: tenant.name, link: link.into() }))
    }
}

#[async_trait]
impl Addressees for Late<Authority> {
    async fn addressee(&self, tenant: TenantId, user: UserId) -> Result<Option<Addressee>, Refusal> {
        let unknown = || {
            Refusal::unavailable(
                "people_unavailable",
                "the people of this tenant are not available here yet; try again",
            )
        };
        let links = self.get().and_then(Authority::links).ok_or_else(unknown)?;
        links.addressee(tenant, user).await
    }
}

impl PasswordLinkMails for Late<Authority> {
    fn password_link(
        &self,
        tenant: TenantId,
        user: UserId,
        turn: u32,
    ) -> BoxFuture<'_, Result<Option<PasswordLinkMail>, String>> {
        self.password_link_mail(tenant, user, turn).boxed()
    }
}
