//! The pages that lead to a user's identity provider.

use maud::{Markup, html};
use poem::Response;
use poem::http::{HeaderValue, StatusCode};
use saml::PostForm;

use super::{Brand, Page};

/// Leads to an identity provider by a page: the form's content security policy would block a redirect.
pub fn to_provider(tenant: &Brand, provider: &str, url: &str) -> Response {
    let body = html! {
        p { "You sign in at " strong { (provider) } "." }
        p { a href=(url) { "Continue" } }
    };
    leads(&Page { tenant, title: "Sign in through your organization", leads_to: None }, &body, url)
}

/// Leads to the identity provider after signing out here, to be signed out there, too.
pub fn to_provider_after_sign_out(tenant: &Brand, url: &str) -> Response {
    let body = html! {
        p { "You are signed out here. Your organization signs you out, too." }
        p { a href=(url) { "Continue" } }
    };
    leads(&Page { tenant, title: "Sign out of your organization", leads_to: None }, &body, url)
}

/// Sends a message to the identity provider by a form. The user presses a button, as no page has a script to send it.
pub fn post_to_provider(tenant: &Brand, (title, text): (&str, &str), form: &PostForm) -> Response {
    let body = html! {
        p { (text) }
        form method="post" action=(form.url) {
            @for (name, value) in &form.fields { input type="hidden" name=(name) value=(value); }
            div.row { button type="submit" { "Continue" } }
        }
    };
    // The identity provider may redirect to others and back, and browsers apply `form-action` to those redirects, too.
    let leads_to = if form.url.starts_with("https:") { "https:" } else { form.url.as_str() };
    Page { tenant, title, leads_to: Some(leads_to) }.answer(StatusCode::OK, &body)
}

fn leads(page: &Page<'_>, body: &Markup, url: &str) -> Response {
    let mut response = page.answer(StatusCode::OK, body);
    if let Ok(refresh) = HeaderValue::from_str(&format!("0; url={url}")) {
        response.headers_mut().insert("refresh", refresh);
    }
    response
}
