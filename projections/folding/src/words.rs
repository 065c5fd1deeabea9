//! Words by which a directory is searched: every word of a record's texts, in lower case, found by its beginning.
//!
//! Kept in a table (tenant, word, id) in the byte order of `COLLATE "C"`, so that "begins with" is a range of the primary
//! key, which row level security lets Postgres use (see the crate's documentation).

use std::collections::BTreeSet;

use kernel::{Event, RecordedEvent};
use projector::ApplyError;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::change::decode;
use crate::fold::{self, Current, Folded, Telling, fold};
use crate::table::{self, Key};

/// Longer words are cut: nobody types more, and the key stays small.
const LONGEST: usize = 40;
/// A search looks at so many words at most.
const MOST_TERMS: usize = 8;

/// The words of some texts.
pub fn words<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let parts = texts.into_iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    parts.filter(|part| !part.is_empty()).map(|part| part.to_lowercase().chars().take(LONGEST).collect()).collect()
}

/// The changes that a batch makes to one table of words.
#[derive(Debug, Default)]
pub struct WordChanges {
    gone: BTreeSet<(Uuid, String, Uuid)>,
    new: BTreeSet<(Uuid, String, Uuid)>,
}

impl WordChanges {
    /// Those of the records that a batch touched.
    pub fn of<R: Found>(folded: &Folded<R>) -> Self {
        let mut changes = Self::default();
        for row in &folded.before {
            changes.before(row.key(), row.words());
        }
        for row in &folded.after {
            changes.after(row.key(), row.words());
        }
        changes
    }

    /// A record had these words before the batch.
    fn before(&mut self, (tenant, id): Key, words: BTreeSet<String>) {
        self.gone.extend(words.into_iter().map(|word| (tenant, word, id)));
    }

    /// A record has these words after the batch.
    fn after(&mut self, (tenant, id): Key, words: BTreeSet<String>) {
        self.new.extend(words.into_iter().map(|word| (tenant, word, id)));
    }

    /// Writes the difference to the table of these records' words.
    pub async fn write<R: Found>(&self, tables: &mut PgConnection) -> Result<(), sqlx::Error> {
        let (table, id) = R::WORDS;
        let delete = format!(
            "DELETE FROM {table} t USING (\
                 SELECT f.place FROM UNNEST($1::uuid[], $2::text[], $3::uuid[]) AS k (tenant_id, word, id) \
                 CROSS JOIN LATERAL (SELECT o.ctid AS place FROM {table} o \
                                     WHERE o.tenant_id = k.tenant_id AND o.word = k.word AND o.{id} = k.id \
                                     OFFSET 0) f) w \
             WHERE t.ctid = w.place"
        );
        let insert = format!(
            "INSERT INTO {table} (tenant_id, word, {id}) SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::uuid[])"
        );
        execute(&delete, self.gone.difference(&self.new), tables).await?;
        execute(&insert, self.new.difference(&self.gone), tables).await
    }
}

async fn execute<'a>(
    sql: &str,
    words: impl Iterator<Item = &'a (Uuid, String, Uuid)>,
    tables: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    let (mut tenants, mut texts, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for (tenant, word, id) in words {
        tenants.push(*tenant);
        texts.push(word.as_str());
        ids.push(*id);
    }
    if !ids.is_empty() {
        sqlx::query(sql).bind(tenants).bind(texts).bind(ids).execute(tables).await?;
    }
    Ok(())
}

/// A record of a directory: what is found by its words.
pub trait Found: Current {
    /// The table of its words, whose key is (`tenant_id`, `word`, the record's id): its name, and that of its last column.
    const WORDS: (&'static str, &'static str);

    /// The words by which it is found.
    fn words(&self) -> BTreeSet<String>;
}

/// Applies a batch of events to a directory: its records and their words.
pub async fn apply<R: Found>(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError>
where
    R::Event: Event,
{
    let changes = decode::<R::Event>(events)?;
    let folded = fold::<R>(&changes, tables, |_, _| Ok(())).await?;
    table::upsert(&folded.after, tables).await?;
    Ok(WordChanges::of(&folded).write::<R>(tables).await?)
}

/// Empties the record of whoever an event erases, and forgets the words by which they were found.
///
/// # Errors
/// What the database says.
pub async fn forget<R: Found + Telling>(event: &RecordedEvent, tables: &mut PgConnection) -> Result<(), ApplyError> {
    let folded = fold::forget::<R>(event, tables).await?;
    Ok(WordChanges::of(&folded).write::<R>(tables).await?)
}

/// A word that a record is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// One that begins so.
    Begins(String),
    /// This very one.
    Is(String),
}

/// What is searched for: each word of `search` begins a word of the record.
pub fn terms(search: &str) -> Vec<Term> {
    words([search]).into_iter().take(MOST_TERMS).map(Term::Begins).collect()
}

impl Term {
    /// Adds the query of the ids of those who have it, along the key of the table of words.
    pub fn ids<R: Found>(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: Uuid) {
        let (table, id) = R::WORDS;
        query.push(format_args!("SELECT w.{id} FROM {table} w WHERE w.tenant_id = ")).push_bind(tenant);
        self.range(query);
    }

    /// Adds the condition that `t` has it, looked up record by record: for a table of words with an index by record.
    pub fn of_each<R: Found>(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: Uuid) {
        let (table, id) = R::WORDS;
        query.push(format_args!(" AND EXISTS (SELECT 1 FROM {table} w WHERE w.tenant_id = ")).push_bind(tenant);
        query.push(format_args!(" AND w.{id} = t.{id}"));
        self.range(query);
        // OFFSET 0 keeps the planner from turning this round: all who have the word would be read first.
        query.push(" OFFSET 0)");
    }

    fn range(&self, query: &mut QueryBuilder<'_, Postgres>) {
        match self {
            Self::Is(word) => query.push(" AND w.word = ").push_bind(word.clone()),
            Self::Begins(word) => {
                query.push(" AND w.word >= ").push_bind(word.clone());
                // The greatest character there is ends the range of all that begins with the word.
                query.push(" AND w.word < ").push_bind(format!("{word}\u{10FFFF}"))
            }
        };
    }
}

/// Adds the condition that a record has all of this.
pub fn having<R: Found>(query: &mut QueryBuilder<'_, Postgres>, tenant: Uuid, terms: &[Term]) {
    let (_, id) = R::WORDS;
    for term in terms {
        query.push(format_args!(" AND t.{id} IN ("));
        term.ids::<R>(query, tenant);
        query.push(")");
    }
}

/// Adds the condition that a record has, for each word of `search`, a word that begins with it.
pub fn matching<R: Found>(query: &mut QueryBuilder<'_, Postgres>, tenant: Uuid, search: &str) {
    having::<R>(query, tenant, &terms(search));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lower_case_without_punctuation_and_each_once() {
        let found = words(["Žofie O'Neill", "zo.fie@example.com", "ŽOFIE", "+49 30 123", ""]);
        let expected = ["+49", "30", "123"].map(|w| w.trim_start_matches('+').to_owned());
        assert!(expected.iter().all(|word| found.contains(word)));
        let rest: Vec<_> = found.iter().filter(|word| !expected.contains(word)).map(String::as_str).collect();
        assert_eq!(rest, ["com", "example", "fie", "neill", "o", "zo", "žofie"]);
    }

    #[test]
    fn a_word_longer_than_the_key_is_cut() {
        assert_eq!(words([&*"x".repeat(100)]).first().map(String::len), Some(LONGEST));
    }
}
