//! The pages that people see. Rendered here, whole; every page says what it may load and where its forms may lead. The only script is
//! that of passkeys, on the pages that ask for one, which work without it, too.

mod account;
mod consent;
mod device;
mod invitation;
mod login;
mod message;
mod organization;
mod passkey;
mod password;
mod registration;
mod required;
mod second_factor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use poem::Response;
use poem::http::{StatusCode, header};
use sha2::{Digest, Sha256};

pub use account::{AccountPage, ShownSession, account};
pub use consent::{Consent, consent};
pub use device::{DeviceCode, DeviceQuestion, device_code, device_question};
pub use invitation::{Invitation, Verification, invitation, verification};
pub use login::{Login, login};
pub use message::{confirm_sign_out, message, message_with_link};
pub use organization::{bringing, leaving, leaving_for_good};
pub use passkey::{PasskeyForm, PasskeysPage, SCRIPT, ShownPasskey, passkeys};
pub use password::{ChangePassword, NewPassword, change_password, forgot, new_password};

pub use registration::{Registration, registration};
pub use required::{RequiredPage, required};
pub use second_factor::{AuthenticatorPage, CodePage, EnrolPage, authenticator, code, enrol, recovery_codes};

const STYLE: &str = include_str!("style.css");

/// A page of a tenant.
pub struct Page<'p> {
    /// Whose page it is.
    pub tenant: &'p Brand,
    /// What the page is about.
    pub title: &'p str,
    /// Where its forms may lead besides us: a browser holds a redirect after a form against it, too.
    pub leads_to: Option<&'p str>,
}

/// Whose pages they are.
#[derive(Clone, Debug, Default)]
pub struct Brand {
    /// The tenant's name; empty: it is not known.
    pub name: String,
    /// Its logo.
    pub logo: Option<Logo>,
}

/// A tenant's logo.
#[derive(Clone, Debug)]
pub struct Logo {
    /// Where it is, seen from a page.
    pub light: String,
    /// Another one, where all is dark.
    pub dark: Option<String>,
    /// How wide and how high it is, so that nothing moves when it comes.
    pub size: (u32, u32),
}

impl Brand {
    /// At the top of a page. Where all is dark and there is no logo for that, it stands on a light ground.
    fn shown(&self) -> Markup {
        html! {
            @if let Some(Logo { light, dark, size: (width, height) }) = &self.logo {
                picture.logo.plated[dark.is_none()] {
                    @if let Some(dark) = dark { source media="(prefers-color-scheme: dark)" srcset=(dark); }
                    img src=(light) alt={ "Logo of " (self.name) } width=(width) height=(height);
                }
            }
            @if !self.name.is_empty() { p.tenant { (self.name) } }
        }
    }
}

/// A script of ours.
pub struct Script {
    /// Where it is, seen from the page.
    pub path: String,
    /// What a page may run that has it: this and nothing else of ours.
    pub source: String,
}

impl Page<'_> {
    /// The page as an answer.
    pub fn answer(&self, status: StatusCode, body: &Markup) -> Response {
        self.answer_with(status, body, None)
    }

    /// The same with a script.
    pub fn answer_with(&self, status: StatusCode, body: &Markup, script: Option<&Script>) -> Response {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) @if !self.tenant.name.is_empty() { " · " (self.tenant.name) } }
                    style { (PreEscaped(STYLE)) }
                    @if let Some(script) = script { script src=(script.path) defer {} }
                }
                body {
                    main {
                        (self.tenant.shown())
                        h1 { (self.title) }
                        (body)
                    }
                }
            }
        };
        let form_action = match self.leads_to.and_then(source) {
            Some(source) => format!("'self' {source}"),
            None => "'self'".to_owned(),
        };
        let style = STANDARD.encode(Sha256::digest(STYLE));
        let script = script.map(|script| format!("script-src {}; ", script.source)).unwrap_or_default();
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; {script}img-src 'self' data:; form-action {form_action}; \
             frame-ancestors 'none'; base-uri 'none'"
        );
        Response::builder()
            .status(status)
            .content_type("text/html; charset=utf-8")
            .header(header::CACHE_CONTROL, "no-store")
            .header("content-security-policy", policy)
            // Not "no-referrer": with that, browsers say of our own forms that they come from nowhere (Origin: null).
            .header("referrer-policy", "same-origin")
            .header("x-frame-options", "DENY")
            .header("cross-origin-opener-policy", "same-origin")
            .body(page.into_string())
    }
}

/// The source expression of an address that was registered: its origin, or its scheme.
fn source(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    match rest.strip_prefix("//") {
        Some(rest) if scheme.starts_with("http") => {
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            // What would end the directive or begin another one is in no address that can be registered; and not in this.
            (!authority.contains([';', ',', '\'', ' '])).then(|| format!("{scheme}://{authority}"))
        }
        _ => Some(format!("{scheme}:")),
    }
}

/// What was wrong, said where a screen reader reads it first.
fn alert(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { p.alert role="alert" { (text) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_may_lead_to_the_application_and_nowhere_else() {
        assert_eq!(source("https://app.example.com/back?x=1").as_deref(), Some("https://app.example.com"));
        assert_eq!(source("http://127.0.0.1:5000/back").as_deref(), Some("http://127.0.0.1:5000"));
        assert_eq!(source("com.example.app:/back").as_deref(), Some("com.example.app:"));
        assert_eq!(source("https://a; script-src *"), None);
    }
}
