//! Domains in GraphQL.

use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, int, page};
use juniper::{FieldResult, GraphQLEnum, GraphQLObject, graphql_object};
use user_projections::domains::{self, DomainFilter, DomainRow};
use uuid::Uuid;

use crate::SERVICE;
use crate::rest::domain::{self, READ};

/// How far it is shown that a domain is the tenant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, GraphQLEnum)]
pub enum DomainStatus {
    /// The tenant says so.
    Claimed,
    /// Its record was there.
    Verified,
    /// Its record was there, and was not when it was last looked for.
    RecordMissing,
}

/// The record by which it is shown that a domain is the tenant's.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct DomainRecord {
    /// Its name.
    name: String,
    /// Its value. Its type is TXT.
    value: String,
}

/// A domain that the tenant says is its own.
#[derive(Clone, Debug)]
pub struct Domain(DomainRow);

/// A domain that the tenant says is its own.
#[graphql_object(context = Context)]
impl Domain {
    /// The domain's id.
    fn id(&self) -> Uuid {
        self.0.domain_id
    }

    /// The domain's version, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Its name, as the domain name system has it.
    fn domain(&self) -> &str {
        &self.0.domain
    }

    /// How far it is shown that it is the tenant's.
    fn status(&self) -> DomainStatus {
        match (self.0.verified_at, self.0.missing_since) {
            (_, Some(_)) => DomainStatus::RecordMissing,
            (Some(_), None) => DomainStatus::Verified,
            (None, None) => DomainStatus::Claimed,
        }
    }

    /// What has to be there to show it.
    fn record(&self, context: &Context) -> DomainRecord {
        let domain::DomainRecord { name, value, .. } =
            domain::DomainRecord::of(&self.0.domain, context.caller().tenant(), self.0.domain_id);
        DomainRecord { name, value }
    }

    /// When it was claimed.
    fn claimed_at(&self) -> DateTime<Utc> {
        self.0.claimed_at
    }

    /// When its record was first seen, or seen again after it was missing.
    fn verified_at(&self) -> Option<DateTime<Utc>> {
        self.0.verified_at
    }

    /// When its record was not there any more.
    fn missing_since(&self) -> Option<DateTime<Utc>> {
        self.0.missing_since
    }
}

connection! {
    /// A page of domains.
    pub struct DomainConnection of Domain by DomainEdge in SERVICE, counted by domains::count where DomainFilter
}

pub(crate) async fn list(
    context: &Context,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<DomainConnection> {
    context.require(READ)?;
    let rows = page(context, SERVICE, &DomainFilter, (domains::ByName, "DOMAINS_NAME"), first, after).await?;
    Ok(DomainConnection::new(rows.map(Domain), DomainFilter))
}
