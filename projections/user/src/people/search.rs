//! Searching by words, whether few or nearly all have them.
//!
//! One statement can't be right for both, and Postgres can't know which it is. So it is counted first, as far as it matters, how
//! many have each word, and whether it is one word that they have: those stand together, in the order of the list by name, and a
//! page is read as it is; two such words are merged, from where both have begun to where one ends. Where many words begin alike,
//! whoever has common ones is met among the first of the list. Who is not stands far behind, or is nobody: then only those are gone
//! through who have the rarest word, and the first of them are picked. Rows are read of the page alone.

use folding::list::of_tenant;
use folding::paging::{Keyset, ListError, Seek, SeekKey};
use folding::table::select;
use folding::words::Term;
use kernel::TenantId;
use sqlx::{Executor, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::list::PersonFilter;
use super::row::PersonRow;

/// Fewer people than this are asked for their other words one by one.
const RARE: i64 = 1_000;
/// Fewer people than this are remembered while those who have another word are gone through.
const MANY: i64 = 20_000;
/// So many of the list are gone through before those who have a word.
const FIRST: i64 = 250;
/// Whoever has several words that begin alike is met several times: so many times as many are read as are shown.
const ALIKE: i64 = 4;
/// So many times as many again when that was not enough.
const MORE: i64 = 16;

/// A page of those who have all of these words, of which there is at least one. `tables` is in a transaction.
pub(super) async fn page(
    tables: &mut PgConnection,
    tenant: TenantId,
    (filter, terms): (&PersonFilter, &[Term]),
    keyset: Keyset,
    after: Option<Seek>,
    limit: i64,
) -> Result<Vec<PersonRow>, ListError> {
    let search = Search { tenant, filter, terms, keyset, after, limit };
    // All that is asked has an index. Where many have a word, the whole table looks cheaper to Postgres, as if they stood everywhere in
    // it; those of a tenant stand together, be it at its end.
    tables.execute("SET LOCAL enable_seqscan = off").await?;
    let page = search.page(tables).await?;
    tables.execute("SET LOCAL enable_seqscan TO DEFAULT").await?;
    Ok(page)
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

/// Whether whoever has it has the same word: they stand together, in the order of names.
fn is_whole(term: &Term) -> bool {
    matches!(term, Term::Is(_))
}

/// Adds the condition that the entry's name is one of these, or between them.
fn named(query: &mut QueryBuilder<'_, Postgres>, words: &str, between: Option<&(String, String)>) {
    if let Some((first, last)) = between {
        query.push(format_args!(" AND {words}.name >= ")).push_bind(first.clone());
        query.push(format_args!(" AND {words}.name <= ")).push_bind(last.clone());
    }
}

impl Search<'_> {
    /// The page.
    async fn page(&self, tables: &mut PgConnection) -> Result<Vec<PersonRow>, ListError> {
        let mut counted = self.counted(RARE, tables).await?;
        if counted.iter().all(|(many, _)| *many >= RARE) && !self.in_order(&counted) {
            let first = self.among_the_first(tables).await?;
            let page = self.rows(&first, tables).await?;
            if page.len() as i64 == self.limit {
                return Ok(page);
            }
            // Common words that nobody has together, or only whoever comes late: which of them is the rarest?
            if counted.len() > 1 {
                counted = self.counted(MANY, tables).await?;
            }
        }
        self.along(&counted, tables).await
    }

    /// How many entries there are for each word, counted up to `most`; the rarest first. What only one word begins with is that word.
    async fn counted(&self, most: i64, tables: &mut PgConnection) -> Result<Vec<(i64, Term)>, sqlx::Error> {
        let mut query = QueryBuilder::new("");
        for (nth, term) in self.terms.iter().enumerate() {
            let and = if nth == 0 { "" } else { " UNION ALL " };
            query.push(format_args!("{and}SELECT {nth}, (SELECT count(*) FROM ("));
            term.ids::<PersonRow>(&mut query, self.tenant.uuid());
            query.push(format_args!(" LIMIT {most}) w)"));
            for way in ["ASC", "DESC"] {
                if is_whole(term) {
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

    /// Whether those who have each of these stand in the order of the list.
    fn in_order(&self, counted: &[(i64, Term)]) -> bool {
        self.keyset.column == "name" && counted.iter().all(|(_, term)| is_whole(term))
    }

    /// Between which names those stand who may have all of these words, each of which is one word; `None`: there are none.
    async fn between(
        &self,
        counted: &[(i64, Term)],
        tables: &mut PgConnection,
    ) -> Result<Option<(String, String)>, sqlx::Error> {
        let mut query = QueryBuilder::new("");
        for (nth, (_, term)) in counted.iter().enumerate() {
            let and = if nth == 0 { "SELECT" } else { " UNION ALL SELECT" };
            for (before, way) in [(and, "ASC"), (",", "DESC")] {
                query.push(format_args!("{before} (SELECT w.name FROM person_word w WHERE "));
                self.has(&mut query, "w", term);
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

    /// Who has the words among the first of all, in the order of the list.
    async fn among_the_first(&self, tables: &mut PgConnection) -> Result<Vec<Uuid>, ListError> {
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

    /// Who has the rarest word and all others, in the order of the list, until the page is full.
    async fn along(&self, counted: &[(i64, Term)], tables: &mut PgConnection) -> Result<Vec<PersonRow>, ListError> {
        let Some((rarest, others)) = counted.split_first() else { return Ok(Vec::new()) };
        let between = if rarest.0 < RARE || others.is_empty() || !self.in_order(counted) {
            None
        } else {
            match self.between(counted, tables).await? {
                None => return Ok(Vec::new()),
                some => some,
            }
        };
        let alike = if is_whole(&rarest.1) { 1 } else { ALIKE };
        let mut most = self.limit.saturating_mul(alike);
        loop {
            let mut found = self.entries((rarest, others), between.as_ref(), most, tables).await?;
            let all = (found.len() as i64) < most;
            // Several entries of one person stand together.
            found.dedup();
            let page = self.rows(&found, tables).await?;
            if all || page.len() as i64 == self.limit {
                return Ok(page);
            }
            most = most.saturating_mul(MORE);
        }
    }

    /// Whose they are, of the rarest word's entries, the first `most` in the order of the list that have the others.
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
        self.has(&mut query, "t", rarest);
        named(&mut query, "t", between);
        self.keyset.after(&mut query, self.after.clone())?;
        let mut merged = false;
        for (many, term) in others {
            if *fewest < RARE {
                term.of_each::<PersonRow>(&mut query, self.tenant.uuid());
            } else if *many < MANY && !(is_whole(rarest) && is_whole(term)) {
                // IS TRUE keeps this from becoming a join: it is a table of hashes, made once. The limit says that it is small.
                query.push(" AND (t.user_id IN (");
                term.ids::<PersonRow>(&mut query, self.tenant.uuid());
                query.push(format_args!(" LIMIT {MANY})) IS TRUE"));
            } else {
                // Both in the order of names: they are merged, and no further than the page needs.
                merged = true;
                query.push(" AND (t.name, t.user_id) IN (SELECT w.name, w.user_id FROM person_word w WHERE ");
                self.has(&mut query, "w", term);
                named(&mut query, "w", between);
                query.push(")");
            }
        }
        // What has to be sorted is found first, all of it: else it is planned as if a page were soon full.
        query.push(if column == "name" && is_whole(rarest) { ") t" } else { " OFFSET 0) t" });
        self.keyset.order(&mut query);
        query.push(format_args!(" LIMIT {most}"));
        if merged {
            // Of a tenant that came since Postgres gathered statistics each word is taken for one entry: each entry of one would be
            // compared with each of the other.
            tables.execute("SET LOCAL enable_nestloop = off").await?;
        }
        // Planned for these words: a plan for any words takes them for rare ones.
        let found = query.build_query_scalar().persistent(false).fetch_all(&mut *tables).await?;
        if merged {
            tables.execute("SET LOCAL enable_nestloop TO DEFAULT").await?;
        }
        Ok(found)
    }

    /// Adds the condition that `words` shows the word of somebody who may be looked for.
    fn has(&self, query: &mut QueryBuilder<'_, Postgres>, words: &str, term: &Term) {
        query.push(format_args!("{words}.tenant_id = ")).push_bind(self.tenant.uuid());
        term.range(query, words);
        match self.filter.present() {
            Some(true) => _ = query.push(format_args!(" AND {words}.present")),
            Some(false) => _ = query.push(format_args!(" AND NOT {words}.present")),
            None => {}
        }
    }

    /// The rows of the first of these who fill a page, in this order, looked up one by one along the primary key.
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
