//! What callers who are known were denied, in GraphQL.

use auth_projections::denied_accesses::{self, DeniedAccessRow};
use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, Page, PageRequest, unreadable};
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use super::session::READ;
use crate::SERVICE;

/// What a caller who is known was denied: the same, within an hour, is one.
#[derive(Clone, Debug)]
pub struct DeniedAccess {
    row: DeniedAccessRow,
}

/// What a caller who is known was denied: the same, within an hour, is one.
#[graphql_object(name = "DeniedAccess", context = Context)]
impl DeniedAccess {
    /// Its id.
    fn id(&self) -> Uuid {
        self.row.access_id
    }

    /// Who asked: the id of a user or a machine, or the name in a token of `inopsio token`; `null`: many, whose denials are counted together,
    /// because there were too many kinds of them to tell each.
    fn subject(&self) -> Option<&str> {
        self.row.subject.as_deref()
    }

    /// Why: the code of the answer, such as `permission_missing`.
    fn reason(&self) -> &str {
        &self.row.reason
    }

    /// The permission that they do not have; several, separated by spaces: one of them would have done, or all were asked for.
    fn permission(&self) -> Option<&str> {
        self.row.permission.as_deref()
    }

    /// What they asked for first: the method and the path as the contract has them, or `graphql` and the field.
    fn operation(&self) -> Option<&str> {
        self.row.operation.as_deref()
    }

    /// The id of that request.
    fn request_id(&self) -> Option<Uuid> {
        self.row.request_id
    }

    /// When that was.
    fn at(&self) -> DateTime<Utc> {
        self.row.at
    }

    /// How often it was denied, as far as it is on record: later ones are counted a minute later, then after twice as long each time.
    fn times(&self) -> i32 {
        i32::try_from(self.row.times).unwrap_or(i32::MAX)
    }

    /// When it was denied last, as far as it is on record.
    fn last_at(&self) -> DateTime<Utc> {
        self.row.last_at
    }

    /// From which address the first request came; `null` when it was no user's.
    fn address(&self) -> Option<&str> {
        self.row.address.as_deref()
    }

    /// What the program said that it is; `null` when it was no user's.
    fn agent(&self) -> Option<&str> {
        self.row.agent.as_deref()
    }

    /// Of what was no user's: the same for requests from the same address, and not that address.
    fn origin(&self) -> Option<&str> {
        self.row.origin.as_deref()
    }
}

connection! {
    /// A page of what callers were denied.
    pub struct DeniedAccessConnection of DeniedAccess by DeniedAccessEdge in SERVICE, counted by denied_accesses::count where Option<String>
}

/// Those of a user or a machine, or without a subject of all; newest first.
pub(crate) async fn list(
    context: &Context,
    subject: Option<String>,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<DeniedAccessConnection> {
    const ORDER: &str = "DENIED_ACCESSES_NEWEST";
    context.require(READ)?;
    let request = PageRequest::new(first, after.as_deref(), ORDER)?;
    let mut tables = context.reader(SERVICE).await?;
    let tenant = context.caller().tenant();
    let rows =
        denied_accesses::of_subject(&mut tables, tenant, subject.as_deref(), request.after, request.limit()).await;
    let rows = rows.map_err(unreadable)?.into_iter().map(|row| DeniedAccess { row }).collect();
    Ok(DeniedAccessConnection::new(Page::new(&request, ORDER, rows, DeniedAccess::id), subject))
}
