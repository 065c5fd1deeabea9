//! Attempts to sign in that failed. One that succeeds is a session.

use kernel::{Aggregate, UserId};
use serde::{Deserialize, Serialize};

use crate::{Account, Place};

kernel::events! {
    /// What can happen to an attempt to sign in that fails. One that succeeds is a session.
    pub enum SignInEvent of "auth.sign_in" {
        /// Somebody tried to sign in and was refused.
        SignInRefused = "auth.sign_in.refused" @ 1 {
            /// Whose account it was about; absent: there is none of that name.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub user: Option<UserId>,
            /// Why, in a word of ours.
            pub reason: String,
            /// From where, if it is known whose account it was about; else nothing is: nobody could have it erased.
            pub place: Place,
            /// Of what was about nobody: a keyed hash of the address, hexadecimal, by which attempts from one place are seen to be from one.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub origin: Option<String>,
        },
    }
}

/// An attempt to sign in that failed: a record, and nothing more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SignIn {
    /// Whose account it was about.
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
