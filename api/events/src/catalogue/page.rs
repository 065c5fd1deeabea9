//! The catalogue as a page of the book.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kernel::EventType;
use serde_json::Value;

use super::{description, example};

/// The page, Markdown: a table of all types, then each with an example.
pub fn page(types: &[EventType]) -> String {
    let mut page = String::from(
        "<!-- Made by `make schemas` of the events' declarations. -->\n\n\
         | type | version | what happened |\n| --- | --: | --- |\n",
    );
    for event in types {
        let retired = if event.retired { " (retired: only read)" } else { "" };
        // Writing into a string cannot fail.
        let _ = writeln!(
            page,
            "| [`{}`](#{}) | {}{retired} | {} |",
            event.name,
            anchor(event),
            event.version,
            description(event).replace('\n', " "),
        );
    }
    let mut by_aggregate: BTreeMap<&str, Vec<&EventType>> = BTreeMap::new();
    for event in types {
        by_aggregate.entry(event.aggregate_type).or_default().push(event);
    }
    for (aggregate, events) in by_aggregate {
        let _ = writeln!(page, "\n## {aggregate}");
        for event in events {
            section(&mut page, event);
        }
    }
    page
}

fn section(page: &mut String, event: &EventType) {
    let schema = event.schema.as_value();
    let _ = writeln!(page, "\n### {} version {}\n\n{}\n", event.name, event.version, description(event));
    let _ = writeln!(page, "| member | must be there | meaning |\n| --- | :-: | --- |");
    let required: Vec<&str> = members(schema, "required");
    for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let meaning = match member.get("const") {
            Some(constant) => format!("`{constant}`"),
            None => meaning(schema, member).replace('\n', " "),
        };
        let must = if required.contains(&name.as_str()) { "✓" } else { "" };
        let _ = writeln!(page, "| `{name}` | {must} | {meaning} |");
    }
    let example = serde_json::to_string_pretty(&example(schema)).unwrap_or_default();
    let _ = writeln!(page, "\n```json\n{example}\n```");
}

/// What a member means: in its own words, else in those of its type.
fn meaning<'a>(document: &'a Value, member: &'a Value) -> &'a str {
    let said = |schema: &'a Value| schema.get("description").and_then(Value::as_str);
    let target = member.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
    said(member).or_else(|| target.and_then(|path| document.pointer(path)).and_then(said)).unwrap_or_default()
}

fn members<'a>(schema: &'a Value, keyword: &str) -> Vec<&'a str> {
    schema.get(keyword).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// As mdBook makes anchors of headings.
fn anchor(event: &EventType) -> String {
    format!("{} version {}", event.name, event.version).replace('.', "").replace(' ', "-")
}
