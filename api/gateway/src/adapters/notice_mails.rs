//! Says to whom the auth service's notices about changes of an account go. The address is from the user service.

use auth_api::authority::Authority;
use auth_sagas::{NoticeMail, NoticeMails};
use face::Addressees;
use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::{Kind, TenantId, UserId};

use super::Late;

impl Late<Authority> {
    async fn notice_addressee(&self, tenant: TenantId, user: UserId) -> Result<Option<NoticeMail>, String> {
        let authority = self.get().ok_or("no letter is made here")?;
        let Some(tenant) = authority.tenant_by_id(tenant).await.map_err(|refusal| refusal.to_string())? else {
            return Ok(None);
        };
        match authority.admits(&tenant) {
            // It is being moved here.
            Err(refusal) if refusal.kind() == Kind::Unavailable => return Err(refusal.to_string()),
            Err(_) => return Ok(None),
            Ok(()) => {}
        }
        let addressee = self.addressee(tenant.id, user).await.map_err(|refusal| refusal.to_string())?;
        let to = addressee.and_then(|to| to.verified_email.map(|email| (email, to.name)));
        let issuer = authority.issuer(&tenant.slug);
        Ok(to.map(|(email, name)| NoticeMail { to: email.into(), name: name.into(), tenant: tenant.name, issuer }))
    }
}

impl NoticeMails for Late<Authority> {
    fn notice_mail(&self, tenant: TenantId, user: UserId) -> BoxFuture<'_, Result<Option<NoticeMail>, String>> {
        self.notice_addressee(tenant, user).boxed()
    }
}
