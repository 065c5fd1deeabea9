//! Pages with a message.

use maud::html;
use poem::Response;
use poem::http::StatusCode;

use super::{Brand, Page};

/// A page with a short text.
pub fn message(tenant: &Brand, status: StatusCode, title: &str, text: &str) -> Response {
    Page { tenant, title, leads_to: None }.answer(status, &html! { p { (text) } })
}

/// A page with a short text and a link: its address and its text.
pub fn message_with_link(
    tenant: &Brand,
    status: StatusCode,
    title: &str,
    text: &str,
    (to, name): (&str, &str),
) -> Response {
    let body = html! { p { (text) } p { a href=(to) { (name) } } };
    Page { tenant, title, leads_to: None }.answer(status, &body)
}

/// Asks for confirmation before signing out: a link on another site may have led here.
pub fn confirm_sign_out(tenant: &Brand, action: &str, pending: &str, leads_to: Option<&str>) -> Response {
    let body = html! {
        p { "You will be signed out of everything that you opened with this browser." }
        form method="post" action=(action) {
            input type="hidden" name="pending" value=(pending);
            div.row { button type="submit" { "Sign out" } }
        }
    };
    Page { tenant, title: "Sign out?", leads_to }.answer(StatusCode::OK, &body)
}
