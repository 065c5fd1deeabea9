//! What is noted of those who may not do what they ask for.

use auth_aggregates::{Access, AccessDenied, AccessId, Account, NoteDenial, Place};
use chrono::{DateTime, Utc};
use executor::{Command, Work};
use kernel::{Refusal, UserId};
use uuid::Uuid;

use crate::grants::PROTOCOL;

/// A caller who is known was denied what they asked for, so often by now. Told again it is noted once.
#[derive(Clone, Debug)]
pub struct NoteDeniedAccess {
    /// Which of them.
    pub access: AccessId,
    /// Who asked, as their token says; none: many.
    pub subject: Option<String>,
    /// Why, in a word of ours.
    pub reason: String,
    /// What they do not have.
    pub permission: Option<String>,
    /// What they asked for.
    pub operation: Option<String>,
    /// The id of the first request.
    pub request: Option<Uuid>,
    /// When that was.
    pub at: DateTime<Utc>,
    /// From where it came; of who is no user it is not kept.
    pub place: Place,
    /// A keyed hash of the address, kept of who is no user.
    pub origin: Option<String>,
    /// How often, the first time included.
    pub times: u64,
    /// When the last time was.
    pub last_at: DateTime<Utc>,
}

impl Command for NoteDeniedAccess {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        // Who has an account can have it erased, and this with it.
        let user = match self.subject.as_deref().and_then(|subject| subject.parse::<Uuid>().ok()) {
            Some(id) => work.find::<Account>(UserId::new(id)).await?.map(|_| UserId::new(id)),
            None => None,
        };
        let (place, origin) = match user {
            Some(_) => (self.place.clone(), None),
            None => (Place::default(), self.origin.clone()),
        };
        let denied = AccessDenied {
            subject: self.subject.clone(),
            user,
            reason: self.reason.clone(),
            permission: self.permission.clone(),
            operation: self.operation.clone(),
            request: self.request,
            at: self.at,
            place,
            origin,
        };
        let note = NoteDenial { denied, times: self.times, last_at: self.last_at };
        work.upsert::<Access>(self.access, note).await
    }
}
