//! Searching by words, whether few or nearly all have them.
//!
//! One statement can't be right for both, and Postgres can't know which it is: who has a rare word is looked up, who has a common
//! one is met soon by going through everybody in the order of the list. So it is counted first how many have each word, only
//! as far as it matters. Each statement is written so that it has one plan, with or without statistics.

use folding::paging::{Keyset, ListError, Seek};
use folding::table::select;
use folding::words::Term;
use kernel::TenantId;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::list::PersonFilter;
use super::row::PersonRow;

/// Fewer people than this are looked up one by one.
const RARE: i64 = 1_000;
/// Fewer people than this are remembered while everybody is gone through.
const MANY: i64 = 20_000;
/// So many are gone through before it is asked how many have the words.
const FIRST: i64 = 1_000;

/// A page of those who have all of these words, of which there is at least one.
pub(super) async fn page(
    tables: &mut PgConnection,
    tenant: TenantId,
    (filter, terms): (&PersonFilter, &[Term]),
    keyset: Keyset,
    after: Option<Seek>,
    limit: i64,
) -> Result<Vec<PersonRow>, ListError> {
    let search = Search { tenant, filter, terms, keyset, after, limit };
    let counted = search.counted(RARE, tables).await?;
    if let Some(((many, rarest), others)) = counted.split_first()
        && *many < RARE
    {
        return search.looked_up(rarest, others, tables).await;
    }
    let page = search.through(Some(FIRST), &[], &counted, tables).await?;
    if page.len() as i64 == limit {
        return Ok(page);
    }
    // Common words that nobody has together, or only whoever comes late.
    let counted = search.counted(MANY, tables).await?;
    let (remembered, others) = counted.split_at(counted.partition_point(|(many, _)| *many < MANY));
    search.through(None, remembered, others, tables).await
}

/// What is searched for.
struct Search<'a> {
    tenant: TenantId,
    filter: &'a PersonFilter,
    terms: &'a [Term],
    keyset: Keyset,
    after: Option<Seek>,
    limit: i64,
}

impl<'a> Search<'a> {
    /// How many entries there are for each word, counted up to `most`; the rarest first.
    async fn counted(&self, most: i64, tables: &mut PgConnection) -> Result<Vec<(i64, &'a Term)>, sqlx::Error> {
        let mut query = QueryBuilder::new("");
        for (nth, term) in self.terms.iter().enumerate() {
            let and = if nth == 0 { "" } else { " UNION ALL " };
            query.push(format_args!("{and}SELECT {nth}, count(*) FROM ("));
            term.ids::<PersonRow>(&mut query, self.tenant.uuid());
            query.push(format_args!(" LIMIT {most}) w"));
        }
        let counts: Vec<(i32, i64)> = query.build_query_as().fetch_all(tables).await?;
        let counts = counts.into_iter().filter_map(|(nth, many)| Some((many, self.terms.get(nth as usize)?)));
        let mut counts: Vec<_> = counts.collect();
        counts.sort_by_key(|(many, _)| *many);
        Ok(counts)
    }

    /// Who has the rarest word, each asked for the others, and then for their row.
    async fn looked_up(
        &self,
        rarest: &Term,
        others: &[(i64, &Term)],
        tables: &mut PgConnection,
    ) -> Result<Vec<PersonRow>, ListError> {
        let mut query = QueryBuilder::new("SELECT t.* FROM (SELECT t.user_id FROM (SELECT DISTINCT w.user_id FROM (");
        rarest.ids::<PersonRow>(&mut query, self.tenant.uuid());
        query.push(format_args!(" LIMIT {RARE}) w) t WHERE true"));
        self.each(&mut query, others);
        query.push(" OFFSET 0) page ");
        self.rows(&mut query);
        self.filter.plain(&mut query, self.tenant);
        self.keyset.after(&mut query, self.after.clone())?;
        self.keyset.limit(&mut query, self.limit);
        Ok(query.build_query_as().fetch_all(tables).await?)
    }

    /// Everybody in the order of the list, or the first `most` of them, until the page is full: who is among those who have
    /// each of `remembered`, and has each of the others when looked at. Only the page's rows are read whole.
    async fn through(
        &self,
        most: Option<i64>,
        remembered: &[(i64, &Term)],
        others: &[(i64, &Term)],
        tables: &mut PgConnection,
    ) -> Result<Vec<PersonRow>, ListError> {
        let column = self.keyset.column;
        let mut query = QueryBuilder::new("SELECT t.* FROM (SELECT t.user_id FROM (");
        query.push(format_args!("SELECT t.user_id, t.{column} FROM person t "));
        self.filter.plain(&mut query, self.tenant);
        self.keyset.after(&mut query, self.after.clone())?;
        if let Some(most) = most {
            self.keyset.order(&mut query);
            query.push(format_args!(" LIMIT {most}"));
        }
        query.push(") t WHERE true");
        for (_, term) in remembered {
            // IS TRUE keeps this from becoming a join: it is a table of hashes, made once. The limit says that it is small.
            query.push(" AND (t.user_id IN (");
            term.ids::<PersonRow>(&mut query, self.tenant.uuid());
            query.push(format_args!(" LIMIT {MANY})) IS TRUE"));
        }
        self.each(&mut query, others);
        self.keyset.limit(&mut query, self.limit);
        query.push(") page ");
        self.rows(&mut query);
        self.keyset.order(&mut query);
        Ok(query.build_query_as().fetch_all(tables).await?)
    }

    /// The rows of those whom `page` names, one by one along the primary key.
    fn rows(&self, query: &mut QueryBuilder<'_, Postgres>) {
        query.push(format_args!("CROSS JOIN LATERAL ({} WHERE t.tenant_id = ", select::<PersonRow>()));
        query.push_bind(self.tenant.uuid()).push(" AND t.user_id = page.user_id OFFSET 0) t ");
    }

    fn each(&self, query: &mut QueryBuilder<'_, Postgres>, terms: &[(i64, &Term)]) {
        for (_, term) in terms {
            term.of_each::<PersonRow>(query, self.tenant.uuid());
        }
    }
}
