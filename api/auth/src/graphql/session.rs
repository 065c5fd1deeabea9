//! Sessions of people in GraphQL.

use auth_projections::sessions::{self, SessionRow};
use chrono::{DateTime, Utc};
use face::graphql::{Context, few, unreadable};
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use crate::SERVICE;

/// What one needs to see who signed in.
pub(super) const READ: &str = "auth:history:read";

/// Somebody was signed in with one browser.
#[derive(Clone, Debug)]
pub struct SignInSession {
    row: SessionRow,
    /// When and why all of the person's sessions ended that had begun by then, this one among them.
    ended_with_all: Option<(DateTime<Utc>, String)>,
}

#[graphql_object(name = "SignInSession", context = Context)]
impl SignInSession {
    /// The session's id.
    fn id(&self) -> Uuid {
        self.row.session_id
    }

    /// By what they showed who they are (RFC 8176): `pwd`, `otp`.
    fn methods(&self) -> &[String] {
        &self.row.methods.0
    }

    /// From which address they came.
    fn address(&self) -> Option<&str> {
        self.row.address.as_deref()
    }

    /// What the browser said that it is.
    fn agent(&self) -> Option<&str> {
        self.row.agent.as_deref()
    }

    /// When they signed in.
    fn started_at(&self) -> DateTime<Utc> {
        self.row.started_at
    }

    /// When they last showed who they are.
    fn confirmed_at(&self) -> DateTime<Utc> {
        self.row.confirmed_at
    }

    /// When it was last used, to about an hour. It ends when that is as long ago as the sign-in policy says (`session_idle_minutes`).
    fn last_used_at(&self) -> DateTime<Utc> {
        self.row.used_at
    }

    /// When it ends, if nothing ends it before.
    fn expires_at(&self) -> DateTime<Utc> {
        self.row.expires_at
    }

    /// When it was ended.
    fn ended_at(&self) -> Option<DateTime<Utc>> {
        self.row.ended_at.or(self.ended_with_all.as_ref().map(|(at, _)| *at))
    }

    /// Why it was ended: `signed_out`, `revoked`, or what ended all of the person's sessions, such as `locked`.
    fn end_reason(&self) -> Option<&str> {
        let with_all = self.ended_with_all.as_ref().map(|(_, reason)| reason.as_str());
        self.row.end_reason.as_deref().or(with_all)
    }
}

/// The newest sessions of a person.
pub(crate) async fn of_user(
    context: &Context,
    user: Uuid,
    first: Option<i32>,
    after: Option<Uuid>,
) -> FieldResult<Vec<SignInSession>> {
    context.require(READ)?;
    let first = few(first, 20, 100)?;
    let mut tables = context.reader(SERVICE).await?;
    let found = sessions::of_user(&mut tables, context.caller().tenant(), user, after, first.into()).await;
    let (rows, ended) = found.map_err(unreadable)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let with_all = ended.as_ref().filter(|ended| row.started_at <= ended.ended_at);
            SignInSession { ended_with_all: with_all.map(|ended| (ended.ended_at, ended.reason.clone())), row }
        })
        .collect())
}
