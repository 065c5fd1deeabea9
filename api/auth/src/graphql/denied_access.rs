//! Denied requests of known callers, in GraphQL.

use auth_projections::denied_accesses::{self, DeniedAccessRow};
use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, Page, PageRequest, unreadable};
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use super::session::READ;
use crate::SERVICE;

/// A denied request of a known caller. Repeated denials within an hour are counted as one.
#[derive(Clone, Debug)]
pub struct DeniedAccess {
    row: DeniedAccessRow,
}

/// A denied request of a known caller. Repeated denials within an hour are counted as one.
#[graphql_object(name = "DeniedAccess", context = Context)]
impl DeniedAccess {
    /// Id of the denial.
    fn id(&self) -> Uuid {
        self.row.access_id
    }

    /// Who sent the request: the id of a user or a machine, or the name in a token of `inopsio token`; `null`: several callers, whose
    /// denials are counted together because there were too many kinds to list each.
    fn subject(&self) -> Option<&str> {
        self.row.subject.as_deref()
    }

    /// Reason: the code of the answer, such as `permission_missing`.
    fn reason(&self) -> &str {
        &self.row.reason
    }

    /// Missing permission. Several are separated by spaces: either one of them would have sufficed, or all were required.
    fn permission(&self) -> Option<&str> {
        self.row.permission.as_deref()
    }

    /// First denied operation: method and path as in the OpenAPI document, or `graphql` and the field.
    fn operation(&self) -> Option<&str> {
        self.row.operation.as_deref()
    }

    /// Id of the first denied request.
    fn request_id(&self) -> Option<Uuid> {
        self.row.request_id
    }

    /// When the first request was denied.
    fn at(&self) -> DateTime<Utc> {
        self.row.at
    }

    /// Number of denials recorded so far. Later ones are counted a minute later, then after twice as long each time.
    fn times(&self) -> i32 {
        i32::try_from(self.row.times).unwrap_or(i32::MAX)
    }

    /// When the last recorded denial happened.
    fn last_at(&self) -> DateTime<Utc> {
        self.row.last_at
    }

    /// IP address of the first request; `null` if the caller is not a user.
    fn address(&self) -> Option<&str> {
        self.row.address.as_deref()
    }

    /// User agent of the first request; `null` if the caller is not a user.
    fn agent(&self) -> Option<&str> {
        self.row.agent.as_deref()
    }

    /// Pseudonym of the IP address, if the caller is not a user: the same for requests from the same address.
    fn origin(&self) -> Option<&str> {
        self.row.origin.as_deref()
    }
}

connection! {
    /// A page of what callers were denied.
    pub struct DeniedAccessConnection of DeniedAccess by DeniedAccessEdge in SERVICE, counted by denied_accesses::count where Option<String>
}

/// Lists the denials of a user or a machine, or without a subject those of all callers; newest first.
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
