//! Tables for people. On a terminal, a table fits its width. Elsewhere, as in a pipe, each row is one line, however long.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::ops::RangeFrom;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ColumnConstraint, Width};

use super::escaped;

/// Words up to this length are not broken: ids and hashes are copied from here.
const WHOLE: usize = 64;

/// The least room for longer words, which may be broken: JSON, URLs.
const BROKEN: usize = 24;

/// What stands before a paragraph's lines after the first.
const INDENT: &str = "  ";

/// A table, whose `Display` is for standard output.
pub struct Table {
    columns: Vec<Column>,
}

struct Column {
    name: &'static str,
    alignment: CellAlignment,
    cells: Vec<String>,
}

impl Table {
    /// A table without rows.
    pub fn new(names: impl IntoIterator<Item = &'static str>) -> Self {
        let column = |name| Column { name, alignment: CellAlignment::Left, cells: Vec::new() };
        Self { columns: names.into_iter().map(column).collect() }
    }

    /// Adds a row. Control characters in it are escaped, except for line breaks.
    pub fn add_row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let mut cells = cells.into_iter();
        for column in &mut self.columns {
            let cell: String = cells.next().map_or_else(String::new, Into::into);
            column.cells.push(escaped(&cell).replace('\t', " "));
        }
    }

    /// Aligns these columns to the right, for numbers.
    pub fn align_right(&mut self, columns: RangeFrom<usize>) {
        for column in self.columns.iter_mut().skip(columns.start) {
            column.alignment = CellAlignment::Right;
        }
    }

    /// The table for a terminal of this width; as wide as it is if none is given. If it does not fit, columns in which nothing stands are left
    /// out, and texts are wrapped between words. If not even the words fit side by side, each row becomes a paragraph. Nothing is cut.
    fn fitted(&self, width: Option<usize>) -> String {
        let all: Vec<_> = self.columns.iter().collect();
        let whole = drawn(&all, None);
        let Some(width) = width else { return whole };
        // All characters of its upper border are one column wide.
        if whole.lines().next().is_some_and(|border| length(border) <= width) {
            return whole;
        }
        let filled: Vec<_> = all.into_iter().filter(|column| column.is_filled()).collect();
        if filled.is_empty() {
            return "(none)".to_owned();
        }
        match widths(&filled, width) {
            Some(widths) => drawn(&filled, Some(&widths)),
            None => paragraphs(&filled, width),
        }
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fitted(terminal_width()))
    }
}

impl Column {
    fn cell(&self, row: usize) -> &str {
        self.cells.get(row).map_or("", String::as_str)
    }

    fn is_filled(&self) -> bool {
        self.cells.iter().any(|cell| !cell.is_empty())
    }

    /// The largest size of its name and its cells.
    fn largest(&self, size: impl Fn(&str) -> usize) -> usize {
        self.cells.iter().map(|cell| size(cell)).fold(size(self.name), usize::max)
    }
}

/// The width of the terminal that standard output is, if it is one and knows its width.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// Number of rows.
fn rows(columns: &[&Column]) -> usize {
    columns.first().map_or(0, |column| column.cells.len())
}

/// The columns as a table, with these widths of their contents; as wide as the contents are if none are given.
fn drawn(columns: &[&Column], widths: Option<&[usize]>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(columns.iter().map(|column| column.name).collect::<Vec<_>>());
    for row in 0..rows(columns) {
        table.add_row(columns.iter().map(|column| column.cell(row)).collect::<Vec<_>>());
    }
    for (drawn, column) in table.column_iter_mut().zip(columns) {
        drawn.set_cell_alignment(column.alignment);
    }
    if let Some(widths) = widths {
        // A blank stands on each side of the content.
        let fixed = widths.iter().map(|width| Width::Fixed(u16::try_from(width + 2).unwrap_or(u16::MAX)));
        table.set_constraints(fixed.map(ColumnConstraint::Absolute));
    }
    table.to_string()
}

/// Widths of the columns' contents with which the table has at most this width and no word is broken that must not be; none if there are none.
fn widths(columns: &[&Column], width: usize) -> Option<Vec<usize>> {
    let mut widths: Vec<_> = columns.iter().map(|column| column.largest(longest_word)).collect();
    let wanted: Vec<_> = columns.iter().map(|column| column.largest(longest_line)).collect();
    // Each column has a blank on each side and a border; one more border begins the line.
    let room = width.checked_sub(3 * columns.len() + 1)?;
    let mut spare = room.checked_sub(widths.iter().sum::<usize>())?;
    while spare > 0 {
        // The column whose texts would be broken into the most lines gets more room first.
        let short = widths.iter_mut().zip(&wanted).filter(|(width, wanted)| **width < **wanted);
        let Some((width, _)) = short.max_by_key(|(width, wanted)| **wanted * 100 / **width) else { break };
        *width += 1;
        spare -= 1;
    }
    Some(widths)
}

/// Each row as a paragraph of its fields, without the empty ones.
fn paragraphs(columns: &[&Column], width: usize) -> String {
    let mut lines = Vec::new();
    for row in 0..rows(columns) {
        let mut line = String::new();
        for column in columns {
            let words: Vec<_> = column.cell(row).split_whitespace().collect();
            if words.is_empty() {
                continue;
            }
            let field = match column.name {
                "" => words.join(" "),
                name => format!("{name}: {}", words.join(" ")),
            };
            let fits = INDENT.len() + length(&field) <= width;
            let parts: Vec<_> = if fits { vec![field.as_str()] } else { field.split(' ').collect() };
            let mut gap = INDENT;
            for part in parts {
                if !line.is_empty() && length(&line) + gap.len() + length(part) > width {
                    lines.push(std::mem::replace(&mut line, INDENT.to_owned()));
                } else if !line.is_empty() {
                    line.push_str(gap);
                }
                line.push_str(part);
                gap = " ";
            }
        }
        lines.push(line);
    }
    lines.join("\n")
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn longest_line(text: &str) -> usize {
    text.lines().map(length).max().unwrap_or_default()
}

/// The room that the longest word needs; at least one, because each column has a width.
fn longest_word(text: &str) -> usize {
    let room = |word| Some(length(word)).filter(|length| *length <= WHOLE).unwrap_or(BROKEN);
    text.split_whitespace().map(room).max().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0192f0c4-0000-7000-8000-000000000001";
    const OTHER: &str = "01a5b6c7-0000-7000-8000-000000000002";
    const AT: &str = "2026-07-01T06:00:00Z";

    fn table<const N: usize>(names: [&'static str; N], row: [&str; N]) -> Table {
        let mut table = Table::new(names);
        table.add_row(row);
        table
    }

    fn widest(text: &str) -> usize {
        text.lines().map(length).max().unwrap()
    }

    #[test]
    fn a_table_that_fits_and_one_for_a_pipe_have_a_line_for_each_row() {
        let mut small = Table::new(["service", "events"]);
        small.add_row(["crm", "7"]);
        small.add_row(["user", "12345678"]);
        small.align_right(1..);
        let drawn = "\
┌─────────┬──────────┐
│ service ┆   events │
╞═════════╪══════════╡
│ crm     ┆        7 │
│ user    ┆ 12345678 │
└─────────┴──────────┘";
        assert_eq!(small.fitted(Some(80)), drawn);
        assert_eq!(small.fitted(Some(22)), drawn);
        assert_eq!(small.fitted(None), drawn);

        let wide = table(["id", "reason", "note"], [ID, &"because ".repeat(40), ""]).fitted(None);
        assert_eq!(wide.lines().count(), 5, "{wide}");
        assert!(wide.contains(&"because ".repeat(40)) && wide.contains("note"), "{wide}");
    }

    #[test]
    fn texts_are_wrapped_between_words_and_empty_columns_left_out() {
        let text = "the pipeline of this deal does not exist in the tables yet";
        let wrapped =
            table(["id", "moving to", "reason", "state", "lag"], [ID, "", text, "parked", "1234567"]).fitted(Some(80));
        assert_eq!(widest(&wrapped), 80, "{wrapped}");
        assert!(wrapped.contains(ID) && wrapped.contains("1234567") && !wrapped.contains("moving"), "{wrapped}");
        for word in text.split(' ') {
            assert!(wrapped.split_whitespace().any(|shown| shown == word), "{word}: {wrapped}");
        }
        let stored = "x".repeat(300);
        let broken = table(["field", "value"], ["details.note", &stored]).fitted(Some(80));
        assert_eq!(widest(&broken), 80, "{broken}");
    }

    #[test]
    fn a_row_whose_words_do_not_fit_side_by_side_is_a_paragraph() {
        let sagas = ["service", "id", "saga", "about", "state", "step", "attempt", "continues at", "reason"];
        let saga = ["crm", ID, "follow_up_lead v1", OTHER, "running", "undo remind", "0", AT, ""];
        let mut sagas = table(sagas, saga);
        sagas.add_row(["user", OTHER, "delete_tenant v2", ID, "stuck", "", "9", "", "projection_stopped"]);
        assert_eq!(
            sagas.fitted(Some(80)),
            format!(
                "\
service: crm  id: {ID}  saga: follow_up_lead v1
  about: {OTHER}  state: running  step: undo remind
  attempt: 0  continues at: {AT}
service: user  id: {OTHER}  saga: delete_tenant v2
  about: {ID}  state: stuck  attempt: 9
  reason: projection_stopped"
            )
        );
        let long = table(["id", "by", "reason"], [ID, OTHER, &"no such column\n".repeat(9)]).fitted(Some(60));
        assert!(widest(&long) <= 60 && long.lines().count() > 3, "{long}");
        assert!(long.starts_with(&format!("id: {ID}\n  by: {OTHER}  reason: no such\n  column no such")), "{long}");
    }

    #[test]
    fn on_eighty_columns_no_list_is_wider_and_no_id_is_broken() {
        let root = "5e884898da28047151d0e56f8dc6292773603d0d6aabbd62a11ef721d1542d8f";
        let lists = [
            table(
                ["service", "id", "kind", "queue", "state", "attempt", "done", "due at", "requester", "reason"],
                ["crm", ID, "export_leads", "exports", "completed", "1/5", "100/200", AT, OTHER, ""],
            )
            .fitted(Some(80)),
            table(
                ["service", "id", "event", "aggregate", "state", "attempts", "waiting", "next retry at", "reason"],
                ["crm", ID, "crm.opportunity.stage_changed", OTHER, "parked", "3", "12", AT, "no such pipeline"],
            )
            .fitted(Some(80)),
            table(
                ["tenant", "name", "status", "cell", "moving to", "id", "created at"],
                ["analytical", "Analytical Engines Inc.", "active", "east", "", ID, AT],
            )
            .fitted(Some(80)),
            table(
                ["id", "service", "url", "types", "state", "position", "lag", "delivered"],
                [ID, "crm", "https://hooks.example.com/inopsio/of/analytical", "crm.*", "failing", "7", "1234567", "0"],
            )
            .fitted(Some(80)),
            table(["tenant", "id", "service", "events", "root"], ["acme", ID, "crm", "7", root]).fitted(Some(80)),
        ];
        for list in lists {
            assert!(widest(&list) <= 80, "{list}");
            assert!(list.contains(ID), "{list}");
            assert!([OTHER, root].iter().all(|word| !list.contains(&word[..8]) || list.contains(word)), "{list}");
        }
        let names = ["service", "id", "kind", "queue", "state", "attempt", "done", "due at", "requester", "reason"];
        assert_eq!(Table::new(names).fitted(Some(80)), "(none)");
        assert!(Table::new(["id", "state"]).fitted(Some(80)).contains("state"));
    }

    #[test]
    fn what_somebody_wrote_does_not_act_on_the_terminal() {
        let shown = table(["name"], ["a\u{1b}[2Jb\tc"]).fitted(None);
        assert!(shown.contains("a\\u{1b}[2Jb c"), "{shown}");
    }
}
