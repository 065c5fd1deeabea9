//! On the way to somebody's organization.

use maud::html;
use poem::Response;
use poem::http::{HeaderValue, StatusCode};

use super::{Brand, Page};

/// Sends somebody on to an identity provider, by a page: a redirect would be held against where our own forms may lead.
pub fn leaving(tenant: &Brand, provider: &str, url: &str) -> Response {
    let body = html! {
        p { "You sign in at " strong { (provider) } "." }
        p { a href=(url) { "Go on" } }
    };
    let page = Page { tenant, title: "Sign in through your organization", leads_to: None };
    let mut response = page.answer(StatusCode::OK, &body);
    if let Ok(refresh) = HeaderValue::from_str(&format!("0; url={url}")) {
        response.headers_mut().insert("refresh", refresh);
    }
    response
}
