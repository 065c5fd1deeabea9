//! Leads in GraphQL.

use chrono::{DateTime, Utc};
use crm_projections::AsOf;
use crm_projections::leads::{self, LeadHistoryRow, LeadRow};
use face::connection;
use face::graphql::{Context, Fetching, Node, PostalAddress, Stretch, forward, int, page, unreadable};
use juniper::{FieldResult, GraphQLEnum, GraphQLInputObject, graphql_object};
use kernel::{Service, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::account::Account;
use super::contact::Contact;
use super::history;
use super::mirror::mirror;
use super::opportunity::Opportunity;
use crate::SERVICE;

/// What one needs to see leads.
pub(crate) const READ: &str = "crm:lead:read";

/// Somebody who might buy.
#[derive(Clone, Debug)]
pub struct Lead(LeadRow);

mirror! {
    /// Where a lead stands in its life.
    pub enum LeadStatus of crm_aggregates::LeadStatus {
        /// Captured, nobody responsible.
        New,
        /// Somebody is responsible.
        Assigned,
        /// Its owner works on it.
        InProcess,
        /// It is worth selling to.
        Qualified,
        /// It became an account, a contact and perhaps an opportunity. Final.
        Converted,
        /// It goes back, and can be assigned again.
        Recycled,
        /// It will not buy. Final.
        Disqualified,
        /// It was taken back together with the import that brought it.
        Withdrawn,
        /// Nothing that tells who it was is kept. Final.
        Erased,
    }
}

mirror! {
    /// Where a lead came from.
    pub enum LeadSource of crm_aggregates::LeadSource {
        /// The web site.
        Website,
        /// A recommendation.
        Referral,
        /// A fair or another event.
        Event,
        /// A call that nobody asked for.
        ColdCall,
        /// A campaign.
        Campaign,
        /// A partner.
        Partner,
        /// Elsewhere.
        Other,
    }
}

/// Somebody who might buy.
#[graphql_object(context = Context)]
impl Lead {
    /// The lead's id.
    fn id(&self) -> Uuid {
        self.0.lead_id
    }

    /// The lead's version, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// The person's full name.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The organization they speak for.
    fn company(&self) -> Option<&str> {
        self.0.company.as_deref()
    }

    /// What they do there.
    fn title(&self) -> Option<&str> {
        self.0.title.as_deref()
    }

    /// E-mail address, lower case.
    fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }

    /// Telephone number, E.164.
    fn phone(&self) -> Option<&str> {
        self.0.phone.as_deref()
    }

    /// ISO 3166-1 alpha-2.
    fn country(&self) -> Option<&str> {
        self.0.country.as_deref()
    }

    /// Where post reaches them.
    fn address(&self) -> Option<PostalAddress> {
        self.0.address.as_ref().map(|address| PostalAddress::from(&address.0))
    }

    /// Where it came from.
    fn source(&self) -> LeadSource {
        self.0.source.0.into()
    }

    /// Where it stands.
    fn status(&self) -> LeadStatus {
        self.0.status.0.into()
    }

    /// Why it was disqualified or recycled.
    fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// The user responsible, by the subject of their token.
    fn owner(&self) -> Option<&str> {
        self.0.owner.as_deref()
    }

    /// The import that brought it.
    fn import_id(&self) -> Option<Uuid> {
        self.0.import_id
    }

    /// When it came in.
    fn captured_at(&self) -> DateTime<Utc> {
        self.0.captured_at
    }

    /// When it was first qualified.
    fn qualified_at(&self) -> Option<DateTime<Utc>> {
        self.0.qualified_at
    }

    /// When it was converted.
    fn converted_at(&self) -> Option<DateTime<Utc>> {
        self.0.converted_at
    }

    /// When anything last happened to it.
    fn changed_at(&self) -> DateTime<Utc> {
        self.0.changed_at
    }

    /// The account that it was converted into.
    async fn account(&self, context: &Context) -> FieldResult<Option<Account>> {
        Account::of(context, self.0.account_id).await
    }

    /// The contact that it was converted into.
    async fn contact(&self, context: &Context) -> FieldResult<Option<Contact>> {
        Contact::of(context, self.0.contact_id).await
    }

    /// The opportunity that it was converted into.
    async fn opportunity(&self, context: &Context) -> FieldResult<Option<Opportunity>> {
        Opportunity::of(context, self.0.opportunity_id).await
    }
}

/// What happened to a lead, and how it stood until the next change.
#[derive(Clone, Debug)]
pub struct LeadChange(LeadHistoryRow);

/// What happened to a lead, and how it stood until the next change.
#[graphql_object(context = Context)]
impl LeadChange {
    /// The lead's version after it.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// What happened, such as `qualified`.
    fn change(&self) -> &str {
        &self.0.change
    }

    /// In whose name: the subject of a token.
    fn actor(&self) -> &str {
        &self.0.actor
    }

    /// Where the lead stood from then on.
    fn status(&self) -> LeadStatus {
        self.0.status.0.into()
    }

    /// Who was responsible from then on.
    fn owner(&self) -> Option<&str> {
        self.0.owner.as_deref()
    }

    /// The reason or note that came with it.
    fn note(&self) -> Option<&str> {
        self.0.note.as_deref()
    }

    /// When it happened, and until when it was so.
    fn valid(&self) -> Stretch {
        Stretch { from: self.0.valid_from, to: self.0.valid_to.0 }
    }

    /// When the log took it, and until when it knew no better.
    fn known(&self) -> Stretch {
        Stretch { from: self.0.known_from, to: self.0.known_to.0 }
    }
}

/// Which leads; what is left out does not matter.
#[derive(Clone, Debug, Default, GraphQLInputObject)]
pub struct LeadFilter {
    /// In one of these states.
    status: Option<Vec<LeadStatus>>,
    /// From one of these sources.
    source: Option<Vec<LeadSource>>,
    /// The user responsible.
    owner: Option<String>,
    /// `true`: nobody is responsible.
    unowned: Option<bool>,
    /// The e-mail address, in any case.
    email: Option<String>,
    /// ISO 3166-1 alpha-2, in any case.
    country: Option<String>,
    /// Captured at this time or later.
    captured_from: Option<DateTime<Utc>>,
    /// Captured before this time.
    captured_before: Option<DateTime<Utc>>,
    /// Brought by this import.
    import_id: Option<Uuid>,
}

impl From<LeadFilter> for leads::LeadFilter {
    fn from(filter: LeadFilter) -> Self {
        Self {
            status: filter.status.map(|all| all.into_iter().map(Into::into).collect()),
            source: filter.source.map(|all| all.into_iter().map(Into::into).collect()),
            owner: filter.owner,
            unowned: filter.unowned.unwrap_or_default(),
            email: filter.email,
            country: filter.country,
            captured_from: filter.captured_from,
            captured_before: filter.captured_before,
            import: filter.import_id,
        }
    }
}

/// In which order leads are listed.
#[derive(Clone, Copy, Debug, GraphQLEnum)]
pub enum LeadOrder {
    /// Last captured first.
    Newest,
    /// First captured first.
    Oldest,
}

impl LeadOrder {
    const fn key(self) -> (leads::LeadOrder, &'static str) {
        match self {
            Self::Newest => (leads::LeadOrder::Newest, "LEADS_NEWEST"),
            Self::Oldest => (leads::LeadOrder::Oldest, "LEADS_OLDEST"),
        }
    }
}

connection! {
    /// A page of leads.
    pub struct LeadConnection of Lead by LeadEdge in SERVICE, counted by leads::count where leads::LeadFilter
}

pub(crate) async fn list(
    context: &Context,
    filter: Option<LeadFilter>,
    order: Option<LeadOrder>,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<LeadConnection> {
    context.require(READ)?;
    let filter: leads::LeadFilter = filter.unwrap_or_default().into();
    forward(("capturedFrom", filter.captured_from), ("capturedBefore", filter.captured_before))?;
    let rows = page(context, SERVICE, &filter, order.unwrap_or(LeadOrder::Newest).key(), first, after).await?;
    Ok(LeadConnection::new(rows.map(Lead), filter))
}

pub(crate) async fn history(context: &Context, lead: Uuid, after: i64, first: i64) -> FieldResult<Vec<LeadChange>> {
    context.require(READ)?;
    context.require(history::READ)?;
    let mut tables = context.reader(SERVICE).await?;
    let rows = leads::history(&mut tables, context.caller().tenant(), lead, after, first).await;
    Ok(rows.map_err(unreadable)?.into_iter().map(LeadChange).collect())
}

pub(crate) async fn standing(context: &Context, lead: Uuid, as_of: AsOf) -> FieldResult<Option<LeadChange>> {
    context.require(READ)?;
    context.require(history::READ)?;
    let mut tables = context.reader(SERVICE).await?;
    let row = leads::standing(&mut tables, context.caller().tenant(), lead, as_of).await;
    Ok(row.map_err(unreadable)?.map(LeadChange))
}

impl Node for Lead {
    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn find<'a>(tables: &'a mut PgConnection, tenant: TenantId, ids: &'a [Uuid]) -> Fetching<'a, Uuid, Self> {
        Box::pin(async move {
            let rows = leads::find::<LeadRow>(tables, tenant, ids).await?;
            Ok(rows.into_iter().map(|row| (row.lead_id, Self(row))).collect())
        })
    }
}
