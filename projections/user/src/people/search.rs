//! Search by words, for rare words as well as for words that nearly all users have.
//!
//! No single statement is fast for both, and Postgres cannot estimate which case it is. So the users with each word are counted first, up
//! to a limit, and it is checked whether a prefix matches only one word. There are three plans:
//!
//! - Exact words, list by name: the entries of one word are stored in the order of names, so a page is read directly. Several words are
//!   merged, between the names where all have entries.
//! - All words are common, but a prefix matches several words, or the list has another order: the first users of the list are checked,
//!   since many of them match.
//! - Otherwise, or if too few of those match: the entries of the rarest word are read and checked for the other words.
//!
//! Complete rows are read only for the users of the page.

use folding::list::of_tenant;
use folding::paging::{Keyset, ListError, Seek, SeekKey};
use folding::table::select;
use folding::words::Term;
use kernel::TenantId;
use sqlx::{Executor, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::list::PersonFilter;
use super::row::PersonRow;

/// If the rarest word has fewer entries than this, the other words of its users are looked up one by one.
const RARE: i64 = 1_000;
/// If another word has fewer entries than this, its users are put into a hash table while those with the rarest word are read.
const MANY: i64 = 20_000;
/// How many of the first users of the list are checked for common words.
const FIRST: i64 = 250;
/// How many times as many entries as users are read for a prefix, since a user may have several words with it.
const ENTRIES_PER_USER: i64 = 4;
/// The factor by which more entries are read when these were not enough.
const MORE: i64 = 16;

/// A page of the users who match all terms, of which there is at least one. `tables` is in a transaction.
pub(super) async fn page(
    tables: &mut PgConnection,
    tenant: TenantId,
    (filter, terms): (&PersonFilter, &[Term]),
    keyset: Keyset,
    after: Option<Seek>,
    limit: i64,
) -> Result<Vec<PersonRow>, ListError> {
    let search = Search { tenant, filter, terms, keyset, after, limit };
    // All queries here have an index. For a common word Postgres would estimate a sequential scan as cheaper, because it assumes that the
    // tenant's rows are spread over the table; in fact they are close together.
    tables.execute("SET LOCAL enable_seqscan = off").await?;
    let page = search.page(tables).await?;
    tables.execute("SET LOCAL enable_seqscan TO DEFAULT").await?;
    Ok(page)
}

/// The parameters of a search.
struct Search<'a> {
    tenant: TenantId,
    filter: &'a PersonFilter,
    terms: &'a [Term],
    keyset: Keyset,
    after: Option<Seek>,
    limit: i64,
}

/// Whether the term matches exactly one word. The entries of one word are in the order of names.
fn is_exact(term: &Term) -> bool {
    matches!(term, Term::Is(_))
}

/// Adds the condition that the entry's name is within this range, both ends included.
fn push_name_range(query: &mut QueryBuilder<'_, Postgres>, words: &str, between: Option<&(String, String)>) {
    if let Some((first, last)) = between {
        query.push(format_args!(" AND {words}.name >= ")).push_bind(first.clone());
        query.push(format_args!(" AND {words}.name <= ")).push_bind(last.clone());
    }
}

impl Search<'_> {
    /// Reads the page.
    async fn page(&self, tables: &mut PgConnection) -> Result<Vec<PersonRow>, ListError> {
        let mut counted = self.count_terms(RARE, tables).await?;
        if counted.iter().all(|(many, _)| *many >= RARE) && !self.in_order(&counted) {
            let first = self.among_first(tables).await?;
            let page = self.rows(&first, tables).await?;
            if page.len() as i64 == self.limit {
                return Ok(page);
            }
            // Few or no users have all these common words, or only late in the list. Count further to find the rarest word.
            if counted.len() > 1 {
                counted = self.count_terms(MANY, tables).await?;
            }
        }
        self.by_rarest_term(&counted, tables).await
    }

    /// Counts the entries of each term, up to `most`, the rarest first. A prefix of only one word is replaced by that word.
    async fn count_terms(&self, most: i64, tables: &mut PgConnection) -> Result<Vec<(i64, Term)>, sqlx::Error> {
        let mut query = QueryBuilder::new("");
        for (nth, term) in self.terms.iter().enumerate() {
            let and = if nth == 0 { "" } else { " UNION ALL " };
            query.push(format_args!("{and}SELECT {nth}, (SELECT count(*) FROM ("));
            term.ids::<PersonRow>(&mut query, self.tenant.uuid());
            query.push(format_args!(" LIMIT {most}) w)"));
            for way in ["ASC", "DESC"] {
                if is_exact(term) {
                    query.push(", NULL::text");
                } else {
                    query
                        .push(", (SELECT w.word FROM person_word w WHERE w.tenant_id = ")
                        .push_bind(self.tenant.uuid());
                    term.range(&mut query, "w");
                    query.push(format_args!(" ORDER BY w.word {way} LIMIT 1)"));
                }
            }
        }
        let counted: Vec<(i32, i64, Option<String>, Option<String>)> = query.build_query_as().fetch_all(tables).await?;
        let counted = counted.into_iter().filter_map(|(nth, many, first, last)| match first {
            Some(word) if last.as_ref() == Some(&word) => Some((many, Term::Is(word))),
            _ => Some((many, self.terms.get(nth as usize)?.clone())),
        });
        let mut counted: Vec<_> = counted.collect();
        counted.sort_by_key(|(many, _)| *many);
        Ok(counted)
    }

    /// Whether the entries of each term are stored in the order of the list.
    fn in_order(&self, counted: &[(i64, Term)]) -> bool {
        self.keyset.column == "name" && counted.iter().all(|(_, term)| is_exact(term))
    }

    /// The range of names in which users may match all of these exact terms; `None` when there are none.
    async fn name_range(
        &self,
        counted: &[(i64, Term)],
        tables: &mut PgConnection,
    ) -> Result<Option<(String, String)>, sqlx::Error> {
        let mut query = QueryBuilder::new("");
        for (nth, (_, term)) in counted.iter().enumerate() {
            let and = if nth == 0 { "SELECT" } else { " UNION ALL SELECT" };
            for (before, way) in [(and, "ASC"), (",", "DESC")] {
                query.push(format_args!("{before} (SELECT w.name FROM person_word w WHERE "));
                self.push_entry(&mut query, "w", term);
                query.push(format_args!(" ORDER BY w.name {way} LIMIT 1)"));
            }
        }
        let ends: Vec<(Option<String>, Option<String>)> = query.build_query_as().fetch_all(tables).await?;
        let ends: Option<Vec<_>> = ends.into_iter().map(|(first, last)| first.zip(last)).collect();
        let (mut firsts, lasts): (Vec<_>, Vec<_>) = ends.unwrap_or_default().into_iter().unzip();
        if let Some(Seek { key: SeekKey::Text(name), .. }) = &self.after {
            firsts.push(name.clone());
        }
        let ends = firsts.into_iter().max().zip(lasts.into_iter().min());
        Ok(ends.filter(|(first, last)| first <= last))
    }

    /// The users who match among the first [`FIRST`] of the list, in its order.
    async fn among_first(&self, tables: &mut PgConnection) -> Result<Vec<Uuid>, ListError> {
        let column = self.keyset.column;
        let mut query = QueryBuilder::new("SELECT t.user_id FROM (");
        query.push(format_args!("SELECT t.user_id, t.{column} FROM person t "));
        of_tenant(&mut query, self.tenant);
        self.filter.plain(&mut query);
        self.keyset.after(&mut query, self.after.clone())?;
        self.keyset.order(&mut query);
        query.push(format_args!(" LIMIT {FIRST}) t WHERE true"));
        for term in self.terms {
            term.of_each::<PersonRow>(&mut query, self.tenant.uuid());
        }
        self.keyset.limit(&mut query, self.limit);
        Ok(query.build_query_scalar().fetch_all(tables).await?)
    }

    /// A page of the users who match the rarest term and all others, in the order of the list.
    async fn by_rarest_term(
        &self,
        counted: &[(i64, Term)],
        tables: &mut PgConnection,
    ) -> Result<Vec<PersonRow>, ListError> {
        let Some((rarest, others)) = counted.split_first() else { return Ok(Vec::new()) };
        let between = if rarest.0 < RARE || others.is_empty() || !self.in_order(counted) {
            None
        } else {
            match self.name_range(counted, tables).await? {
                None => return Ok(Vec::new()),
                some => some,
            }
        };
        let alike = if is_exact(&rarest.1) { 1 } else { ENTRIES_PER_USER };
        let mut most = self.limit.saturating_mul(alike);
        loop {
            let mut found = self.entries((rarest, others), between.as_ref(), most, tables).await?;
            let all = (found.len() as i64) < most;
            // Several entries of one user are adjacent.
            found.dedup();
            let page = self.rows(&found, tables).await?;
            if all || page.len() as i64 == self.limit {
                return Ok(page);
            }
            most = most.saturating_mul(MORE);
        }
    }

    /// The users of the first `most` entries of the rarest term, in the order of the list, that also match the other terms.
    async fn entries(
        &self,
        ((fewest, rarest), others): (&(i64, Term), &[(i64, Term)]),
        between: Option<&(String, String)>,
        most: i64,
        tables: &mut PgConnection,
    ) -> Result<Vec<Uuid>, ListError> {
        let column = self.keyset.column;
        let mut query = QueryBuilder::new("SELECT t.user_id FROM (");
        query.push(format_args!("SELECT t.user_id, t.{column} FROM person_word t WHERE "));
        self.push_entry(&mut query, "t", rarest);
        push_name_range(&mut query, "t", between);
        self.keyset.after(&mut query, self.after.clone())?;
        let mut merged = false;
        for (many, term) in others {
            if *fewest < RARE {
                term.of_each::<PersonRow>(&mut query, self.tenant.uuid());
            } else if *many < MANY && !(is_exact(rarest) && is_exact(term)) {
                // IS TRUE keeps this from becoming a join, so that Postgres builds a hash table once. The limit tells the planner that it
                // is small.
                query.push(" AND (t.user_id IN (");
                term.ids::<PersonRow>(&mut query, self.tenant.uuid());
                query.push(format_args!(" LIMIT {MANY})) IS TRUE"));
            } else {
                // Both are in the order of names, so a merge join reads only as far as the page needs.
                merged = true;
                query.push(" AND (t.name, t.user_id) IN (SELECT w.name, w.user_id FROM person_word w WHERE ");
                self.push_entry(&mut query, "w", term);
                push_name_range(&mut query, "w", between);
                query.push(")");
            }
        }
        // With OFFSET 0 all matches are found before they are sorted. Otherwise the planner assumes that the page is full soon.
        query.push(if column == "name" && is_exact(rarest) { ") t" } else { " OFFSET 0) t" });
        self.keyset.order(&mut query);
        query.push(format_args!(" LIMIT {most}"));
        if merged {
            // For a tenant newer than the statistics the planner estimates one entry per word. A nested loop would then compare each entry
            // of one word with each of the other.
            tables.execute("SET LOCAL enable_nestloop = off").await?;
        }
        // Not persistent, so that it is planned for these words: a generic plan assumes rare words.
        let found = query.build_query_scalar().persistent(false).fetch_all(&mut *tables).await?;
        if merged {
            tables.execute("SET LOCAL enable_nestloop TO DEFAULT").await?;
        }
        Ok(found)
    }

    /// Adds the condition that an entry, with the alias `words`, matches the term, and that its user can match the filter.
    fn push_entry(&self, query: &mut QueryBuilder<'_, Postgres>, words: &str, term: &Term) {
        query.push(format_args!("{words}.tenant_id = ")).push_bind(self.tenant.uuid());
        term.range(query, words);
        match self.filter.present() {
            Some(true) => _ = query.push(format_args!(" AND {words}.present")),
            Some(false) => _ = query.push(format_args!(" AND NOT {words}.present")),
            None => {}
        }
    }

    /// The rows of the first of these users that match the filter, in this order and at most a page, looked up one by one by the primary
    /// key.
    async fn rows(&self, found: &[Uuid], tables: &mut PgConnection) -> Result<Vec<PersonRow>, sqlx::Error> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::new("SELECT t.* FROM UNNEST(");
        query.push_bind(found.to_vec()).push("::uuid[]) WITH ORDINALITY AS k (id, nth) CROSS JOIN LATERAL (");
        query.push(select::<PersonRow>());
        of_tenant(&mut query, self.tenant);
        self.filter.plain(&mut query);
        query.push(" AND t.user_id = k.id OFFSET 0) t ORDER BY k.nth LIMIT ").push_bind(self.limit);
        query.build_query_as().fetch_all(tables).await
    }
}
