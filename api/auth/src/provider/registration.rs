//! Self-registration, where the tenant allows it: the user enters an e-mail address, and the mailed link leads through the same steps as an
//! invitation ([`mailed`](super::mailed)).

use kernel::Checks;
use poem::Response;
use poem::http::StatusCode;

use super::attempts::AttemptTarget;
use super::form::Form;
use super::pages::{self, Registration};
use super::{Answer, OAuthError, Provider, Visit};

/// The recorded reason for refusing a registration that the policy does not allow.
const REFUSED: &str = "registration_not_allowed";

impl Provider {
    /// The path of the registration page; none: the tenant allows no self-registration.
    ///
    /// # Errors
    /// When it can't be determined now.
    pub(super) async fn registers_at(&self, visit: &Visit) -> Result<Option<String>, OAuthError> {
        let Some(links) = self.authority.links() else { return Ok(None) };
        let open = links.lets_register(visit.tenant.id).await?;
        Ok(open.then(|| format!("/t/{}/register", visit.tenant.slug)))
    }
}

/// Shows the registration page.
pub async fn page(provider: &Provider, visit: Visit) -> Answer {
    Ok(match provider.registers_at(&visit).await? {
        Some(action) => show(&visit, &action, "", None),
        None => closed(&visit),
    })
}

/// Handles a request for an account.
pub async fn ask(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    // A limit, so that nobody can have us mail to many addresses.
    provider.attempts.begin(&AttemptTarget::new(visit.tenant.id, "a registration", visit.address))?;
    provider.attempts.begin_anonymous(visit.tenant.id, visit.address)?;
    let form = Form::read(&visit.form_text().await?)?;
    let Some(action) = provider.registers_at(&visit).await? else {
        provider.note_refused(&visit, None, REFUSED).await?;
        return Ok(closed(&visit));
    };
    let email = form.get("email").unwrap_or_default().trim().to_owned();
    let mut checks = Checks::default();
    checks.email("/email", &email);
    if !checks.ok() {
        return Ok(show(&visit, &action, &email, Some("This is not an e-mail address, such as ada@example.com.")));
    }
    let answer = pages::message(
        &visit.brand,
        StatusCode::OK,
        "Check your mail",
        "If this address may register here, we have sent it a link to continue.",
    );
    provider.in_background("an account", |provider| async move { request(&provider, &visit, &email).await });
    Ok(answer)
}

async fn request(provider: &Provider, visit: &Visit, email: &str) -> Result<(), OAuthError> {
    let Some(links) = provider.authority.links() else { return Ok(()) };
    if links.register(visit.tenant.id, email).await? {
        Ok(())
    } else {
        provider.note_refused(visit, None, REFUSED).await
    }
}

fn show(visit: &Visit, action: &str, email: &str, error: Option<&str>) -> Response {
    let login = format!("/t/{}/login", visit.tenant.slug);
    pages::registration(&Registration { tenant: &visit.brand, action, login: &login, email, error })
}

fn closed(visit: &Visit) -> Response {
    let text = "You need an invitation to get an account here. Ask your administrator for one.";
    pages::message(&visit.brand, StatusCode::NOT_FOUND, "Registration is by invitation only", text)
}
