//! Queries of the entries of words: those of one term, between names, for users who also have the other terms.

use folding::marks::Marks;
use folding::paging::ListError;
use folding::words::Term;
use sqlx::postgres::PgRow;
use sqlx::{Executor, FromRow, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{Counted, MANY, RARE, Search, is_exact};
use crate::people::row::PersonRow;

/// Names that users who match can have, both included; `None` where that needs no condition.
#[derive(Default)]
pub(super) struct Names {
    pub(super) first: Option<String>,
    pub(super) last: Option<String>,
}

impl Names {
    /// Adds the condition that the name of an entry, with the alias `words`, is one of these.
    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, words: &str) {
        for (than, name) in [(">=", &self.first), ("<=", &self.last)] {
            if let Some(name) = name {
                query.push(format_args!(" AND {words}.name {than} ")).push_bind(name.clone());
            }
        }
    }
}

/// The names between which the entries of the first term, and those of the others, are read.
#[derive(Default)]
pub(super) struct Between {
    pub(super) first: Names,
    pub(super) others: Names,
}

/// Runs a query of entries. It is not persistent, so that it is planned for these words: a generic plan assumes rare words.
pub(super) async fn fetch<R>(
    mut query: QueryBuilder<'_, Postgres>,
    merged: bool,
    tables: &mut PgConnection,
) -> Result<Vec<R>, sqlx::Error>
where
    R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    if merged {
        // For a tenant newer than the statistics the planner estimates one entry per word. A nested loop would then compare each entry
        // of one word with each of the other.
        tables.execute("SET LOCAL enable_nestloop = off").await?;
    }
    let found = query.build_query_as().persistent(false).fetch_all(&mut *tables).await?;
    if merged {
        tables.execute("SET LOCAL enable_nestloop TO DEFAULT").await?;
    }
    Ok(found)
}

impl Search<'_> {
    /// The users of the first `most` entries of the first term, in the order of the list, that also match the other terms.
    pub(super) async fn entries(
        &self,
        ((many, first), others): (&Counted, &[Counted]),
        between: &Between,
        most: i64,
        tables: &mut PgConnection,
    ) -> Result<Vec<Uuid>, ListError> {
        let mut query = QueryBuilder::new("SELECT t.user_id FROM (");
        self.push_entries(&mut query, first, between)?;
        let mut merged = false;
        let rare = *many < RARE;
        if rare {
            Marks::of_terms(others.iter().map(|(_, term)| term)).push(&mut query, "t");
        }
        for (many, term) in others {
            if rare {
                term.of_each::<PersonRow>(&mut query, self.tenant.uuid());
            } else if *many < MANY && !(is_exact(first) && is_exact(term)) {
                // IS TRUE keeps this from becoming a join, so that Postgres builds a hash table once. The limit tells the planner that it
                // is small.
                query.push(" AND (t.user_id IN (");
                term.ids::<PersonRow>(&mut query, self.tenant.uuid());
                query.push(format_args!(" LIMIT {MANY})) IS TRUE"));
            } else {
                merged = true;
                self.push_merged(&mut query, term, between);
            }
        }
        self.end_entries(&mut query, first);
        query.push(format_args!(" LIMIT {most}"));
        let found: Vec<(Uuid,)> = fetch(query, merged, tables).await?;
        Ok(found.into_iter().map(|(user,)| user).collect())
    }

    /// Adds the query of the entries of the first term, as `t`, without its end.
    pub(super) fn push_entries(
        &self,
        query: &mut QueryBuilder<'_, Postgres>,
        first: &Term,
        between: &Between,
    ) -> Result<(), ListError> {
        let column = self.keyset.column;
        query.push(format_args!("SELECT t.user_id, t.{column} FROM person_word t WHERE "));
        self.push_entry(query, "t", first);
        between.first.push(query, "t");
        self.keyset.after(query, self.after.clone())
    }

    /// Adds the condition that the user of entry `t` also has an entry of this term. Both are in the order of names, so a merge join reads
    /// only as far as the page needs.
    pub(super) fn push_merged(&self, query: &mut QueryBuilder<'_, Postgres>, term: &Term, between: &Between) {
        query.push(" AND (t.name, t.user_id) IN (SELECT w.name, w.user_id FROM person_word w WHERE ");
        self.push_entry(query, "w", term);
        between.others.push(query, "w");
        query.push(")");
    }

    /// Ends the query of the entries of the first term, and adds the order of the list.
    pub(super) fn end_entries(&self, query: &mut QueryBuilder<'_, Postgres>, first: &Term) {
        // With OFFSET 0 all matches are found before they are sorted. Otherwise the planner assumes that the page is full soon.
        query.push(if self.keyset.column == "name" && is_exact(first) { ") t" } else { " OFFSET 0) t" });
        self.keyset.order(query);
    }

    /// Adds the condition that an entry, with the alias `words`, matches the term, and that its user can match the filter.
    pub(super) fn push_entry(&self, query: &mut QueryBuilder<'_, Postgres>, words: &str, term: &Term) {
        query.push(format_args!("{words}.tenant_id = ")).push_bind(self.tenant.uuid());
        term.range(query, words);
        match self.filter.present() {
            Some(true) => _ = query.push(format_args!(" AND {words}.present")),
            Some(false) => _ = query.push(format_args!(" AND NOT {words}.present")),
            None => {}
        }
    }
}
