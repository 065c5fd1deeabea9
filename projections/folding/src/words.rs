//! The search index of a list: every word of a record's texts, in one form for all its spellings ([`caseless`]), which can be searched by
//! prefix.
//!
//! The words are in a table (tenant, word, id) with `COLLATE "C"`, so that a prefix is a range of the primary key, which Postgres can use
//! under row level security (see the crate's documentation). A directory that has to answer fast even for common words also stores each
//! record's [`ListPosition`] and [`Marks`] beside them.
//!
//! If you change what the words of a text are, raise the versions of the projections that store them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use kernel::{Event, RecordedEvent, TenantId, caseless, composed};
use projector::ApplyError;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::change::{Change, decode};
use crate::fold::{self, Current, Erasable, Folded, fold};
use crate::history::{History, Kept};
use crate::marks::Marks;
use crate::table::Key;
use crate::{list, table};

/// Words are cut to this many characters, to keep the key small.
const MAX_WORD_CHARS: usize = 40;
/// The most words of a search text that are used.
const MAX_TERMS: usize = 8;

/// The words of texts.
pub fn words<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for text in texts {
        // Composed first: a combining mark by itself is not alphanumeric and would split the word.
        let text = composed(text);
        let parts = text.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
        found.extend(parts.map(|part| caseless(part).chars().take(MAX_WORD_CHARS).collect::<String>()));
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
    position: Arc<ListPosition>,
    id: Uuid,
    marks: Marks,
}

/// A record's values of the columns by which its lists are ordered. They are stored with each of its words, so that the records with a word
/// can be read in a list's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListPosition {
    /// Whether the record is listed by default.
    pub present: bool,
    /// The name, for lists that are ordered by it.
    pub name: String,
    /// When the record was registered. It never changes.
    pub registered_at: DateTime<Utc>,
}

impl WordChanges {
    /// The changes for the records that a batch affected. Most events change no text: a record with the same entries as before is left
    /// out, before its words are computed.
    pub fn of<R: Searchable>(folded: &Folded<R>) -> Self {
        let rows_before: HashMap<Key, &R> = folded.before.iter().map(|row| (row.key(), row)).collect();
        let rows = folded.after.iter().map(|after| (rows_before.get(&after.key()).copied(), after));
        let (before, after): (Vec<_>, Vec<_>) =
            rows.filter(|(before, after)| before.is_none_or(|before| !has_same_entries::<R>(before, after))).unzip();
        Self {
            gone: before.into_iter().flatten().flat_map(entries).collect(),
            new: after.into_iter().flat_map(entries).collect(),
        }
    }

    /// Writes the changes to the table of words: deletes words that are gone and inserts new ones.
    pub async fn write<R: Searchable>(&self, tables: &mut PgConnection) -> Result<(), sqlx::Error> {
        let (table, id) = R::WORDS;
        let (columns, arrays, same) = if R::HAS_LIST_POSITION {
            (", present, name, registered_at, marks_1, marks_2", &ARRAYS[..], SAME_POSITION)
        } else {
            ("", &ARRAYS[..ARRAYS_OF_KEY], "")
        };
        let delete = format!(
            "DELETE FROM {table} t USING (\
                 SELECT f.place FROM UNNEST({list}) AS k (tenant_id, word, id{columns}) \
                 CROSS JOIN LATERAL (SELECT o.ctid AS place FROM {table} o \
                                     WHERE o.tenant_id = k.tenant_id AND o.word = k.word{same} AND o.{id} = k.id \
                                     OFFSET 0) f) w \
             WHERE t.ctid = w.place",
            list = arrays.join(", "),
        );
        // In the select list, where Postgres expands the arrays row by row, as in `table`: an eighth cheaper.
        let insert = format!(
            "INSERT INTO {table} (tenant_id, word, {id}{columns}) SELECT UNNEST({list})",
            list = arrays.join("), UNNEST("),
        );
        execute(&delete, self.gone.difference(&self.new), R::HAS_LIST_POSITION, tables).await?;
        execute(&insert, self.new.difference(&self.gone), R::HAS_LIST_POSITION, tables).await
    }
}

/// The arrays of an entry's columns, in the order in which they are bound.
const ARRAYS: [&str; 8] = [
    "$1::uuid[]",
    "$2::text[]",
    "$3::uuid[]",
    "$4::boolean[]",
    "$5::text[]",
    "$6::timestamptz[]",
    "$7::bigint[]",
    "$8::bigint[]",
];
/// The number of the arrays of an entry without a list position.
const ARRAYS_OF_KEY: usize = 3;

/// The further key columns of an entry with a list position, in the order of the key.
const SAME_POSITION: &str = " AND o.present = k.present AND o.name = k.name";

fn entries<R: Searchable>(row: &R) -> Vec<Entry> {
    let ((tenant, id), position) = (row.key(), Arc::new(row.list_position()));
    let mut found = words(row.texts());
    found.extend(row.further_words());
    let marks = if R::HAS_LIST_POSITION { Marks::of(found.iter().map(String::as_str)) } else { Marks::default() };
    let entry = |word| Entry { tenant, word, position: Arc::clone(&position), id, marks };
    found.into_iter().map(entry).collect()
}

/// Whether two states of a record have the same entries. If the texts differ, it is not examined whether their words do.
fn has_same_entries<R: Searchable>(before: &R, after: &R) -> bool {
    before.texts().eq(after.texts())
        && before.further_words() == after.further_words()
        && before.list_position() == after.list_position()
}

async fn execute<'a>(
    sql: &str,
    entries: impl Iterator<Item = &'a Entry>,
    has_position: bool,
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
    if has_position {
        let present: Vec<_> = entries.iter().map(|entry| entry.position.present).collect();
        let names: Vec<_> = entries.iter().map(|entry| entry.position.name.as_str()).collect();
        let times: Vec<_> = entries.iter().map(|entry| entry.position.registered_at).collect();
        let marks = entries.iter().map(|entry| (entry.marks.first, entry.marks.second));
        let (first, second): (Vec<_>, Vec<_>) = marks.unzip();
        query = query.bind(present).bind(names).bind(times).bind(first).bind(second);
    }
    query.execute(tables).await?;
    Ok(())
}

/// A record of a list that can be searched by words.
pub trait Searchable: Current {
    /// The name of the table of words, and of its column with the record's id. The key of the table is (`tenant_id`, `word`, id).
    const WORDS: (&'static str, &'static str);

    /// Whether that table also has the columns of a [`ListPosition`] and of [`Marks`]. Then `present` and `name` are in its key between word
    /// and id, and all words of a record are written again when its texts change.
    const HAS_LIST_POSITION: bool = false;

    /// The texts by whose words the record can be found.
    fn texts(&self) -> impl Iterator<Item = &str>;

    /// Further index words, such as `:role:member`. They begin with a colon, so that they differ from all words of texts.
    fn further_words(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }

    /// The list position, if [`HAS_LIST_POSITION`](Self::HAS_LIST_POSITION).
    fn list_position(&self) -> ListPosition {
        ListPosition::default()
    }
}

/// Applies a batch of events to the records of a list and their words.
pub async fn apply<R: Searchable>(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError>
where
    R::Event: Event,
{
    let changes = decode::<R::Event>(events)?;
    apply_each::<R>(&changes, tables, |_, _| Ok(())).await
}

/// As [`apply`], and keeps each version of the records.
pub async fn apply_and_keep<R: Searchable + Kept>(
    events: &[&RecordedEvent],
    tables: &mut PgConnection,
) -> Result<(), ApplyError>
where
    R::Event: Event,
{
    let changes = decode::<R::Event>(events)?;
    let mut history = History::with_capacity(changes.len());
    apply_each::<R>(&changes, tables, |change, row| {
        history.add(change, row.kept(change)?);
        Ok(())
    })
    .await?;
    Ok(history.write(tables).await?)
}

async fn apply_each<R: Searchable>(
    changes: &[Change<'_, R::Event>],
    tables: &mut PgConnection,
    each: impl FnMut(&Change<'_, R::Event>, &R) -> Result<(), ApplyError> + Send,
) -> Result<(), ApplyError> {
    let folded = fold::<R>(changes, tables, each).await?;
    table::upsert(&folded.after, tables).await?;
    Ok(WordChanges::of(&folded).write::<R>(tables).await?)
}

/// Removes the personal data from the record that an event erases, and the words that come from it.
///
/// # Errors
/// Errors of the database.
pub async fn forget<R: Searchable + Erasable>(
    event: &RecordedEvent,
    tables: &mut PgConnection,
) -> Result<(), ApplyError> {
    let folded = fold::forgotten::<R>(event, tables).await?;
    Ok(WordChanges::of(&folded).write::<R>(tables).await?)
}

/// A search term: a condition on a word of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// The word begins with this prefix.
    Begins(String),
    /// The word is exactly this one.
    Is(String),
}

/// The terms of a search text: each of its words has to be a prefix of a word of the record.
pub fn terms(search: &str) -> Vec<Term> {
    words([search]).into_iter().take(MAX_TERMS).map(Term::Begins).collect()
}

impl Term {
    /// Adds the query of the ids of all records that match, by the key of the table of words.
    pub fn ids<R: Searchable>(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: Uuid) {
        let (table, id) = R::WORDS;
        query
            .push(format_args!("SELECT w.{id} FROM {table} w WHERE w.tenant_id = (SELECT "))
            .push_bind(tenant)
            .push(")");
        self.range(query, "w");
    }

    /// Adds the condition that record `t` matches, looked up for each record. The table of words needs an index by record.
    pub fn of_each<R: Searchable>(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: Uuid) {
        let (table, id) = R::WORDS;
        query.push(format_args!(" AND EXISTS (SELECT 1 FROM {table} w WHERE w.tenant_id = ")).push_bind(tenant);
        query.push(format_args!(" AND w.{id} = t.{id}"));
        self.range(query, "w");
        // OFFSET 0 keeps the planner from reading all records with the word first.
        query.push(" OFFSET 0)");
    }

    /// Adds the condition that a row of the table of words, with the alias `words`, matches. It continues a condition on the key after the
    /// tenant.
    pub fn range(&self, query: &mut QueryBuilder<'_, Postgres>, words: &str) {
        match self {
            Self::Is(word) => query.push(format_args!(" AND {words}.word = ")).push_bind(word.clone()),
            Self::Begins(word) => {
                query.push(format_args!(" AND {words}.word >= ")).push_bind(word.clone());
                // The largest code point ends the range of all words with this prefix.
                query.push(format_args!(" AND {words}.word < ")).push_bind(format!("{word}\u{10FFFF}"))
            }
        };
    }
}

/// Adds `WHERE t.tenant_id = …`, and the condition that a record matches all terms.
///
/// With terms, the tenant is in a sub-select, so that the planner does not see its value. Otherwise it would assume that a tenant newer
/// than the statistics has no rows, and compare each record with each word.
pub fn of_tenant_having<R: Searchable>(query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId, terms: &[Term]) {
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

/// Adds `WHERE t.tenant_id = …`, and the condition that each word of `search` is a prefix of a word of the record.
pub fn of_tenant_matching<R: Searchable>(
    query: &mut QueryBuilder<'_, Postgres>,
    tenant: TenantId,
    search: Option<&str>,
) {
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
    fn a_beginning_in_capitals_begins_the_word() {
        for (name, typed) in
            [("Κωνσταντίνος", "ΚΩΝΣ"), ("Großmann", "GROSSM"), ("İbrahim", "ibr"), ("Işıl", "IŞ"), ("Ζήσης", "ΖΉΣΗΣ")]
        {
            let (beginning, found) = (words([typed]).pop_first().unwrap(), words([name]));
            assert!(found.iter().any(|word| word.starts_with(&beginning)), "{beginning}: {found:?}");
        }
    }

    #[test]
    fn a_word_longer_than_the_key_is_cut() {
        assert_eq!(words([&*"x".repeat(100)]).first().map(String::len), Some(MAX_WORD_CHARS));
    }
}
