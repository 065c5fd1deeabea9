//! Prints the demo's results: as text while it runs, or as one JSON document at the end.

use std::fmt::Display;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::load::Part;
use super::show::{count, seconds};
use crate::output::{self, Format, Table};

/// The results so far.
pub struct Report {
    format: Format,
    loaded: Vec<Value>,
    answers: Vec<Value>,
}

impl Report {
    /// An empty report.
    pub const fn new(format: Format) -> Self {
        Self { format, loaded: Vec::new(), answers: Vec::new() }
    }

    /// Reports the parts of the load with their durations.
    pub fn loaded(&mut self, parts: &[Part]) -> Result<()> {
        if self.format == Format::Text {
            return output::print(table(parts));
        }
        self.loaded.extend(parts.iter().map(|part| {
            json!({
                "part": part.name, "records": part.records, "requests": part.requests,
                "seconds": part.took.as_secs_f64(),
            })
        }));
        Ok(())
    }

    /// Reports an answer to a question with these variables, its duration, and its text for people.
    pub fn answer(
        &mut self,
        question: &str,
        variables: &Value,
        took: Duration,
        answer: Value,
        text: impl Display,
    ) -> Result<()> {
        if self.format == Format::Text {
            return output::print(text);
        }
        let took = took.as_secs_f64();
        self.answers.push(json!({ "question": question, "variables": variables, "seconds": took, "answer": answer }));
        Ok(())
    }

    /// Prints a note, in text format only.
    pub fn note(&self, text: impl Display) -> Result<()> {
        if self.format == Format::Text { output::print(text) } else { Ok(()) }
    }

    /// Ends the report: prints the JSON document.
    pub fn end(self) -> Result<()> {
        match self.format {
            Format::Text => Ok(()),
            Format::Json => output::print_json(&json!({ "loaded": self.loaded, "answers": self.answers })),
        }
    }
}

fn table(parts: &[Part]) -> Table {
    let mut table = output::table(["loaded through REST", "records", "requests", "seconds", "requests/s"]);
    let total = parts.iter().map(|part| part.took).sum::<Duration>();
    let requests = parts.iter().map(|part| part.requests).sum::<usize>();
    for part in parts {
        table.add_row([
            part.name.to_owned(),
            count(part.records),
            count(part.requests),
            seconds(part.took),
            count((part.requests as f64 / part.took.as_secs_f64()) as usize),
        ]);
    }
    table.add_row([
        "all".to_owned(),
        String::new(),
        count(requests),
        seconds(total),
        count((requests as f64 / total.as_secs_f64()) as usize),
    ]);
    table.align_right(1..);
    table
}
