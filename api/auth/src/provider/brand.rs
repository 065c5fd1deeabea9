//! The branding of a tenant's pages: its name and logo, and the endpoints that serve the logo to everybody.

use auth_aggregates::{Branding, LogoSet};
use auth_commands::protocol;
use kernel::{Picture, Refusal};

use super::form::Form;
use super::pages::{Brand, Logo};
use super::{Answer, OAuthError, Provider, Visit, pictures};
use crate::authority::{Authority, KnownTenant};

/// How many hex digits of a logo's hash its address contains, to tell it from earlier versions.
const TELLING: usize = 16;

/// `Cache-Control` for a logo: immutable if the address contains its current hash, else short.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const FOR_NOW: &str = "public, max-age=300";

/// The branding of a tenant's pages. If the logo can't be loaded, it is left out: that must not prevent a sign-in.
pub(super) async fn brand(authority: &Authority, tenant: &KnownTenant) -> Brand {
    let logo = match logo(authority, tenant).await {
        Ok(logo) => logo,
        Err(refusal) => {
            tracing::warn!(%refusal, "a logo can't be looked up");
            None
        }
    };
    let at = |path: &str, picture: &Picture| format!("/t/{}/{path}?v={}", tenant.slug, version(picture));
    let logo = logo.map(|logo| Logo {
        light: at("logo", &logo.light),
        dark: logo.dark.as_ref().map(|dark| at("logo/dark", dark)),
        size: (logo.light.width, logo.light.height),
    });
    Brand { name: tenant.name.clone(), logo }
}

async fn logo(authority: &Authority, tenant: &KnownTenant) -> Result<Option<LogoSet>, Refusal> {
    let found = authority.executor().load::<Branding>(&protocol(tenant.id, "auth"), &tenant.id.to_string()).await?;
    Ok(found.and_then(|(branding, _)| branding.logo.clone()))
}

fn version(picture: &Picture) -> &str {
    picture.sha256.get(..TELLING).unwrap_or(&picture.sha256)
}

/// Serves the logo for light backgrounds.
pub async fn light(provider: &Provider, visit: Visit) -> Answer {
    let logo = logo(&provider.authority, &visit.tenant).await?;
    show(&visit, logo.map(|logo| logo.light))
}

/// Serves the logo for dark backgrounds.
pub async fn dark(provider: &Provider, visit: Visit) -> Answer {
    let logo = logo(&provider.authority, &visit.tenant).await?;
    show(&visit, logo.and_then(|logo| logo.dark))
}

fn show(visit: &Visit, picture: Option<Picture>) -> Answer {
    let picture = picture.ok_or_else(nothing)?;
    let asked = Form::read(&visit.query).ok().and_then(|query| query.get("v").map(str::to_owned));
    let keep = if asked.as_deref() == Some(version(&picture)) { FOR_EVER } else { FOR_NOW };
    Ok(pictures::answer(picture.file().ok_or_else(nothing)?, keep, "same-site"))
}

fn nothing() -> OAuthError {
    OAuthError::not_there("this tenant has no such logo")
}
