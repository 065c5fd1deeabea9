//! Prints results: tables for people, JSON for programs.

mod table;

use std::io::{self, Write};

use anyhow::{Context, Result};
use chrono::{DateTime, SubsecRound as _, Utc};
use kernel::Service;
use serde::Serialize;
use serde_json::Value;

pub use table::Table;

/// The output format of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text and tables for people
    #[default]
    Text,
    /// JSON for programs
    Json,
}

/// A table with these columns.
pub fn table(columns: impl IntoIterator<Item = &'static str>) -> Table {
    Table::new(columns)
}

/// A time as it is shown to people: to the second. JSON has all of it.
pub fn time(at: DateTime<Utc>) -> String {
    kernel::write_time(at.trunc_subsecs(0))
}

/// The error of a command whose output can't be written (also [`Sink`](crate::sink::Sink)'s).
const UNWRITTEN: &str = "can't write to standard output";

/// Prints to standard output. A closed pipe is an error, not a panic.
pub fn print(text: impl std::fmt::Display) -> Result<()> {
    writeln!(io::stdout(), "{text}").context(UNWRITTEN)
}

/// Tells a person something on standard error, beside the results. If nobody reads that, it is left out: a message must not end a command,
/// as `eprintln!` does. Control characters are escaped: an error may quote a file that somebody else made.
pub fn tell(text: impl std::fmt::Display) {
    _ = writeln!(io::stderr(), "{}", escaped(&text.to_string()));
}

/// The text without control characters, except for line breaks and tabs: they would move a terminal's cursor, or erase what stands there.
fn escaped(text: &str) -> String {
    let is_escaped = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_escaped(c) { escaped.extend(c.escape_debug()) } else { escaped.push(c) }
    }
    escaped
}

/// Whether a command failed because whoever read its output has stopped, as `head` does. They need no message.
pub fn is_unread(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    error.to_string() == UNWRITTEN && cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints a value as one JSON document.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print(serde_json::to_string_pretty(value)?)
}

/// The items as JSON objects, each with its service's name as the field `service`.
pub fn of_services<T: Serialize>(found: &[(Service, T)]) -> Result<Vec<Value>> {
    let mut documents = Vec::with_capacity(found.len());
    for (service, one) in found {
        let mut document = serde_json::to_value(one)?;
        if let Some(members) = document.as_object_mut() {
            members.insert("service".to_owned(), service.name().into());
        }
        documents.push(document);
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_quotes_does_not_act_on_the_terminal() {
        assert_eq!(escaped("said:\n\tall is \u{1b}[2Kwell\r\u{9b}"), "said:\n\tall is \\u{1b}[2Kwell\\r\\u{9b}");
    }
}
