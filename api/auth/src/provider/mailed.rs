//! The pages of mailed links: accepting an invitation, which sets a password and signs the new user in, and verifying an e-mail address.
//! The service that issued a link validates it ([`face::MailedLinks`]).

use std::sync::Arc;

use auth_aggregates::By;
use auth_commands::{SetPassword, protocol};
use face::{Invited, MailedLinks};
use poem::http::StatusCode;
use poem::{Request, Response};

use super::authorize::{enter, see_other};
use super::browser::Authentication;
use super::form::Form;
use super::goal::Goal;
use super::pages::{self, Brand, Invitation, Verification};
use super::passwords::advice;
use super::{Answer, OAuthError, Provider, Visit};

/// The title and the text of the page for a link that can't be followed.
const INVALID: &str = "This link is no longer valid";
const WHY_INVALID: &str = "The link has expired, was used or revoked, or a later one was sent. Ask for a new one.";

/// Redirects from the address in a mail, which contains no tenant's short name, to the page of the link's tenant.
pub async fn redirect_to_tenant(provider: &Provider, request: &Request, page: &str) -> Answer {
    let form = Form::read(request.uri().query().unwrap_or_default())?;
    let link = form.get("link").unwrap_or_default();
    let tenant = match links(provider)?.tenant(link) {
        Some(tenant) => provider.authority.tenant_by_id(tenant).await?,
        None => None,
    };
    tenant.as_ref().map_or(Ok(()), |tenant| provider.authority.admits(tenant))?;
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("link", link).finish();
    Ok(match tenant {
        Some(tenant) => see_other(&format!("/t/{}/{page}?{query}", tenant.slug)),
        None => pages::message(&Brand::default(), StatusCode::GONE, INVALID, WHY_INVALID),
    })
}

/// Shows the page of an invitation.
pub async fn invitation_page(provider: &Provider, visit: Visit) -> Answer {
    let form = Form::read(&visit.query)?;
    let link = form.get("link").unwrap_or_default();
    match invited(provider, &visit, link).await? {
        Some(invited) => Ok(show(&visit, link, &invited, invited.name.as_deref().unwrap_or_default(), None)),
        None => Ok(invalid_link(&visit)),
    }
}

/// Accepts an invitation.
pub async fn accept(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let link = form.get("link").unwrap_or_default();
    let name = form.get("name").unwrap_or_default();
    let Some(invited) = invited(provider, &visit, link).await? else { return Ok(invalid_link(&visit)) };
    // The password is validated before the link is consumed, so that the link still works after a refused password.
    let phc = match provider.new_password(&visit, &form, &[name, &invited.email]).await? {
        Ok(phc) => phc,
        Err(advice) => return Ok(show(&visit, link, &invited, name, Some(&advice))),
    };
    let person = match links(provider)?.accept(link, name).await {
        Ok(Some(person)) => person,
        Ok(None) => return Ok(invalid_link(&visit)),
        Err(refusal) if !refusal.errors().is_empty() => {
            return Ok(show(&visit, link, &invited, name, Some(&advice(&refusal))));
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let account = provider.account(&visit, person.id).await?;
    let since = provider.moment(&account);
    let set = SetPassword {
        user: person.id,
        password: provider.seal_password(&visit, person.id, &phc).await?,
        by: By::Invitation,
        end_sessions: false,
    };
    provider.authority.run(&protocol(visit.tenant.id, &person.id.to_string()), &set).await?;
    enter(provider, &visit, &person, Authentication::method("pwd", since), Goal::Account).await
}

/// The page that verifies an address. The user has to press a button, so that a mail scanner that follows links does not verify it.
pub async fn verify_page(provider: &Provider, visit: Visit) -> Answer {
    let form = Form::read(&visit.query)?;
    let link = form.get("link").unwrap_or_default();
    if links(provider)?.tenant(link) != Some(visit.tenant.id) {
        return Ok(invalid_link(&visit));
    }
    Ok(pages::verification(&Verification {
        tenant: &visit.brand,
        action: &format!("/t/{}/verify-email", visit.tenant.slug),
        link,
    }))
}

/// Verifies an e-mail address.
pub async fn verify(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let (links, link) = (links(provider)?, form.get("link").unwrap_or_default());
    if links.tenant(link) != Some(visit.tenant.id) || !links.verify_email(link).await? {
        return Ok(invalid_link(&visit));
    }
    let text = "You can close this page.";
    Ok(pages::message(&visit.brand, StatusCode::OK, "Your address is verified", text))
}

/// The invitation of a link, if it is one of this tenant's.
async fn invited(provider: &Provider, visit: &Visit, link: &str) -> Result<Option<Invited>, OAuthError> {
    let invited = links(provider)?.invited(link).await?;
    Ok(invited.filter(|invited| invited.tenant == visit.tenant.id))
}

fn links(provider: &Provider) -> Result<&Arc<dyn MailedLinks>, OAuthError> {
    provider.authority.links().ok_or_else(OAuthError::no_links)
}

fn show(visit: &Visit, link: &str, invited: &Invited, name: &str, error: Option<&str>) -> Response {
    pages::invitation(&Invitation {
        tenant: &visit.brand,
        action: &format!("/t/{}/invitation", visit.tenant.slug),
        link,
        email: &invited.email,
        name,
        by_policy: invited.by_policy,
        error,
    })
}

/// The same page for every fault of a link, so that a stranger learns nothing from it. Who follows a link that they have used already can
/// sign in.
fn invalid_link(visit: &Visit) -> Response {
    let login = format!("/t/{}/login", visit.tenant.slug);
    pages::message_with_link(&visit.brand, StatusCode::GONE, INVALID, WHY_INVALID, (&login, "Sign in"))
}
