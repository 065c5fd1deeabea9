//! The picture of the signed-in user on the account page: a form uploads it, a button removes it. The user service decides what is allowed
//! ([`face::OwnPictures`]), as for its API.

use std::sync::Arc;

use face::OwnPictures;
use kernel::{Kind, Picture, Refusal};
use poem::http::{StatusCode, header};
use serde_json::Value;

use super::account::{show, to_account, to_login};
use super::error::spoken;
use super::upload::Uploaded;
use super::{Answer, OAuthError, Provider, Visit};

/// Sets or replaces the picture.
pub async fn set(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    // Before the body is read, which can be large: a stranger sends it for nothing.
    if provider.browser_session(&visit).await?.is_none() {
        return Ok(to_login(&visit));
    }
    let pictures = pictures(provider)?;
    let uploaded = visit.uploaded("picture", Picture::MOST_BYTES).await?;
    // And after it, because it can be sent slowly: the session may have ended meanwhile.
    let Some(browser) = provider.browser_session(&visit).await? else { return Ok(to_login(&visit)) };
    let mut wait = None;
    let refused = match uploaded {
        Uploaded::File(file) => match pictures.set(visit.tenant.id, browser.person.id, &file).await {
            Ok(()) => return Ok(to_account(&visit)),
            Err(refusal) => {
                wait = refusal.extra().get("retry_after").and_then(Value::as_u64);
                worded(refusal, wait)?
            }
        },
        Uploaded::Nothing => (StatusCode::BAD_REQUEST, "Choose a file first.".to_owned()),
        Uploaded::TooLarge => {
            let allowed = format!("allowed are {} KiB", Picture::MOST_BYTES >> 10);
            (StatusCode::PAYLOAD_TOO_LARGE, unusable(&allowed))
        }
    };
    let mut response = show(provider, &visit, &browser, Some(refused)).await?;
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

/// Removes the picture.
pub async fn remove(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    visit.form_text().await?;
    let Some(browser) = provider.browser_session(&visit).await? else { return Ok(to_login(&visit)) };
    pictures(provider)?.remove(visit.tenant.id, browser.person.id).await?;
    Ok(to_account(&visit))
}

fn pictures(provider: &Provider) -> Result<&Arc<dyn OwnPictures>, OAuthError> {
    provider.authority.pictures().ok_or_else(|| OAuthError::not_there("pictures can't be changed here"))
}

/// The refusal of a picture as the page words it, with the status of the response. `wait`: for how long it is refused, in seconds.
///
/// # Errors
/// A refusal that is not about the picture.
fn worded(refusal: Refusal, wait: Option<u64>) -> Result<(StatusCode, String), OAuthError> {
    match refusal.kind() {
        Kind::Invalid => {
            let detail = refusal.errors().first().map_or(refusal.detail(), |error| error.detail.as_str());
            Ok((StatusCode::BAD_REQUEST, unusable(detail)))
        }
        Kind::RateLimited => {
            let wait = spoken(wait.unwrap_or_default());
            let text = format!("You uploaded too many pictures. You can upload another one in {wait}.");
            Ok((StatusCode::TOO_MANY_REQUESTS, text))
        }
        _ => Err(refusal.into()),
    }
}

fn unusable(detail: &str) -> String {
    format!("This picture can't be used: {detail}.")
}
