//! What the demo tells: people as it comes, programs in one document at the end.

use std::fmt::Display;
use std::time::Duration;

use anyhow::Result;
use comfy_table::Table;
use serde_json::{Value, json};

use super::load::Part;
use super::show::{self, count, seconds};
use crate::output::{self, Format};

/// What was told, as far as it is told at the end.
pub struct Report {
    format: Format,
    loaded: Vec<Value>,
    answers: Vec<Value>,
}

impl Report {
    /// Nothing yet.
    pub const fn new(format: Format) -> Self {
        Self { format, loaded: Vec::new(), answers: Vec::new() }
    }

    /// How long each part of the load took.
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

    /// What was answered to a question with these variables, how long that took, and how people read it.
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

    /// What only people need to be told.
    pub fn note(&self, text: impl Display) -> Result<()> {
        if self.format == Format::Text { output::print(text) } else { Ok(()) }
    }

    /// All is told.
    pub fn end(self) -> Result<()> {
        match self.format {
            Format::Text => Ok(()),
            Format::Json => output::print_json(&json!({ "loaded": self.loaded, "answers": self.answers })),
        }
    }
}

fn table(parts: &[Part]) -> Table {
    let mut table = show::table(["loaded through REST", "records", "requests", "seconds", "requests/s"]);
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
    show::align_right(&mut table, 1..);
    table
}
