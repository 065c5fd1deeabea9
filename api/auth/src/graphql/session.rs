//! Sessions of people in GraphQL.

use auth_projections::sessions::{self, SessionRow};
use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, Page, PageRequest, unreadable};
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

/// Somebody was signed in with one browser.
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

connection! {
    /// A page of a person's sessions.
    pub struct SignInSessionConnection of SignInSession by SignInSessionEdge in SERVICE, counted by sessions::count where Uuid
}

/// The sessions of a person, newest first.
pub(crate) async fn of_user(
    context: &Context,
    user: Uuid,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<SignInSessionConnection> {
    const ORDER: &str = "SESSIONS_NEWEST";
    context.require(READ)?;
    let request = PageRequest::new(first, after.as_deref(), ORDER)?;
    let mut tables = context.reader(SERVICE).await?;
    let tenant = context.caller().tenant();
    let found = sessions::of_user(&mut tables, tenant, user, request.after, request.limit()).await;
    let (rows, ended) = found.map_err(unreadable)?;
    let page = Page::new(&request, ORDER, rows, |row| row.session_id).map(|row| {
        let with_all = ended.as_ref().filter(|ended| ended.ended(&row));
        SignInSession { ended_with_all: with_all.map(|ended| (ended.ended_at, ended.reason.clone())), row }
    });
    Ok(SignInSessionConnection::new(page, user))
}
