//! Refused attempts to sign in, in GraphQL.

use auth_projections::refused_sign_ins::{self, RefusedSignInRow};
use chrono::{DateTime, Utc};
use face::graphql::{Context, few, unreadable};
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use super::session::READ;
use crate::SERVICE;

/// An attempt to sign in that was refused.
#[derive(Clone, Debug)]
pub struct RefusedSignIn {
    row: RefusedSignInRow,
}

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

/// The newest of them.
pub(crate) async fn list(
    context: &Context,
    user: Option<Uuid>,
    first: Option<i32>,
    after: Option<Uuid>,
) -> FieldResult<Vec<RefusedSignIn>> {
    context.require(READ)?;
    let first = few(first, 20, 100)?;
    let mut tables = context.reader(SERVICE).await?;
    let rows = refused_sign_ins::of_user(&mut tables, context.caller().tenant(), user, after, first.into()).await;
    Ok(rows.map_err(unreadable)?.into_iter().map(|row| RefusedSignIn { row }).collect())
}
