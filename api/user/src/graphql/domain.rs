//! Domains in GraphQL.

use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, int, page};
use juniper::{FieldResult, GraphQLEnum, GraphQLObject, graphql_object};
use user_projections::domains::{self, DomainFilter, DomainRow};
use uuid::Uuid;

use crate::SERVICE;
use crate::rest::domain::{self, READ};

/// Verification state of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, GraphQLEnum)]
pub enum DomainStatus {
    /// Claimed, but not verified.
    Claimed,
    /// Verified: the TXT record was found.
    Verified,
    /// Verified before, but the TXT record was missing when it was last looked up.
    RecordMissing,
}

/// The DNS record that proves that a domain belongs to the tenant.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct DomainRecord {
    /// Name of the record.
    name: String,
    /// Value of the record. Its type is TXT.
    value: String,
}

/// A domain that the tenant claims as its own.
#[derive(Clone, Debug)]
pub struct Domain(DomainRow);

/// A domain that the tenant claims as its own.
#[graphql_object(context = Context)]
impl Domain {
    /// Id of the domain.
    fn id(&self) -> Uuid {
        self.0.domain_id
    }

    /// Version of the domain, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Domain name, in ASCII (`xn--…`) form.
    fn domain(&self) -> &str {
        &self.0.domain
    }

    /// Verification state.
    fn status(&self) -> DomainStatus {
        match (self.0.verified_at, self.0.missing_since) {
            (_, Some(_)) => DomainStatus::RecordMissing,
            (Some(_), None) => DomainStatus::Verified,
            (None, None) => DomainStatus::Claimed,
        }
    }

    /// DNS record that has to exist for the domain to be verified.
    fn record(&self, context: &Context) -> DomainRecord {
        let domain::DomainRecord { name, value, .. } =
            domain::DomainRecord::of(&self.0.domain, context.caller().tenant(), self.0.domain_id);
        DomainRecord { name, value }
    }

    /// When the domain was claimed.
    fn claimed_at(&self) -> DateTime<Utc> {
        self.0.claimed_at
    }

    /// When the DNS record was first found, or found again after it was missing.
    fn verified_at(&self) -> Option<DateTime<Utc>> {
        self.0.verified_at
    }

    /// When the DNS record was found to be missing.
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
