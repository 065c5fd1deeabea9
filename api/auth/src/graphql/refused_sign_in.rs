//! Refused attempts to sign in, in GraphQL.

use auth_projections::refused_sign_ins::{self, RefusedSignInRow};
use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, Page, PageRequest, unreadable};
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use super::session::READ;
use crate::SERVICE;

/// An attempt to sign in that was refused.
#[derive(Clone, Debug)]
pub struct RefusedSignIn {
    row: RefusedSignInRow,
}

/// An attempt to sign in that was refused.
#[graphql_object(name = "RefusedSignIn", context = Context)]
impl RefusedSignIn {
    /// The attempt's id.
    fn id(&self) -> Uuid {
        self.row.sign_in_id
    }

    /// Why, in a word such as `password_wrong`.
    fn reason(&self) -> &str {
        &self.row.reason
    }

    /// When.
    fn at(&self) -> DateTime<Utc> {
        self.row.at
    }

    /// From which address it came; `null` when it was about nobody.
    fn address(&self) -> Option<&str> {
        self.row.address.as_deref()
    }

    /// What the browser said that it is; `null` when it was about nobody.
    fn agent(&self) -> Option<&str> {
        self.row.agent.as_deref()
    }

    /// Of what was about nobody: the same for attempts from the same address, and not that address.
    fn origin(&self) -> Option<&str> {
        self.row.origin.as_deref()
    }
}

connection! {
    /// A page of refused attempts to sign in.
    pub struct RefusedSignInConnection of RefusedSignIn by RefusedSignInEdge in SERVICE, counted by refused_sign_ins::count where Option<Uuid>
}

/// Those at somebody's account, or without a user at nobody's; newest first.
pub(crate) async fn list(
    context: &Context,
    user: Option<Uuid>,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<RefusedSignInConnection> {
    const ORDER: &str = "REFUSED_SIGN_INS_NEWEST";
    context.require(READ)?;
    let request = PageRequest::new(first, after.as_deref(), ORDER)?;
    let mut tables = context.reader(SERVICE).await?;
    let tenant = context.caller().tenant();
    let rows = refused_sign_ins::of_user(&mut tables, tenant, user, request.after, request.limit()).await;
    let rows = rows.map_err(unreadable)?.into_iter().map(|row| RefusedSignIn { row }).collect();
    Ok(RefusedSignInConnection::new(Page::new(&request, ORDER, rows, RefusedSignIn::id), user))
}
