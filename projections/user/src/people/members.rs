//! Who belongs to several groups and organizations: a page of each, and how many they are, read at once.

use folding::table::select;
use kernel::TenantId;
use projector::dealt;
use sqlx::{Executor, PgConnection};
use user_aggregates::{GroupId, OrganizationId};
use uuid::Uuid;

use super::list::PersonFilter;
use super::reducer::{group_word, organization_word};
use super::row::PersonRow;

/// What users belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// A group.
    Group(GroupId),
    /// An organization.
    Organization(OrganizationId),
}

/// Where a page begins: behind whoever has this name and this id.
pub type Behind = (String, Uuid);

impl Body {
    /// The word under which everybody in it stands.
    fn word(self) -> String {
        match self {
            Self::Group(group) => group_word(group),
            Self::Organization(organization) => organization_word(organization),
        }
    }
}

impl PersonFilter {
    /// What those belong to who are looked for, if nothing else is asked of them.
    pub fn body(&self) -> Option<Body> {
        let body = match (self.group, self.organization) {
            (Some(group), None) => Body::Group(group),
            (None, Some(organization)) => Body::Organization(organization),
            _ => return None,
        };
        let nothing_else = Self { group: self.group, organization: self.organization, ..Self::default() };
        (*self == nothing_else).then_some(body)
    }
}

/// Who belongs to these, by name. Of each: only those behind that place, and at most so many. `tables` is in a transaction.
pub async fn members(
    tables: &mut PgConnection,
    tenant: TenantId,
    asked: &[(Body, Option<Behind>, i64)],
) -> Result<Vec<Vec<PersonRow>>, sqlx::Error> {
    // Those of one word stand together in the order of names (see `search.rs`). No name comes before the empty one.
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
    let behind = asked.iter().map(|(_, behind, _)| behind.clone().unwrap_or_default());
    let (names, ids): (Vec<String>, Vec<Uuid>) = behind.unzip();
    let query = sqlx::query(&sql)
        .bind(tenant.uuid())
        .bind(asked.iter().map(|(body, ..)| body.word()).collect::<Vec<_>>())
        .bind(names)
        .bind(ids)
        .bind(asked.iter().map(|(.., most)| *most).collect::<Vec<_>>());
    // Where many have a word, the whole table looks cheaper to Postgres.
    tables.execute("SET LOCAL enable_seqscan = off").await?;
    let rows = query.fetch_all(&mut *tables).await?;
    tables.execute("SET LOCAL enable_seqscan TO DEFAULT").await?;
    dealt(&rows, asked.len())
}

/// How many belong to these.
pub async fn count_members(
    tables: &mut PgConnection,
    tenant: TenantId,
    bodies: &[Body],
) -> Result<Vec<(Body, i64)>, sqlx::Error> {
    // Word by word along the primary key: joined, all words of the tenant would be gone through.
    let sql = "SELECT c.members FROM UNNEST($2::text[]) WITH ORDINALITY AS a (word, nth) CROSS JOIN LATERAL (
                   SELECT count(*) AS members FROM person_word w
                   WHERE w.tenant_id = $1 AND w.word = a.word AND w.present) c
               ORDER BY a.nth";
    let words: Vec<String> = bodies.iter().map(|body| body.word()).collect();
    let counts: Vec<i64> = sqlx::query_scalar(sql).bind(tenant.uuid()).bind(words).fetch_all(tables).await?;
    Ok(bodies.iter().copied().zip(counts).collect())
}
