//! Words by which a directory is searched: every word of a record's texts, in lower case and Unicode's composed form, found by its
//! beginning.
//!
//! Kept in a table (tenant, word, id) in the byte order of `COLLATE "C"`, so that "begins with" is a range of the primary
//! key, which row level security lets Postgres use (see the crate's documentation). A directory that is to answer for any words,
//! however common, keeps each record's [`Place`] in its lists beside them.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use kernel::{Event, RecordedEvent, TenantId, composed, folded};
use projector::ApplyError;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::change::decode;
use crate::fold::{self, Current, Folded, Telling, fold};
use crate::{list, table};

/// Longer words are cut: nobody types more, and the key stays small.
const LONGEST: usize = 40;
/// A search looks at so many words at most.
const MOST_TERMS: usize = 8;

/// The words of some texts.
pub fn words<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for text in texts {
        // A mark that stands for itself is no letter: it would part the word.
        let text = composed(text);
        let parts = text.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
        found.extend(parts.map(|part| folded(part).chars().take(LONGEST).collect::<String>()));
    }
    found
}

/// The changes that a batch makes to one table of words.
#[derive(Debug, Default)]
pub struct WordChanges {
    gone: BTreeSet<Entry>,
    new: BTreeSet<Entry>,
}

/// A word of a record, in the order of the table's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tenant: Uuid,
    word: String,
    place: Arc<Place>,
    id: Uuid,
}

/// Where a record stands in its lists. Kept beside each of its words, so that those who have one can be read in a list's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Whether it is among those who are listed unless others are asked for.
    pub present: bool,
    /// The name by which they are ordered.
    pub name: String,
    /// When it began. It never changes.
    pub registered_at: DateTime<Utc>,
}

impl WordChanges {
    /// Those of the records that a batch touched.
    pub fn of<R: Found>(folded: &Folded<R>) -> Self {
        Self {
            gone: folded.before.iter().flat_map(entries).collect(),
            new: folded.after.iter().flat_map(entries).collect(),
        }
    }

    /// Writes the difference to the table of these records' words.
    pub async fn write<R: Found>(&self, tables: &mut PgConnection) -> Result<(), sqlx::Error> {
        let (table, id) = R::WORDS;
        let (columns, arrays, same) = if R::PLACED {
            (", present, name, registered_at", ", $4::boolean[], $5::text[], $6::timestamptz[]", PLACED_SAME)
        } else {
            ("", "", "")
        };
        let arrays = format!("UNNEST($1::uuid[], $2::text[], $3::uuid[]{arrays})");
        let delete = format!(
            "DELETE FROM {table} t USING (\
                 SELECT f.place FROM {arrays} AS k (tenant_id, word, id{columns}) \
                 CROSS JOIN LATERAL (SELECT o.ctid AS place FROM {table} o \
                                     WHERE o.tenant_id = k.tenant_id AND o.word = k.word{same} AND o.{id} = k.id \
                                     OFFSET 0) f) w \
             WHERE t.ctid = w.place"
        );
        let insert = format!("INSERT INTO {table} (tenant_id, word, {id}{columns}) SELECT * FROM {arrays}");
        execute(&delete, self.gone.difference(&self.new), R::PLACED, tables).await?;
        execute(&insert, self.new.difference(&self.gone), R::PLACED, tables).await
    }
}

/// What else an entry that is placed is found by, in the order of the key.
const PLACED_SAME: &str = " AND o.present = k.present AND o.name = k.name";

fn entries<R: Found>(row: &R) -> Vec<Entry> {
    let ((tenant, id), place) = (row.key(), Arc::new(row.place()));
    let entry = |word| Entry { tenant, word, place: Arc::clone(&place), id };
    row.words().into_iter().map(entry).collect()
}

async fn execute<'a>(
    sql: &str,
    entries: impl Iterator<Item = &'a Entry>,
    placed: bool,
    tables: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    let entries: Vec<_> = entries.collect();
    if entries.is_empty() {
        return Ok(());
    }
    let tenants: Vec<_> = entries.iter().map(|entry| entry.tenant).collect();
    let words: Vec<_> = entries.iter().map(|entry| entry.word.as_str()).collect();
    let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
    let mut query = sqlx::query(sql).bind(tenants).bind(words).bind(ids);
    if placed {
        let present: Vec<_> = entries.iter().map(|entry| entry.place.present).collect();
        let names: Vec<_> = entries.iter().map(|entry| entry.place.name.as_str()).collect();
        let times: Vec<_> = entries.iter().map(|entry| entry.place.registered_at).collect();
        query = query.bind(present).bind(names).bind(times);
    }
    query.execute(tables).await?;
    Ok(())
}

/// A record of a directory: what is found by its words.
pub trait Found: Current {
    /// The table of its words, whose key is (`tenant_id`, `word`, the record's id): its name, and that of its last column.
    const WORDS: (&'static str, &'static str);

    /// Whether that table has the columns of a [`Place`] too, `present` and `name` in its key between word and id.
    const PLACED: bool = false;

    /// The words by which it is found.
    fn words(&self) -> BTreeSet<String>;

    /// Where it stands, if its words are placed.
    fn place(&self) -> Place {
        Place::default()
    }
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
        query
            .push(format_args!("SELECT w.{id} FROM {table} w WHERE w.tenant_id = (SELECT "))
            .push_bind(tenant)
            .push(")");
        self.range(query, "w");
    }

    /// Adds the condition that `t` has it, looked up record by record: for a table of words with an index by record.
    pub fn of_each<R: Found>(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: Uuid) {
        let (table, id) = R::WORDS;
        query.push(format_args!(" AND EXISTS (SELECT 1 FROM {table} w WHERE w.tenant_id = ")).push_bind(tenant);
        query.push(format_args!(" AND w.{id} = t.{id}"));
        self.range(query, "w");
        // OFFSET 0 keeps the planner from turning this round: all who have the word would be read first.
        query.push(" OFFSET 0)");
    }

    /// Adds the condition that `words`, an alias of the table of words, shows it: along the key, after the tenant.
    pub fn range(&self, query: &mut QueryBuilder<'_, Postgres>, words: &str) {
        match self {
            Self::Is(word) => query.push(format_args!(" AND {words}.word = ")).push_bind(word.clone()),
            Self::Begins(word) => {
                query.push(format_args!(" AND {words}.word >= ")).push_bind(word.clone());
                // The greatest character there is ends the range of all that begins with the word.
                query.push(format_args!(" AND {words}.word < ")).push_bind(format!("{word}\u{10FFFF}"))
            }
        };
    }
}

/// Adds `WHERE t.tenant_id = …`, and the condition that a record has all of this.
///
/// Beside words the tenant stands in a sub-select, whose value the planner does not see: else it takes a tenant that came since Postgres
/// gathered statistics for one without rows, and compares each record with each word.
pub fn of_tenant_having<R: Found>(query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId, terms: &[Term]) {
    if terms.is_empty() {
        list::of_tenant(query, tenant);
        return;
    }
    query.push("WHERE t.tenant_id = (SELECT ").push_bind(tenant.uuid()).push(")");
    let (_, id) = R::WORDS;
    for term in terms {
        query.push(format_args!(" AND t.{id} IN ("));
        term.ids::<R>(query, tenant.uuid());
        query.push(")");
    }
}

/// Adds `WHERE t.tenant_id = …`, and the condition that a record has, for each word of `search`, a word that begins with it.
pub fn of_tenant_matching<R: Found>(query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId, search: Option<&str>) {
    of_tenant_having::<R>(query, tenant, &search.map(terms).unwrap_or_default());
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
    fn a_word_is_one_whether_its_marks_are_part_of_its_letters_or_not() {
        assert_eq!(words(["Cafe\u{301} ZOE\u{308}"]), words(["café zoë"]));
        assert_eq!(terms("cafe\u{301}"), [Term::Begins("café".to_owned())]);
    }

    #[test]
    fn a_word_longer_than_the_key_is_cut() {
        assert_eq!(words([&*"x".repeat(100)]).first().map(String::len), Some(LONGEST));
    }
}
