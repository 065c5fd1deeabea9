//! The page or request to which the user continues after signing in.

use auth_aggregates::SessionId;
use poem::Response;
use serde::{Deserialize, Serialize};

use super::authorization_request::{AuthorizationError, AuthorizationRequest};
use super::authorize::{ON_LOGIN, expired};
use super::form::Form;
use super::{OAuthError, Provider, Visit};

/// The query parameter that resumes an authorization request after the user has authenticated and was shown another page first. Its value
/// is sealed, so that only we can assert that the user has just authenticated, and for this request only.
const RESUMED: &str = "shown";

const ON_THE_WAY: &str = "auth.authorize.on_the_way";

#[derive(Serialize, Deserialize)]
struct ResumedRequest {
    /// The query of the authorization request.
    query: String,
    /// The session in which the user authenticated.
    session: SessionId,
}

/// Reads a query that [`Goal::address`] made: the query of the authorization request, and the session in which the user authenticated.
/// None: the query has no such parameter.
///
/// # Errors
/// The page to show when the parameter is invalid or has expired.
pub(super) async fn resumed(
    provider: &Provider,
    visit: &Visit,
    query: &str,
) -> Result<Result<Option<(String, SessionId)>, Response>, OAuthError> {
    let form = Form::read(query).unwrap_or_default();
    let Some(sealed) = form.get(RESUMED) else { return Ok(Ok(None)) };
    let kept: Option<ResumedRequest> = provider.open_state(visit, ON_THE_WAY, sealed).await?;
    Ok(kept.map(|kept| Some((kept.query, kept.session))).ok_or_else(|| expired(visit)))
}

/// The serialized form of [`Goal`], which is sealed into pages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Then {
    /// The account page.
    Account,
    /// The user's passkeys.
    Passkeys,
    /// The user's authenticator.
    Authenticator,
    /// The authorization request with this query.
    Client(String),
    /// The decision about the device with this user code.
    Device(String),
}

/// Where a user continues after signing in.
pub(super) enum Goal {
    /// The account page.
    Account,
    /// The user's passkeys.
    Passkeys,
    /// The user's authenticator.
    Authenticator,
    /// An authorization request.
    Client(Box<AuthorizationRequest>),
    /// The decision about the device with this user code.
    Device(String),
}

/// Reads a form of the sign-in page and the goal that was sealed into the page; or gives the response that refuses it.
pub(super) async fn from_login(
    provider: &Provider,
    visit: &mut Visit,
) -> Result<Result<(Form, Goal), Response>, OAuthError> {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let kept: Option<Then> = provider.open_state(visit, ON_LOGIN, form.need("pending")?).await?;
    let Some(then) = kept else { return Ok(Err(expired(visit))) };
    let goal = Goal::read(provider, visit, then).await?;
    Ok(goal.map(|goal| (form, goal)).map_err(|error| error.answer(visit)))
}

impl Goal {
    /// Restores a goal, validating its authorization request again.
    pub(super) async fn read(
        provider: &Provider,
        visit: &Visit,
        then: Then,
    ) -> Result<Result<Self, AuthorizationError>, OAuthError> {
        Ok(match then {
            Then::Account => Ok(Self::Account),
            Then::Passkeys => Ok(Self::Passkeys),
            Then::Authenticator => Ok(Self::Authenticator),
            Then::Device(code) => Ok(Self::Device(code)),
            Then::Client(query) => {
                AuthorizationRequest::read(provider, visit, query).await?.map(|asked| Self::Client(Box::new(asked)))
            }
        })
    }

    /// The serialized form.
    pub(super) fn then(&self) -> Then {
        match self {
            Self::Account => Then::Account,
            Self::Passkeys => Then::Passkeys,
            Self::Authenticator => Then::Authenticator,
            Self::Device(code) => Then::Device(code.clone()),
            Self::Client(asked) => Then::Client(asked.query.clone()),
        }
    }

    /// The address of the goal, for a user who has just authenticated in this session.
    ///
    /// # Errors
    /// When the tenant's key can't be used.
    pub(super) async fn address(
        &self,
        provider: &Provider,
        visit: &Visit,
        session: SessionId,
    ) -> Result<String, OAuthError> {
        let query =
            |pairs: &[(&str, &str)]| url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let path = match self {
            Self::Account => "account".to_owned(),
            Self::Passkeys => "account/passkeys".to_owned(),
            Self::Authenticator => "account/authenticator".to_owned(),
            Self::Client(asked) => {
                let resumed = ResumedRequest { query: asked.query.clone(), session };
                let resumed = provider.seal_state(visit, ON_THE_WAY, resumed).await?;
                format!("authorize?{}", query(&[(RESUMED, &resumed)]))
            }
            Self::Device(code) => format!("device?{}", query(&[("user_code", code)])),
        };
        Ok(format!("/t/{}/{path}", visit.tenant.slug))
    }

    /// The redirect URI of the client, if the goal is an authorization request.
    pub(super) fn leads_to(&self) -> Option<&str> {
        match self {
            Self::Client(asked) => Some(asked.redirect_uri()),
            _ => None,
        }
    }

    /// Whether the user has to authenticate again, even if signed in.
    pub(super) fn wants_fresh(&self) -> bool {
        match self {
            Self::Client(asked) => asked.max_age.is_some() || asked.prompt.iter().any(|prompt| prompt == "login"),
            // Credentials may be changed only right after authenticating.
            Self::Passkeys | Self::Authenticator => true,
            Self::Account | Self::Device(_) => false,
        }
    }

    /// The name of the client of the authorization request, if the goal is one.
    pub(super) fn client(&self) -> Option<&str> {
        match self {
            Self::Client(asked) => Some(&asked.state.details.name),
            _ => None,
        }
    }
}
