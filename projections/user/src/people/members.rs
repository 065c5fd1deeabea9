//! The members of several groups and organizations: a page of each, and their numbers, read at once.

use folding::table::select;
use kernel::TenantId;
use projector::distribute;
use sqlx::{Executor, PgConnection};
use user_aggregates::{GroupId, OrganizationId};
use uuid::Uuid;

use super::list::PersonFilter;
use super::reducer::{group_word, organization_word};
use super::row::PersonRow;

/// A group or organization that has members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MembersOf {
    /// A group.
    Group(GroupId),
    /// An organization.
    Organization(OrganizationId),
}

/// The name and id of the user after whom a page begins.
pub type MemberCursor = (String, Uuid);

impl MembersOf {
    /// The index word that all its members have.
    fn word(self) -> String {
        match self {
            Self::Group(group) => group_word(group),
            Self::Organization(organization) => organization_word(organization),
        }
    }
}

impl PersonFilter {
    /// The group or organization of this filter, if the filter has no other condition.
    pub fn members_of(&self) -> Option<MembersOf> {
        let members_of = match (self.group, self.organization) {
            (Some(group), None) => MembersOf::Group(group),
            (None, Some(organization)) => MembersOf::Organization(organization),
            _ => return None,
        };
        let nothing_else = Self { group: self.group, organization: self.organization, ..Self::default() };
        (*self == nothing_else).then_some(members_of)
    }
}

/// The members of each of these, by name: those after the given user, and at most the given number. `tables` is in a transaction.
pub async fn members(
    tables: &mut PgConnection,
    tenant: TenantId,
    asked: &[(MembersOf, Option<MemberCursor>, i64)],
) -> Result<Vec<Vec<PersonRow>>, sqlx::Error> {
    // The entries of one word are stored in the order of names (see `search.rs`). The empty name is the first.
    // OFFSET 0: the rows are fetched one by one along the primary key, and only those of the page.
    let sql = format!(
        "SELECT a.nth, t.*
         FROM UNNEST($2::text[], $3::text[], $4::uuid[], $5::bigint[]) WITH ORDINALITY AS a (word, name, user_id, most, nth)
         CROSS JOIN LATERAL (
             SELECT w.name, w.user_id FROM person_word w
             WHERE w.tenant_id = $1 AND w.word = a.word AND w.present AND (w.name, w.user_id) > (a.name, a.user_id)
             ORDER BY w.name, w.user_id LIMIT a.most
         ) w
         CROSS JOIN LATERAL ({} WHERE t.tenant_id = $1 AND t.user_id = w.user_id OFFSET 0) t
         ORDER BY a.nth, w.name, w.user_id",
        select::<PersonRow>()
    );
    let cursors = asked.iter().map(|(_, cursor, _)| cursor.clone().unwrap_or_default());
    let (names, ids): (Vec<String>, Vec<Uuid>) = cursors.unzip();
    let query = sqlx::query(&sql)
        .bind(tenant.uuid())
        .bind(asked.iter().map(|(members_of, ..)| members_of.word()).collect::<Vec<_>>())
        .bind(names)
        .bind(ids)
        .bind(asked.iter().map(|(.., most)| *most).collect::<Vec<_>>());
    // For a common word Postgres would estimate a sequential scan as cheaper.
    tables.execute("SET LOCAL enable_seqscan = off").await?;
    let rows = query.fetch_all(&mut *tables).await?;
    tables.execute("SET LOCAL enable_seqscan TO DEFAULT").await?;
    distribute(&rows, asked.len())
}

/// The number of members of each of these.
pub async fn count_members(
    tables: &mut PgConnection,
    tenant: TenantId,
    lists: &[MembersOf],
) -> Result<Vec<(MembersOf, i64)>, sqlx::Error> {
    // Counted word by word in the primary key. A join would read all words of the tenant.
    let sql = "SELECT c.members FROM UNNEST($2::text[]) WITH ORDINALITY AS a (word, nth) CROSS JOIN LATERAL (
                   SELECT count(*) AS members FROM person_word w
                   WHERE w.tenant_id = $1 AND w.word = a.word AND w.present) c
               ORDER BY a.nth";
    let words: Vec<String> = lists.iter().map(|members_of| members_of.word()).collect();
    let counts: Vec<i64> = sqlx::query_scalar(sql).bind(tenant.uuid()).bind(words).fetch_all(tables).await?;
    Ok(lists.iter().copied().zip(counts).collect())
}
