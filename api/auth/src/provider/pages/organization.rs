//! On the way to somebody's organization.

use maud::{Markup, html};
use poem::Response;
use poem::http::{HeaderValue, StatusCode};
use saml::PostForm;

use super::{Brand, Page};

/// Sends somebody on to an identity provider, by a page: a redirect would be held against where our own forms may lead.
pub fn leaving(tenant: &Brand, provider: &str, url: &str) -> Response {
    let body = html! {
        p { "You sign in at " strong { (provider) } "." }
        p { a href=(url) { "Go on" } }
    };
    leads(&Page { tenant, title: "Sign in through your organization", leads_to: None }, &body, url)
}

/// They are signed out here, and go to their provider to be signed out there, too.
pub fn leaving_for_good(tenant: &Brand, url: &str) -> Response {
    let body = html! {
        p { "You are signed out here. Your organization signs you out, too." }
        p { a href=(url) { "Go on" } }
    };
    leads(&Page { tenant, title: "Sign out of your organization", leads_to: None }, &body, url)
}

/// Has somebody bring a message to their provider, by a form. It has a button, for no page has a script that would send it.
pub fn bringing(tenant: &Brand, (title, text): (&str, &str), form: &PostForm) -> Response {
    let body = html! {
        p { (text) }
        form method="post" action=(form.url) {
            @for (name, value) in &form.fields { input type="hidden" name=(name) value=(value); }
            div.row { button type="submit" { "Go on" } }
        }
    };
    // The provider leads on to others whom it tells, and back: a browser holds those redirects against where this form may lead, too.
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
