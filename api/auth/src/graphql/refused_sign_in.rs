//! Refused sign-in attempts in GraphQL.

use auth_projections::refused_sign_ins::{self, RefusedSignInRow};
use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, Page, PageRequest, unreadable};
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use super::session::READ;
use crate::SERVICE;

/// A refused sign-in attempt.
#[derive(Clone, Debug)]
pub struct RefusedSignIn {
    row: RefusedSignInRow,
}

/// A refused sign-in attempt.
#[graphql_object(name = "RefusedSignIn", context = Context)]
impl RefusedSignIn {
    /// Id of the attempt.
    fn id(&self) -> Uuid {
        self.row.sign_in_id
    }

    /// Reason, such as `password_wrong`.
    fn reason(&self) -> &str {
        &self.row.reason
    }

    /// When the attempt was made.
    fn at(&self) -> DateTime<Utc> {
        self.row.at
    }

    /// IP address of the attempt; `null` if it belongs to no account.
    fn address(&self) -> Option<&str> {
        self.row.address.as_deref()
    }

    /// User agent of the browser; `null` if the attempt belongs to no account.
    fn agent(&self) -> Option<&str> {
        self.row.agent.as_deref()
    }

    /// Pseudonym of the IP address, if the attempt belongs to no account: the same for attempts from the same address.
    fn origin(&self) -> Option<&str> {
        self.row.origin.as_deref()
    }
}

connection! {
    /// A page of refused attempts to sign in.
    pub struct RefusedSignInConnection of RefusedSignIn by RefusedSignInEdge in SERVICE, counted by refused_sign_ins::count where Option<Uuid>
}

/// Lists the attempts at a user's account, or without a user those that belong to no account; newest first.
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
