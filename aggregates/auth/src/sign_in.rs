//! Attempts to sign in that failed. One that succeeds is a session.

use kernel::{Aggregate, UserId};
use serde::{Deserialize, Serialize};

use crate::Place;

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
            pub place: Place,
        },
    }
}

/// An attempt to sign in that failed: a record, and nothing more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SignIn {}

impl Aggregate for SignIn {
    const TYPE: &'static str = "auth.sign_in";
    type Command = SignInRefused;
    type Event = SignInEvent;
    type Error = std::convert::Infallible;

    fn decide(&self, refused: SignInRefused) -> Result<Vec<SignInEvent>, Self::Error> {
        Ok(vec![refused.into()])
    }

    fn evolve(&mut self, _: SignInEvent) {}
}

kernel::aggregate!(SignIn);
