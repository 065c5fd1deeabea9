//! The results: figures by dotted name, written as nested JSON to a file and shown as tables on standard output.

use std::path::Path;

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Map, Value};

/// All figures of a run.
#[derive(Clone, Debug, Default)]
pub struct Results(Map<String, Value>);

impl Results {
    /// Sets a figure, rounded to three decimals: `ratio.commands_64` becomes `{"ratio": {"commands_64": …}}`.
    pub fn number(&mut self, name: &str, value: f64) {
        self.set(name, Value::from((value * 1000.0).round() / 1000.0));
    }

    /// Sets any other value.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        let mut parts: Vec<&str> = name.split('.').collect();
        let last = parts.pop().unwrap_or_default();
        let mut object = &mut self.0;
        for part in parts {
            let entry = object.entry(part).or_insert_with(|| Value::Object(Map::new()));
            if !entry.is_object() {
                *entry = Value::Object(Map::new());
            }
            match entry {
                Value::Object(inner) => object = inner,
                _ => return,
            }
        }
        object.insert(last.to_owned(), value.into());
    }

    /// A figure that was set; none if it was not.
    pub fn get(&self, name: &str) -> Option<f64> {
        let mut parts = name.split('.');
        let first = self.0.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))?.as_f64()
    }

    /// Writes the results as JSON.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
        }
        let text = serde_json::to_string_pretty(&self.0)? + "\n";
        std::fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
    }
}

/// A table whose columns after the first are right-aligned.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A figure as text: no decimals from 100 on, one from 10 on, two below.
pub fn show(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => thousands(value.round()),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
    let mut shown = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_names_become_nested_objects() {
        let mut results = Results::default();
        results.number("ratio.commands_1", 1.23456);
        results.number("ratio.commands_64", 5.0);
        results.number("rebuild_s", 12.0);
        assert_eq!(
            serde_json::to_string(&results.0).unwrap(),
            r#"{"ratio":{"commands_1":1.235,"commands_64":5.0},"rebuild_s":12.0}"#
        );
        assert_eq!(results.get("ratio.commands_1"), Some(1.235));
        assert_eq!(results.get("ratio.commands_256"), None);
    }

    #[test]
    fn figures_are_shown_as_long_as_they_mean_something() {
        assert_eq!(show(1_234_567.8), "1,234,568");
        assert_eq!(show(999.4), "999");
        assert_eq!(show(12.34), "12.3");
        assert_eq!(show(0.456), "0.46");
    }
}
