//! The contracts: what is offered to others, generated, checked in under `schemas/`, and reviewed as code.
//!
//! `openapi.json` and `schema.graphql` say what can be asked, `events/*.json` and `asyncapi.yaml` what is told. Stored events
//! are for ever, so their schemas may only change in ways that leave every stored one readable ([`incompatible`]).

mod asyncapi;
mod compatibility;
mod yaml;

pub use compatibility::incompatible;
use kernel::EventType;

use crate::{domains, graphql, reference};

/// All contracts: path below `schemas/`, and content. The same program gives the same bytes.
pub fn contracts() -> Vec<(String, String)> {
    let mut all = vec![
        ("openapi.json".to_owned(), pretty(&reference::openapi())),
        ("schema.graphql".to_owned(), graphql::schema().as_sdl()),
        ("asyncapi.yaml".to_owned(), yaml::write(&asyncapi::document())),
    ];
    all.extend(events().map(|event| (event_path(&event), pretty(event.schema.as_value()))));
    all.sort();
    all
}

/// Every event of every domain.
fn events() -> impl Iterator<Item = EventType> {
    domains::parts().into_iter().flat_map(|part| (part.catalog)())
}

/// Where an event's schema stands.
fn event_path(event: &EventType) -> String {
    format!("events/{}.v{}.json", event.name, event.version)
}

fn pretty(value: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
