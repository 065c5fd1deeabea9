//! Where somebody goes on who signs in.

use auth_aggregates::SessionId;
use poem::Response;
use serde::{Deserialize, Serialize};

use super::asked::{Asked, AuthorizationError};
use super::authorize::{ON_LOGIN, expired};
use super::form::Form;
use super::{OAuthError, Provider, Visit};

/// The parameter by which somebody comes back to what a client asked for, who has just shown who they are and had to look at something else
/// first. Sealed, for nobody else says that, and nothing else is asked with it.
const SHOWN: &str = "shown";

const ON_THE_WAY: &str = "auth.authorize.on_the_way";

#[derive(Serialize, Deserialize)]
struct Shown {
    /// What the client asked for.
    query: String,
    /// In which session they showed who they are.
    session: SessionId,
}

/// Of a query that [`Goal::address`] made: what the client asked for, and in which session they showed who they are. None: it is no such query.
///
/// # Errors
/// What is seen where it is too old, or was not us.
pub(super) async fn shown(
    provider: &Provider,
    visit: &Visit,
    query: &str,
) -> Result<Result<Option<(String, SessionId)>, Response>, OAuthError> {
    let form = Form::read(query).unwrap_or_default();
    let Some(sealed) = form.get(SHOWN) else { return Ok(Ok(None)) };
    let kept: Option<Shown> = provider.kept(visit, ON_THE_WAY, sealed).await?;
    Ok(kept.map(|kept| Some((kept.query, kept.session))).ok_or_else(|| expired(visit)))
}

/// Where somebody goes on who signs in, as pages keep it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Then {
    /// To what is their own.
    Account,
    /// To their passkeys.
    Passkeys,
    /// To their authenticator.
    Authenticator,
    /// To what a client asked for with this query.
    Client(String),
    /// To the device that shows this code.
    Device(String),
}

/// Where somebody goes on who signs in.
pub(super) enum Goal {
    /// To what is their own.
    Account,
    /// To their passkeys.
    Passkeys,
    /// To their authenticator.
    Authenticator,
    /// To what a client asked for.
    Client(Box<Asked>),
    /// To the device that shows this code.
    Device(String),
}

/// What somebody sends from the page on which they sign in, and what they came to it for; else the answer why that is not known.
pub(super) async fn from_login(
    provider: &Provider,
    visit: &mut Visit,
) -> Result<Result<(Form, Goal), Response>, OAuthError> {
    visit.of_our_page(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let kept: Option<Then> = provider.kept(visit, ON_LOGIN, form.need("pending")?).await?;
    let Some(then) = kept else { return Ok(Err(expired(visit))) };
    let goal = Goal::read(provider, visit, then).await?;
    Ok(goal.map(|goal| (form, goal)).map_err(|error| error.answer(visit)))
}

impl Goal {
    /// Where somebody goes on, of what was kept.
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
                Asked::read(provider, visit, query).await?.map(|asked| Self::Client(Box::new(asked)))
            }
        })
    }

    /// As it is kept.
    pub(super) fn then(&self) -> Then {
        match self {
            Self::Account => Then::Account,
            Self::Passkeys => Then::Passkeys,
            Self::Authenticator => Then::Authenticator,
            Self::Device(code) => Then::Device(code.clone()),
            Self::Client(asked) => Then::Client(asked.query.clone()),
        }
    }

    /// Where that is, for who has just shown who they are in this session.
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
                let shown = Shown { query: asked.query.clone(), session };
                let shown = provider.keep(visit, ON_THE_WAY, shown).await?;
                format!("authorize?{}", query(&[(SHOWN, &shown)]))
            }
            Self::Device(code) => format!("device?{}", query(&[("user_code", code)])),
        };
        Ok(format!("/t/{}/{path}", visit.tenant.slug))
    }

    /// Where people are sent in the end, if that is not here.
    pub(super) fn leads_to(&self) -> Option<&str> {
        match self {
            Self::Client(asked) => Some(&asked.redirect_uri),
            _ => None,
        }
    }

    /// Whether they have to show anew who they are.
    pub(super) fn wants_fresh(&self) -> bool {
        match self {
            Self::Client(asked) => asked.max_age.is_some() || asked.prompt.iter().any(|prompt| prompt == "login"),
            // Who changes by what they sign in shows it first.
            Self::Passkeys | Self::Authenticator => true,
            Self::Account | Self::Device(_) => false,
        }
    }

    /// The client for which they sign in.
    pub(super) fn client(&self) -> Option<&str> {
        match self {
            Self::Client(asked) => Some(&asked.state.details.name),
            _ => None,
        }
    }
}
