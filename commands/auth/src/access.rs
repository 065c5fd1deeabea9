//! The command that records denied requests.

use auth_aggregates::{Access, AccessDenied, AccessId, Account, NoteDenial, Place};
use chrono::{DateTime, Utc};
use executor::{Command, Work};
use kernel::{Refusal, UserId};
use uuid::Uuid;

use crate::grants::PROTOCOL;

/// Records that an authenticated caller was denied access, with the count so far. A repeated report with the same count changes nothing.
#[derive(Clone, Debug)]
pub struct NoteDeniedAccess {
    /// The series of equal denials that this belongs to.
    pub access: AccessId,
    /// The subject of the caller's token; `None` if several callers are counted together.
    pub subject: Option<String>,
    /// The reason code.
    pub reason: String,
    /// The missing permission.
    pub permission: Option<String>,
    /// The operation that was denied.
    pub operation: Option<String>,
    /// The id of the first request.
    pub request: Option<Uuid>,
    /// The time of the first request.
    pub at: DateTime<Utc>,
    /// The client's address and user agent. Stored only if the subject is a user.
    pub place: Place,
    /// A keyed hash of the address. Stored only if the subject is not a user.
    pub origin: Option<String>,
    /// Number of denials, including the first.
    pub times: u64,
    /// The time of the latest denial.
    pub last_at: DateTime<Utc>,
}

impl Command for NoteDeniedAccess {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        // Personal data is stored only for subjects with an account, because erasing the account erases it.
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
