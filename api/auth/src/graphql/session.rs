//! Sessions of users in GraphQL.

use auth_projections::sessions::{self, SessionRow};
use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, Page, PageRequest, unreadable};
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use crate::SERVICE;

/// The permission to see sessions.
pub(super) const READ: &str = "auth:history:read";

/// A session of a user in one browser.
#[derive(Clone, Debug)]
pub struct SignInSession {
    row: SessionRow,
    /// When and why all of the user's sessions that had begun by then ended, including this one.
    ended_with_all: Option<(DateTime<Utc>, String)>,
}

/// A session of a user in one browser.
#[graphql_object(name = "SignInSession", context = Context)]
impl SignInSession {
    /// Id of the session.
    fn id(&self) -> Uuid {
        self.row.session_id
    }

    /// Authentication methods (RFC 8176), such as `pwd` and `otp`.
    fn methods(&self) -> &[String] {
        &self.row.methods.0
    }

    /// IP address at sign-in.
    fn address(&self) -> Option<&str> {
        self.row.address.as_deref()
    }

    /// User agent of the browser.
    fn agent(&self) -> Option<&str> {
        self.row.agent.as_deref()
    }

    /// When the user signed in.
    fn started_at(&self) -> DateTime<Utc> {
        self.row.started_at
    }

    /// When the user last authenticated.
    fn confirmed_at(&self) -> DateTime<Utc> {
        self.row.confirmed_at
    }

    /// When the session was last used, accurate to about an hour. It ends after the period without use that the sign-in policy allows
    /// (`session_idle_minutes`).
    fn last_used_at(&self) -> DateTime<Utc> {
        self.row.used_at
    }

    /// When the session expires at the latest.
    fn expires_at(&self) -> DateTime<Utc> {
        self.row.expires_at
    }

    /// When the session ended.
    fn ended_at(&self) -> Option<DateTime<Utc>> {
        self.row.ended_at.or(self.ended_with_all.as_ref().map(|(at, _)| *at))
    }

    /// Why the session ended: `signed_out`, `revoked`, or the reason for which all sessions of the user ended, such as `locked`.
    fn end_reason(&self) -> Option<&str> {
        let with_all = self.ended_with_all.as_ref().map(|(_, reason)| reason.as_str());
        self.row.end_reason.as_deref().or(with_all)
    }
}

connection! {
    /// A page of a person's sessions.
    pub struct SignInSessionConnection of SignInSession by SignInSessionEdge in SERVICE, counted by sessions::count where Uuid
}

/// Lists a user's sessions, newest first.
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
