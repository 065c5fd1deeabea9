//! Checks that a stored event can be decoded and that it matches its JSON Schema.

use std::collections::HashMap;

use anyhow::{Result, anyhow};
use jsonschema::Validator;
use kernel::{AggregateType, RecordedEvent};

/// The decoders and schemas of all event types and versions.
pub struct Checker {
    aggregates: HashMap<&'static str, Aggregate>,
}

struct Aggregate {
    decode: fn(&str, u32, &[u8]) -> Result<usize, kernel::DecodeError>,
    forms: HashMap<&'static str, Vec<(u32, Validator)>>,
}

impl Checker {
    /// A checker for the events of these aggregates.
    pub fn new(aggregates: &[AggregateType]) -> Result<Self> {
        let mut all = HashMap::new();
        for aggregate in aggregates {
            let mut forms: HashMap<_, Vec<_>> = HashMap::new();
            for event in (aggregate.event_types)() {
                let validator = jsonschema::validator_for(event.schema.as_value())
                    .map_err(|error| anyhow!("the schema of {} version {}: {error}", event.name, event.version))?;
                forms.entry(event.name).or_default().push((event.version, validator));
            }
            all.insert(aggregate.name, Aggregate { decode: aggregate.decode, forms });
        }
        Ok(Self { aggregates: all })
    }

    /// Checks a stored event. The error describes the problem.
    pub fn check(&self, event: &RecordedEvent) -> Result<(), String> {
        let aggregate = self.aggregates.get(event.aggregate_type.as_str());
        let aggregate = aggregate.ok_or_else(|| format!("there is no aggregate {}", event.aggregate_type))?;
        (aggregate.decode)(&event.event_type, event.event_version, &event.payload)
            .map_err(|error| error.to_string())?;
        let validator = aggregate
            .forms
            .get(event.event_type.as_str())
            .and_then(|versions| versions.iter().find(|(version, _)| *version == event.event_version))
            .map(|(_, validator)| validator)
            .ok_or_else(|| "it is in no catalogue".to_owned())?;
        let payload = serde_json::from_slice(&event.payload).map_err(|error| error.to_string())?;
        validator.validate(&payload).map_err(|error| {
            // Name the place and the rule but not the value, which may be personal data.
            format!("{}: it does not fit the schema at {}", error.instance_path(), error.schema_path())
        })?;
        event.decode_metadata().map(drop).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    mod lamps {
        use kernel::{Aggregate, Refusal};

        kernel::events! {
            /// What can happen to a lamp.
            pub enum LampEvent of "demo.lamp" {
                /// It was switched on.
                LampLit = "demo.lamp.lit" @ 2 { pub brightness: u8 },
                /// It was turned to another colour.
                LampColoured = "demo.lamp.coloured" @ 1 { pub colour: String },
            }
            retired {
                /// Lit in a colour.
                LampLitV1 = "demo.lamp.lit" @ 1 { pub colour: String } => |old| match old.colour.as_str() {
                    "octarine" => vec![],
                    _ => vec![LampLit { brightness: 100 }.into(), LampColoured { colour: old.colour }.into()],
                },
            }
        }

        #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
        pub struct Lamp {}

        impl Aggregate for Lamp {
            const TYPE: &'static str = "demo.lamp";
            type Command = ();
            type Event = LampEvent;
            type Error = std::convert::Infallible;

            fn decide(&self, (): ()) -> Result<Vec<LampEvent>, Self::Error> {
                Ok(vec![])
            }

            fn evolve(&mut self, _: LampEvent) {}
        }

        // `Infallible` becomes a refusal in kernel.
        const _: fn(std::convert::Infallible) -> Refusal = Refusal::from;
    }

    fn check(aggregate: &str, event_type: &str, version: u32, payload: &str) -> Result<(), String> {
        const METADATA: &str = r#"{"actor":"ada","command_id":"1","correlation_id":"00000000-0000-0000-0000-000000000001",
            "causation_id":"00000000-0000-0000-0000-000000000001","occurred_at":"2026-01-01T00:00:00Z"}"#;
        let event = RecordedEvent {
            aggregate_type: aggregate.to_owned(),
            event_type: event_type.to_owned(),
            event_version: version,
            payload: payload.to_owned().into(),
            metadata: METADATA.into(),
            ..testbed::event(1)
        };
        Checker::new(&[AggregateType::of::<lamps::Lamp>()]).unwrap().check(&event)
    }

    #[test]
    fn current_and_retired_forms_are_read_through_their_upcasts() {
        assert_eq!(check("demo.lamp", "demo.lamp.lit", 2, r#"{"event":"demo.lamp.lit","brightness":7}"#), Ok(()));
        assert_eq!(check("demo.lamp", "demo.lamp.lit", 1, r#"{"event":"demo.lamp.lit","colour":"red"}"#), Ok(()));
    }

    #[test]
    fn whatever_can_not_be_read_or_does_not_fit_is_said() {
        for (aggregate, event_type, version, payload, said) in [
            ("demo.lamp", "demo.lamp.lit", 3, "{}", "unknown event demo.lamp.lit version 3"),
            ("demo.lamp", "demo.lamp.lost", 1, "{}", "unknown event demo.lamp.lost"),
            ("demo.sofa", "demo.lamp.lit", 2, "{}", "there is no aggregate demo.sofa"),
            ("demo.lamp", "demo.lamp.lit", 2, r#"{"event":"demo.lamp.lit"}"#, "brightness"),
            ("demo.lamp", "demo.lamp.lit", 2, r#"{"event":"demo.lamp.lit","brightness":256}"#, "256"),
            ("demo.lamp", "demo.lamp.lit", 2, "{", "EOF"),
            // It can be decoded, but does not match the schema.
            ("demo.lamp", "demo.lamp.lit", 2, r#"{"event":"demo.lamp.dimmed","brightness":7}"#, "/event"),
            ("demo.lamp", "demo.lamp.lit", 2, r#"{"brightness":7}"#, "required"),
            ("demo.lamp", "demo.lamp.lit", 1, r#"{"event":"demo.lamp.lit","colour":"octarine"}"#, "gives no event"),
        ] {
            let error = check(aggregate, event_type, version, payload).unwrap_err();
            assert!(error.contains(said), "{payload}: {error}");
        }
    }
}
