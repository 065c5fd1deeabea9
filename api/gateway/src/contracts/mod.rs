//! The published contracts. They are generated, checked in under `schemas/`, and reviewed like code.
//!
//! `openapi.json` and `schema.graphql` describe requests, `events/*.json` and `asyncapi.yaml` describe events (`events.md` describes them
//! for people), and `permissions.md` lists the permissions. Stored events are kept for ever, so a schema may change only in ways that
//! leave every stored event decodable ([`unreadable`]).

mod asyncapi;
mod compatibility;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

pub use compatibility::incompatible;
use kernel::EventType;

use crate::{domains, graphql, reference};

/// All contracts: path below `schemas/`, and content. The output of a program is deterministic.
pub fn contracts() -> Vec<(String, String)> {
    let mut all = vec![
        ("openapi.json".to_owned(), pretty(&reference::openapi())),
        ("schema.graphql".to_owned(), graphql::schema().as_sdl()),
        ("asyncapi.yaml".to_owned(), yaml::write(&asyncapi::document())),
    ];
    let types: Vec<EventType> = events().collect();
    all.push(("events.md".to_owned(), events_api::catalogue::page(&types)));
    let made = "<!-- Made by `make schemas` of the services' permission tables. -->";
    all.push(("permissions.md".to_owned(), format!("{made}\n\n{}", reference::permissions())));
    all.extend(events().map(|event| (event_path(&event), pretty(event.schema.as_value()))));
    all.sort();
    all
}

/// Compares this program's events with a folder of checked-in contracts, and returns one line for each change by which stored events
/// could not be decoded any more. Empty: all are compatible. Events that are not in the folder are new.
///
/// # Errors
/// When a schema in the folder can't be read, or is not JSON.
pub fn unreadable(folder: &Path) -> io::Result<Vec<String>> {
    let current: BTreeMap<String, EventType> = events().map(|event| (event_path(&event), event)).collect();
    let entries = match fs::read_dir(folder.join("events")) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for file in entries {
        let path = format!("events/{}", file.file_name().to_string_lossy());
        let Some(event) = current.get(&path) else {
            found.push(format!("{path}: the event is gone, and stored ones can't be read any more"));
            continue;
        };
        let stored = serde_json::from_slice(&fs::read(file.path())?)?;
        found.extend(incompatible(&stored, event.schema.as_value()).into_iter().map(|line| format!("{path} {line}")));
    }
    found.sort();
    Ok(found)
}

/// Every event of every domain.
fn events() -> impl Iterator<Item = EventType> {
    domains::catalogue().into_iter()
}

/// The path of an event's schema below `schemas/`.
fn event_path(event: &EventType) -> String {
    format!("events/{}.v{}.json", event.name, event.version)
}

fn pretty(value: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
