//! The user whom a client expects in an authorization request: by `id_token_hint` or `login_hint` (OpenID Connect Core section 3.1.2.1).

use face::Person;
use kernel::UserId;

use super::authorization_request::AuthorizationRequest;
use super::{OAuthError, Provider, Visit};

/// The user whom a client expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HintedUser {
    /// The client gives no hint.
    Anybody,
    /// The subject of the ID token: a code is issued for nobody else.
    Subject(UserId),
    /// The user with this login name or address. The hint may be wrong: a user who has just authenticated goes on in any case.
    Named(String),
    /// The ID token can't be verified any more, as its key was retired, and `prompt=none` forbids asking the user.
    Forgotten,
}

/// Why a hint can't be used.
pub(super) enum HintError {
    /// It is not an ID token of ours.
    NoIdToken(&'static str),
    /// It can't be checked now.
    Unknown(OAuthError),
}

impl HintedUser {
    /// Whether the expected user may be this person. `fresh`: they have just authenticated.
    pub(super) fn may_be(&self, person: &Person, fresh: bool) -> bool {
        match self {
            Self::Anybody => true,
            Self::Subject(id) => *id == person.id,
            Self::Named(name) => fresh || goes_by(person, name),
            Self::Forgotten => false,
        }
    }
}

/// Whether a name is one of this person's identifiers. It is not looked up whether another person has it, which would reveal who exists.
fn goes_by(person: &Person, name: &str) -> bool {
    let name = kernel::folded(name.trim());
    let theirs = [Some(&person.login), person.email.as_ref(), person.user_name.as_ref(), person.phone.as_ref()];
    theirs.into_iter().flatten().any(|known| kernel::folded(known) == name)
}

impl Provider {
    /// The user whom the client of an authorization request expects.
    pub(super) async fn hinted_user(
        &self,
        visit: &Visit,
        asked: &AuthorizationRequest,
    ) -> Result<HintedUser, HintError> {
        if let Some(token) = &asked.id_token_hint {
            return match self.id_token_hint(visit, token).await {
                Ok(Some(hint)) => Ok(HintedUser::Subject(hint.subject)),
                Ok(None) if asked.prompt.iter().any(|one| one == "none") => Ok(HintedUser::Forgotten),
                Ok(None) => Ok(HintedUser::Anybody),
                Err(error) if error.is_bad_request() => {
                    Err(HintError::NoIdToken("id_token_hint is not an ID token of this issuer"))
                }
                Err(error) => Err(HintError::Unknown(error)),
            };
        }
        Ok(asked.login_hint.clone().map_or(HintedUser::Anybody, HintedUser::Named))
    }
}
