//! Search by words, for rare words as well as for words that nearly all users have.
//!
//! No single statement is fast for both, and Postgres cannot estimate which case it is. So the users with each word are counted first, up
//! to a limit, and it is checked whether a prefix matches only one word. Then
//!
//! - if a word is rare, its users are looked up, and checked for the other words;
//! - if all words are common, but a prefix matches several words, or the list has another order, the first users of the list are checked,
//!   since many of them match;
//! - otherwise, or if too few of those match, the entries of one word are read, between the names where all words have entries. The entries
//!   of an exact word are stored in the order of names, so a page by name is read directly. The marks of an entry show which of the other
//!   words its user can have, and only those users are looked up ([`folding::marks`]). Roles, groups and organizations are not in the
//!   marks: their entries are read first, and if there are several, merged;
//! - if many users have the marks by chance, but not the words, the entries of all words are merged.
//!
//! Complete rows are read only for the users of the page.

mod entries;

use std::cmp::Reverse;

use folding::list::of_tenant;
use folding::marks::Marks;
use folding::paging::{Keyset, ListError, Seek, SeekKey};
use folding::table::select;
use folding::words::Term;
use kernel::TenantId;
use sqlx::{Executor, PgConnection, QueryBuilder};
use uuid::Uuid;

use self::entries::{Between, Names, fetch};
use super::list::PersonFilter;
use super::row::PersonRow;

/// If the rarest word has fewer entries than this, the other words of its users are looked up one by one.
const RARE: i64 = 1_000;
/// Up to this number it is counted which of several common words is the rarest. If another word has fewer entries, its users are put into a
/// hash table where words are not merged.
const MANY: i64 = 5_000;
/// How many users who have the marks of all words are looked up at most.
const CANDIDATES: i64 = 1_000;
/// How many of the first users of the list are checked for common words.
const FIRST: i64 = 250;
/// How many times as many entries as users are read for a prefix, since a user may have several words with it.
const ENTRIES_PER_USER: i64 = 4;
/// The factor by which more entries are read when these were not enough.
const MORE: i64 = 16;

/// All queries here have an index, in whose order they are read. For a common word Postgres would estimate that a sequential scan, or a bitmap
/// with a sort, is cheaper: it assumes that the tenant's rows are spread over the table, while in fact they are close together, and that few
/// entries have the marks. Parallel workers take longer to start than a query here takes, and don't read in the order of names.
const PLANNER: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
    SET LOCAL max_parallel_workers_per_gather = 0";
const PLANNER_AS_BEFORE: &str = "SET LOCAL enable_seqscan TO DEFAULT; SET LOCAL enable_bitmapscan TO DEFAULT;
    SET LOCAL max_parallel_workers_per_gather TO DEFAULT";

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
    tables.execute(PLANNER).await?;
    let page = search.page(tables).await?;
    tables.execute(PLANNER_AS_BEFORE).await?;
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

/// Whether many other names can be between these two. If they begin with the same letter, we assume that there are few.
fn are_far(one: &str, other: &str) -> bool {
    one.chars().next() != other.chars().next()
}

/// A term and the number of its entries, which is counted up to a limit.
type Counted = (i64, Term);

impl Search<'_> {
    /// Reads the page.
    async fn page(&self, tables: &mut PgConnection) -> Result<Vec<PersonRow>, ListError> {
        let mut counted = self.count_terms(RARE, tables).await?;
        let mut between = Between::default();
        let common = counted.iter().all(|(many, _)| *many >= RARE);
        if common && self.in_order(&counted) {
            if counted.len() > 1 {
                let Some(names) = self.begin_late(&mut counted, tables).await? else { return Ok(Vec::new()) };
                between = names;
            }
        } else if common {
            let first = self.among_first(tables).await?;
            let page = self.rows(&first, tables).await?;
            if page.len() as i64 == self.limit {
                return Ok(page);
            }
            // Few or no users have all these common words, or only late in the list. Count further to find the rarest word.
            if counted.len() > 1 {
                counted = self.count_terms(MANY, tables).await?;
                counted.sort_by_key(|(_, term)| term.has_marks());
            }
        }
        if common && let Some(page) = self.by_marks(&counted, &between, tables).await? {
            return Ok(page);
        }
        self.by_first_term(&counted, &between, tables).await
    }

    /// Counts the entries of each term, up to `most`, the rarest first. A prefix of only one word is replaced by that word.
    async fn count_terms(&self, most: i64, tables: &mut PgConnection) -> Result<Vec<Counted>, sqlx::Error> {
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
    fn in_order(&self, counted: &[Counted]) -> bool {
        self.keyset.column == "name" && counted.iter().all(|(_, term)| is_exact(term))
    }

    /// Sorts common exact terms by whose entries are best read first, and returns the names between which users can match; `None` if nobody
    /// can.
    async fn begin_late(
        &self,
        counted: &mut Vec<Counted>,
        tables: &mut PgConnection,
    ) -> Result<Option<Between>, sqlx::Error> {
        let mut query = QueryBuilder::new("");
        for (nth, (_, term)) in counted.iter().enumerate() {
            let and = if nth == 0 { "SELECT" } else { " UNION ALL SELECT" };
            query.push(format_args!("{and} {nth}"));
            for way in ["ASC", "DESC"] {
                query.push(", (SELECT w.name FROM person_word w WHERE ");
                self.push_entry(&mut query, "w", term);
                query.push(format_args!(" ORDER BY w.name {way} LIMIT 1)"));
            }
        }
        let ends: Vec<(i32, Option<String>, Option<String>)> = query.build_query_as().fetch_all(tables).await?;
        let mut known = Vec::with_capacity(counted.len());
        for (nth, first, last) in ends {
            let Some(names) = first.zip(last) else { return Ok(None) };
            known.extend(counted.get(nth as usize).map(|term| (names, term.clone())));
        }
        // What is not in the marks comes first. Of others the one whose names begin last has the fewest entries without a match before them,
        // and is most often the rarest.
        known.sort_by(|((first, last), (_, term)), ((other_first, other_last), (_, other))| {
            (term.has_marks(), Reverse(first), last).cmp(&(other.has_marks(), Reverse(other_first), other_last))
        });
        let after = match &self.after {
            Some(Seek { key: SeekKey::Text(name), .. }) => Some(name),
            _ => None,
        };
        let first = known.iter().map(|((first, _), _)| first).chain(after).max().cloned();
        let last = known.iter().map(|((_, last), _)| last).min().cloned();
        if first > last {
            return Ok(None);
        }
        // A condition is checked for each entry, which takes a fifth of the time. So there is none unless it excludes many.
        let begun = known.first().map(|(names, _)| names);
        let begins_early = |first: &String| begun.is_some_and(|(begins, _)| begins < first && are_far(begins, first));
        let ends_late = |last: &String| begun.is_some_and(|(_, ends)| ends > last && are_far(ends, last));
        let names = Names {
            first: first.clone().filter(|first| begins_early(first) && Some(first) != after),
            last: last.clone().filter(ends_late),
        };
        *counted = known.into_iter().map(|(_, term)| term).collect();
        Ok(Some(Between { first: names, others: Names { first, last } }))
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

    /// A page of the users who match all of these terms, of which at least the first is common. It is found by the marks of the entries of
    /// the first term; `None` if that does not answer the search.
    async fn by_marks(
        &self,
        counted: &[Counted],
        between: &Between,
        tables: &mut PgConnection,
    ) -> Result<Option<Vec<PersonRow>>, ListError> {
        let Some(((_, first), others)) = counted.split_first() else { return Ok(None) };
        let (marked, merged): (Vec<&Term>, Vec<&Term>) =
            others.iter().map(|(_, term)| term).partition(|term| term.has_marks());
        if marked.is_empty() {
            return Ok(None);
        }
        let column = self.keyset.column;
        let mut query =
            QueryBuilder::new(format!("SELECT t.user_id, t.nth = {CANDIDATES} FROM (SELECT t.*, row_number() OVER ("));
        self.keyset.order(&mut query);
        query.push(format_args!(") AS nth FROM (SELECT t.user_id, t.{column} FROM ("));
        self.push_entries(&mut query, first, between)?;
        Marks::of_terms(marked.iter().copied()).push(&mut query, "t");
        for term in &merged {
            self.push_merged(&mut query, term, between);
        }
        self.end_entries(&mut query, first);
        // The last candidate is read in any case. It shows that there may be more.
        query.push(format_args!(" LIMIT {CANDIDATES}) t) t WHERE t.nth = {CANDIDATES} OR (true"));
        for term in &marked {
            term.of_each::<PersonRow>(&mut query, self.tenant.uuid());
        }
        query.push(")");
        let most = self.most_entries(first);
        self.keyset.limit(&mut query, most);
        let found: Vec<(Uuid, bool)> = fetch(query, !merged.is_empty(), tables).await?;
        let all = (found.len() as i64) < most && !found.iter().any(|(_, last)| *last);
        let mut found: Vec<_> = found.into_iter().filter(|(_, last)| !last).map(|(user, _)| user).collect();
        found.dedup();
        let page = self.rows(&found, tables).await?;
        Ok((all || page.len() as i64 == self.limit).then_some(page))
    }

    /// A page of the users who match the first term and all others, in the order of the list.
    async fn by_first_term(
        &self,
        counted: &[Counted],
        between: &Between,
        tables: &mut PgConnection,
    ) -> Result<Vec<PersonRow>, ListError> {
        let Some((first, others)) = counted.split_first() else { return Ok(Vec::new()) };
        let mut most = self.most_entries(&first.1);
        loop {
            let mut found = self.entries((first, others), between, most, tables).await?;
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

    /// How many entries of the term are read for a page at first.
    fn most_entries(&self, term: &Term) -> i64 {
        self.limit.saturating_mul(if is_exact(term) { 1 } else { ENTRIES_PER_USER })
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
