//! Contacts in GraphQL.

use chrono::{DateTime, Utc};
use crm_projections::contacts::{self, ContactHistoryRow, ContactRow};
use face::graphql::{
    Context, Fetch, Fetching, Node, PostalAddress, Session, Share, distribute, int, load, owners, page,
};
use face::{change_object, connection};
use juniper::{FieldResult, GraphQLEnum, GraphQLInputObject, graphql_object};
use kernel::Service;
use sqlx::PgConnection;
use uuid::Uuid;

use super::account::Account;
use super::history;
use super::lead::Lead;
use crate::SERVICE;

/// The permission to read contacts.
pub(crate) const READ: &str = "crm:contact:read";

/// A person with whom you do business.
#[derive(Clone, Debug)]
pub struct Contact(ContactRow);

/// A person with whom you do business.
#[graphql_object(context = Context)]
impl Contact {
    /// The contact's id.
    fn id(&self) -> Uuid {
        self.0.contact_id
    }

    /// The contact's version, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Full name.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Job title at their account.
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

    /// Postal address.
    fn address(&self) -> Option<PostalAddress> {
        self.0.address.as_ref().map(|address| PostalAddress::from(&address.0))
    }

    /// The responsible user, as the subject of their token.
    fn owner(&self) -> Option<&str> {
        self.0.owner.as_deref()
    }

    /// When it was created.
    fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it last changed.
    fn changed_at(&self) -> DateTime<Utc> {
        self.0.changed_at
    }

    /// When their personal data was erased; `null` if it was not.
    fn erased_at(&self) -> Option<DateTime<Utc>> {
        self.0.erased_at
    }

    /// The account to which they belong.
    async fn account(&self, context: &Context) -> FieldResult<Option<Account>> {
        Account::of(context, self.0.account_id).await
    }

    /// The lead that was converted into it.
    async fn lead(&self, context: &Context) -> FieldResult<Option<Lead>> {
        Lead::of(context, self.0.lead_id).await
    }
}

change_object! {
    /// A change of a contact, and what was true of the contact from this change until the next one.
    pub struct ContactChange(ContactHistoryRow) {
        /// On whose behalf the change was made: the subject of a token.
        fn actor(&self) -> &str {
            &self.0.actor
        }

        /// The account to which they belong after the change.
        fn account_id(&self) -> Option<Uuid> {
            self.0.account_id
        }

        /// The responsible user after the change.
        fn owner(&self) -> Option<&str> {
            self.0.owner.as_deref()
        }
    }
}

/// Filters contacts. Omitted fields do not restrict the result.
#[derive(Clone, Debug, Default, GraphQLInputObject)]
pub struct ContactFilter {
    /// Search words, case-insensitive. Each of them must be the beginning of a word in the name, e-mail address or telephone
    /// number.
    search: Option<String>,
    /// Only with this e-mail address, case-insensitive.
    email: Option<String>,
    /// Only contacts of this account.
    account_id: Option<Uuid>,
    /// Only those of this responsible user, given as the subject of their token.
    owner: Option<String>,
    /// Whether to include contacts that were erased. Default: false.
    include_erased: Option<bool>,
}

impl From<ContactFilter> for contacts::ContactFilter {
    fn from(filter: ContactFilter) -> Self {
        Self {
            search: filter.search,
            email: filter.email,
            account: filter.account_id,
            owner: filter.owner,
            erased: filter.include_erased.unwrap_or_default(),
        }
    }
}

/// The order in which contacts are listed.
#[derive(Clone, Copy, Debug, GraphQLEnum)]
pub enum ContactOrder {
    /// By name, in the order of Unicode code points.
    Name,
    /// Most recently added first.
    Newest,
}

impl ContactOrder {
    const fn key(self) -> (contacts::ContactOrder, &'static str) {
        match self {
            Self::Name => (contacts::ContactOrder::Name, "CONTACTS_NAME"),
            Self::Newest => (contacts::ContactOrder::Newest, "CONTACTS_NEWEST"),
        }
    }
}

connection! {
    /// A page of contacts.
    pub struct ContactConnection of Contact by ContactEdge in SERVICE, counted by contacts::count where contacts::ContactFilter
}

pub(crate) async fn list(
    context: &Context,
    filter: Option<ContactFilter>,
    order: Option<ContactOrder>,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<ContactConnection> {
    context.require(READ)?;
    let filter: contacts::ContactFilter = filter.unwrap_or_default().into();
    let rows = page(context, SERVICE, &filter, order.unwrap_or(ContactOrder::Name).key(), first, after).await?;
    Ok(ContactConnection::new(rows.map(Contact), filter))
}

pub(crate) async fn history(context: &Context, contact: Uuid, window: (i64, i64)) -> FieldResult<Vec<ContactChange>> {
    let rows = history::changes::<ContactHistoryRow>(context, READ, contact, window).await?;
    Ok(rows.into_iter().map(ContactChange).collect())
}

impl Node for Contact {
    type Row = ContactRow;

    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn new(row: ContactRow) -> Self {
        Self(row)
    }
}

/// Loads the first contacts of several accounts, up to a number for each.
struct ContactsOfAccount;

impl Fetch for ContactsOfAccount {
    type Key = Share;
    type Value = Vec<Contact>;

    fn fetch<'a>(
        session: &'a Session,
        tables: &'a mut PgConnection,
        keys: &'a [Self::Key],
    ) -> Fetching<'a, Self::Key, Self::Value> {
        let tenant = session.caller().tenant();
        Box::pin(async move {
            let (accounts, most) = owners(keys);
            let rows = contacts::of_accounts(tables, tenant, &accounts, most).await?;
            Ok(distribute(keys, rows.into_iter().map(|row| (row.account_id, Contact(row)))))
        })
    }
}

impl Contact {
    /// An account's first contacts.
    pub(crate) async fn at(context: &Context, account: Uuid, first: u32) -> FieldResult<Vec<Self>> {
        context.require(READ)?;
        Ok(load::<ContactsOfAccount>(context, SERVICE, (account, first)).await?.unwrap_or_default())
    }
}
