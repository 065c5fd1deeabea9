//! A history that an older program wrote: lanterns with events of retired versions, which are upcast to several current events.
//!
//! The stored events are in `fixtures/lanterns.ndjson`; [`Lantern`] is the current aggregate. Every reader of the history must get to
//! [`today`].

use eventstore::{Append, CommandRecord, EventStore, NewEvent, StreamAppend};
use kernel::{Aggregate, Clock, EventMetadata, IdSource, SystemClock, SystemIds, TenantId};
use serde::{Deserialize, Serialize};

kernel::events! {
    /// What can happen to a lantern.
    pub enum LanternEvent of "demo.lantern" {
        /// It was bought.
        Bought = "demo.lantern.bought" @ 2 { pub label: String },
        /// It was switched on.
        Lit = "demo.lantern.lit" @ 2 { pub brightness: u8 },
        /// It was turned to another colour.
        Coloured = "demo.lantern.coloured" @ 1 { pub colour: String },
        /// It was switched off.
        Dimmed = "demo.lantern.dimmed" @ 1 {},
    }
    retired {
        /// It was bought in a colour.
        BoughtV1 = "demo.lantern.bought" @ 1 { pub label: String, pub colour: String } => |old| vec![
            Bought { label: old.label }.into(),
            Coloured { colour: old.colour }.into(),
        ],
        /// It was lit in a colour, as bright as it could be.
        LitV1 = "demo.lantern.lit" @ 1 { pub colour: String } => |old| vec![
            Coloured { colour: old.colour }.into(),
            Lit { brightness: 100 }.into(),
        ],
    }
}

/// A lantern.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lantern {
    /// Its label.
    pub label: String,
    /// Its colour.
    pub colour: String,
    /// Per cent; 0 if it is off.
    pub brightness: u8,
    /// Number of current events, after upcasting.
    pub events: u32,
}

/// Commands of a lantern.
pub enum LanternCommand {
    /// Switches it off; does nothing if it is off.
    Dim,
}

impl Aggregate for Lantern {
    const TYPE: &'static str = "demo.lantern";
    type Command = LanternCommand;
    type Event = LanternEvent;
    type Error = std::convert::Infallible;

    fn decide(&self, command: LanternCommand) -> Result<Vec<LanternEvent>, Self::Error> {
        let LanternCommand::Dim = command;
        Ok(if self.brightness > 0 { vec![Dimmed {}.into()] } else { vec![] })
    }

    fn evolve(&mut self, event: LanternEvent) {
        self.events += 1;
        match event {
            LanternEvent::Bought(bought) => self.label = bought.label,
            LanternEvent::Lit(lit) => self.brightness = lit.brightness,
            LanternEvent::Coloured(coloured) => self.colour = coloured.colour,
            LanternEvent::Dimmed(_) => self.brightness = 0,
        }
    }
}

/// The current state of the lanterns in the fixture, with their ids and versions (numbers of stored events).
pub fn today() -> [(&'static str, Lantern, u64); 2] {
    let lantern = |label: &str, colour: &str, brightness, events| Lantern {
        label: label.to_owned(),
        colour: colour.to_owned(),
        brightness,
        events,
    };
    [
        ("00000000-0000-7000-8000-00000000000a", lantern("hall", "blue", 5, 7), 5),
        ("00000000-0000-7000-8000-00000000000b", lantern("desk", "white", 100, 6), 4),
    ]
}

#[derive(Deserialize)]
struct Line {
    id: String,
    r#type: String,
    version: u32,
    payload: Box<serde_json::value::RawValue>,
}

/// Appends the history to a log, each event in its own append, in order.
pub async fn append(store: &EventStore, tenant: TenantId) {
    const NAMES: [&str; 3] = ["demo.lantern.bought", "demo.lantern.lit", "demo.lantern.dimmed"];
    for line in include_str!("../fixtures/lanterns.ndjson").lines() {
        let line: Line = serde_json::from_str(line).expect("a line of the fixture");
        let occurred_at = SystemClock.now();
        let metadata = EventMetadata {
            actor: "ada".to_owned(),
            command_id: SystemIds.next().to_string(),
            correlation_id: SystemIds.next(),
            causation_id: SystemIds.next(),
            occurred_at,
            permissions: None,
            traceparent: None,
        };
        let event = NewEvent {
            event_id: SystemIds.next(),
            event_type: NAMES.into_iter().find(|name| *name == line.r#type).expect("a type of the fixture"),
            event_version: line.version,
            payload: line.payload.get().to_owned(),
            metadata: serde_json::to_string(&metadata).expect("metadata are JSON").into(),
            occurred_at,
        };
        let expected = store.load(tenant, Lantern::TYPE, &line.id, 0).await.expect("the log can be read").len() as u64;
        let stream =
            StreamAppend { aggregate_type: Lantern::TYPE, aggregate_id: line.id, expected, events: vec![event] };
        let command = CommandRecord { id: metadata.command_id, request_hash: [0; 32], answer: "{}".to_owned() };
        let append = Append { tenant, command, streams: vec![stream], claims: Vec::new() };
        store.append(append).await.expect("the log can be appended to");
    }
}
