//! What is mailed to people in matters of signing in: to which address, the user service knows; the link, the auth service makes.

use std::sync::OnceLock;

use auth_api::authority::Authority;
use auth_api::provider::password_link;
use auth_sagas::{Letter, Letters};
use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::{TenantId, UserId};

/// Makes the letters, once it has been handed the keys: sagas are defined before anything is opened.
#[derive(Default)]
pub struct Scribe(OnceLock<Authority>);

impl Scribe {
    /// Hands it the keys of the tenants.
    pub fn employ(&self, authority: Authority) {
        // A second time it would be the same.
        _ = self.0.set(authority);
    }

    async fn write(&self, tenant: TenantId, user: UserId, turn: u32) -> Result<Option<Letter>, String> {
        let authority = self.0.get().ok_or("no letter is made here")?;
        let Some(people) = authority.people() else { return Err("nobody is known here".to_owned()) };
        let person = people.by_id(tenant, user).await.map_err(|error| error.to_string())?;
        // To an address that nobody has shown to be theirs no link goes that opens an account.
        let person = person.filter(|person| person.may_sign_in && person.email_verified);
        let Some((name, email)) = person.and_then(|person| Some((person.name, person.email?))) else { return Ok(None) };
        let Some(tenant) = authority.tenant_by_id(tenant).await.map_err(|refusal| refusal.to_string())? else {
            return Ok(None);
        };
        let link = password_link(authority, &tenant, user, turn).await.map_err(|refusal| refusal.to_string())?;
        Ok(Some(Letter { to: email.into(), name: name.into(), tenant: tenant.name, link: link.into() }))
    }
}

impl Letters for Scribe {
    fn password_link(
        &self,
        tenant: TenantId,
        user: UserId,
        turn: u32,
    ) -> BoxFuture<'_, Result<Option<Letter>, String>> {
        self.write(tenant, user, turn).boxed()
    }
}
