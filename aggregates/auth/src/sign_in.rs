//! Failed sign-in attempts. A successful one starts a session.

use kernel::{Aggregate, UserId};
use serde::{Deserialize, Serialize};

use crate::{Account, Place};

kernel::events! {
    /// Events of a refused sign-in attempt. (A successful one is a session.)
    pub enum SignInEvent of "auth.sign_in" {
        /// A sign-in attempt was refused.
        SignInRefused = "auth.sign_in.refused" @ 1 {
            /// User whose account it concerns; absent: there is no account with the given name.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub user: Option<UserId>,
            /// Reason, as one word.
            pub reason: String,
            /// Where the attempt came from, if it concerns an account; otherwise empty, because nobody could have it erased.
            pub place: Place,
            /// For attempts that concern no account: a keyed hash of the IP address, hexadecimal. It is the same for attempts from the same
            /// address.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub origin: Option<String>,
        },
    }
}

/// A failed sign-in attempt. It only serves as a record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SignIn {
    /// The user whose account it concerned.
    pub user: Option<UserId>,
}

impl Aggregate for SignIn {
    const TYPE: &'static str = "auth.sign_in";
    const FORM: u32 = 2;
    const SEALED: bool = true;
    type Command = SignInRefused;
    type Event = SignInEvent;
    type Error = std::convert::Infallible;

    fn person(&self, _: &str) -> Option<String> {
        self.user.map(Account::key_of)
    }

    fn decide(&self, refused: SignInRefused) -> Result<Vec<SignInEvent>, Self::Error> {
        Ok(vec![refused.into()])
    }

    fn evolve(&mut self, SignInEvent::SignInRefused(refused): SignInEvent) {
        self.user = refused.user;
    }
}

kernel::aggregate!(SignIn);
