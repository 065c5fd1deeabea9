//! Whom a client means that sends somebody to sign in: by an ID token of theirs, or by a name (OpenID Connect Core section 3.1.2.1).

use face::Person;
use kernel::UserId;

use super::asked::Asked;
use super::{OAuthError, Provider, Visit};

/// Whom a client means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HintedUser {
    /// It does not say.
    Anybody,
    /// Whom an ID token is about: nobody else gets it a code.
    Subject(UserId),
    /// Whoever goes by this name. It may be mistaken: who has just shown who they are goes on.
    Named(String),
    /// Of whom an ID token is about nothing is known any more, as its key was retired, and without a page nobody can be asked.
    Forgotten,
}

/// Why it is not known whom a client means.
pub(super) enum HintError {
    /// What it sends is no ID token of ours.
    NoIdToken(&'static str),
    /// It can't be told now.
    Unknown(OAuthError),
}

impl HintedUser {
    /// Whether it may be this person. `fresh`: they have just shown who they are.
    pub(super) fn may_be(&self, person: &Person, fresh: bool) -> bool {
        match self {
            Self::Anybody => true,
            Self::Subject(id) => *id == person.id,
            Self::Named(name) => fresh || goes_by(person, name),
            Self::Forgotten => false,
        }
    }
}

/// Whether a name is one of theirs. Who else has it is not looked up: whether anybody does is nobody's business.
fn goes_by(person: &Person, name: &str) -> bool {
    let name = kernel::folded(name.trim());
    let theirs = [Some(&person.login), person.email.as_ref(), person.user_name.as_ref(), person.phone.as_ref()];
    theirs.into_iter().flatten().any(|known| kernel::folded(known) == name)
}

impl Provider {
    /// Whom a client means by what it asks for.
    pub(super) async fn hinted_user(&self, visit: &Visit, asked: &Asked) -> Result<HintedUser, HintError> {
        if let Some(token) = &asked.id_token_hint {
            return match self.id_token_hint(visit, token).await {
                Ok(Some(hint)) => Ok(HintedUser::Subject(hint.subject)),
                Ok(None) if asked.prompt.iter().any(|one| one == "none") => Ok(HintedUser::Forgotten),
                Ok(None) => Ok(HintedUser::Anybody),
                Err(error) if error.is_of_request() => {
                    Err(HintError::NoIdToken("id_token_hint is not an ID token of this issuer"))
                }
                Err(error) => Err(HintError::Unknown(error)),
            };
        }
        Ok(asked.login_hint.clone().map_or(HintedUser::Anybody, HintedUser::Named))
    }
}
