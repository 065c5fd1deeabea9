//! Leads in GraphQL.

use chrono::{DateTime, Utc};
use crm_projections::AsOf;
use crm_projections::leads::{self, LeadHistoryRow, LeadRow};
use face::graphql::{Context, Node, PostalAddress, forward, int, page, unreadable};
use face::{change_object, connection, mirror};
use juniper::{FieldResult, GraphQLEnum, GraphQLInputObject, graphql_object};
use kernel::Service;
use uuid::Uuid;

use super::account::Account;
use super::contact::Contact;
use super::country;
use super::history;
use super::opportunity::Opportunity;
use crate::SERVICE;

/// The permission to read leads.
pub(crate) const READ: &str = "crm:lead:read";

/// A lead: a potential customer.
#[derive(Clone, Debug)]
pub struct Lead(LeadRow);

mirror! {
    /// The status of a lead in its life cycle.
    pub enum LeadStatus of crm_aggregates::LeadStatus {
        /// Captured, without a responsible user.
        New,
        /// Assigned to a responsible user.
        Assigned,
        /// The responsible user works on it.
        InProcess,
        /// Qualified: worth selling to.
        Qualified,
        /// Converted into an account, a contact and possibly an opportunity. Final.
        Converted,
        /// Set aside for later. It can be assigned again.
        Recycled,
        /// Disqualified: will not buy. Final.
        Disqualified,
        /// Withdrawn, because the import that created it was reverted.
        Withdrawn,
        /// The personal data was erased. Final.
        Erased,
    }
}

mirror! {
    /// The source of a lead.
    pub enum LeadSource of crm_aggregates::LeadSource {
        /// The web site.
        Website,
        /// A referral.
        Referral,
        /// A trade fair or another event.
        Event,
        /// A cold call.
        ColdCall,
        /// A marketing campaign.
        Campaign,
        /// A partner.
        Partner,
        /// Another source.
        Other,
    }
}

/// A lead: a potential customer.
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

    /// The organization that the person represents.
    fn company(&self) -> Option<&str> {
        self.0.company.as_deref()
    }

    /// Job title at that organization.
    fn title(&self) -> Option<&str> {
        self.0.title.as_deref()
    }

    /// E-mail address, lower case.
    fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }

    /// Telephone number in E.164 format.
    fn phone(&self) -> Option<&str> {
        self.0.phone.as_deref()
    }

    /// ISO 3166-1 alpha-2 country code.
    fn country(&self) -> Option<&str> {
        self.0.country.as_deref()
    }

    /// Postal address.
    fn address(&self) -> Option<PostalAddress> {
        self.0.address.as_ref().map(|address| PostalAddress::from(&address.0))
    }

    /// The source of the lead.
    fn source(&self) -> LeadSource {
        self.0.source.0.into()
    }

    /// Its status.
    fn status(&self) -> LeadStatus {
        self.0.status.0.into()
    }

    /// Why it was disqualified or recycled.
    fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// The responsible user, as the subject of their token.
    fn owner(&self) -> Option<&str> {
        self.0.owner.as_deref()
    }

    /// The import that created it.
    fn import_id(&self) -> Option<Uuid> {
        self.0.import_id
    }

    /// When it was captured.
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

    /// When it last changed.
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

change_object! {
    /// A change of a lead, and the lead's state from this change until the next one.
    pub struct LeadChange(LeadHistoryRow) {
        /// On whose behalf the change was made: the subject of a token.
        fn actor(&self) -> &str {
            &self.0.actor
        }

        /// The lead's status after the change.
        fn status(&self) -> LeadStatus {
            self.0.status.0.into()
        }

        /// The responsible user after the change.
        fn owner(&self) -> Option<&str> {
            self.0.owner.as_deref()
        }

        /// The reason or note that was given with the change.
        fn note(&self) -> Option<&str> {
            self.0.note.as_deref()
        }
    }
}

/// Filters leads. Omitted fields do not restrict the result.
#[derive(Clone, Debug, Default, GraphQLInputObject)]
pub struct LeadFilter {
    /// Only with one of these statuses.
    status: Option<Vec<LeadStatus>>,
    /// Only from one of these sources.
    source: Option<Vec<LeadSource>>,
    /// Only those of this responsible user, given as the subject of their token.
    owner: Option<String>,
    /// `true`: only leads without a responsible user.
    unowned: Option<bool>,
    /// Only with this e-mail address, case-insensitive.
    email: Option<String>,
    /// Only in this country: ISO 3166-1 alpha-2 code, case-insensitive.
    country: Option<String>,
    /// Only captured at or after this time.
    captured_from: Option<DateTime<Utc>>,
    /// Only captured before this time.
    captured_before: Option<DateTime<Utc>>,
    /// Only created by this import.
    import_id: Option<Uuid>,
}

impl LeadFilter {
    /// The read model's filter. An unknown country is refused.
    fn read(self) -> FieldResult<leads::LeadFilter> {
        Ok(leads::LeadFilter {
            status: self.status.map(|all| all.into_iter().map(Into::into).collect()),
            source: self.source.map(|all| all.into_iter().map(Into::into).collect()),
            owner: self.owner,
            unowned: self.unowned.unwrap_or_default(),
            email: self.email,
            country: country::known(self.country)?,
            captured_from: self.captured_from,
            captured_before: self.captured_before,
            import: self.import_id,
        })
    }
}

/// The order in which leads are listed.
#[derive(Clone, Copy, Debug, GraphQLEnum)]
pub enum LeadOrder {
    /// Most recently captured first.
    Newest,
    /// Earliest captured first.
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
    let filter = filter.unwrap_or_default().read()?;
    forward(("capturedFrom", filter.captured_from), ("capturedBefore", filter.captured_before))?;
    let rows = page(context, SERVICE, &filter, order.unwrap_or(LeadOrder::Newest).key(), first, after).await?;
    Ok(LeadConnection::new(rows.map(Lead), filter))
}

pub(crate) async fn history(context: &Context, lead: Uuid, window: (i64, i64)) -> FieldResult<Vec<LeadChange>> {
    let rows = history::changes::<LeadHistoryRow>(context, READ, lead, window).await?;
    Ok(rows.into_iter().map(LeadChange).collect())
}

pub(crate) async fn standing(context: &Context, lead: Uuid, as_of: AsOf) -> FieldResult<Option<LeadChange>> {
    context.require(READ)?;
    context.require(history::READ)?;
    let mut tables = context.reader(SERVICE).await?;
    let row = leads::version_as_of(&mut tables, context.caller().tenant(), lead, as_of).await;
    Ok(row.map_err(unreadable)?.map(LeadChange))
}

impl Node for Lead {
    type Row = LeadRow;

    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn new(row: LeadRow) -> Self {
        Self(row)
    }
}
