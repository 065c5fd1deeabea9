//! What a domain has to say of personal data, compared with the schemas of its events: nothing of it is stored in clear text because
//! somebody forgot a line.

use kernel::personal::erases;
use serde_json::{Value, json};

/// Whether a schema contains the sealed form of a value, which only [`kernel::Personal`] has.
fn has_personal_data(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            members.get("required") == Some(&json!(["sealed"])) || members.values().any(has_personal_data)
        }
        Value::Array(all) => all.iter().any(has_personal_data),
        _ => false,
    }
}

#[test]
fn an_aggregate_seals_the_personal_data_in_its_events() {
    let mut sealed = 0;
    for aggregate in gateway::domains().into_iter().flat_map(|domain| domain.aggregates) {
        let of_people: Vec<_> = (aggregate.event_types)()
            .into_iter()
            .filter(|event| has_personal_data(event.schema.as_value()))
            .map(|event| event.name)
            .collect();
        assert!(
            aggregate.sealed || of_people.is_empty(),
            "{}: {of_people:?} would be stored in clear text: set SEALED (kernel::Aggregate)",
            aggregate.name
        );
        assert!(
            !aggregate.sealed || !of_people.is_empty(),
            "{} is SEALED, and no event of it has personal data (kernel::Personal)",
            aggregate.name
        );
        sealed += usize::from(aggregate.sealed);
    }
    assert!(sealed >= 9, "the schemas were not read: {sealed}");
}

#[test]
fn a_read_model_of_whoever_can_be_erased_forgets_them() {
    let mut forgetting = 0;
    for domain in gateway::domains() {
        let erasures: Vec<_> = (domain.event_types)().into_iter().filter(|event| erases(event.name)).collect();
        for projection in &domain.projections {
            let wanted: Vec<_> =
                erasures.iter().map(|event| event.name).filter(|name| projection.wants(name)).collect();
            assert!(
                projection.forgets() || wanted.is_empty(),
                "{} shows aggregates that are erased by {wanted:?}, and keeps their personal data while such an event is parked: say \
                 `forgets by` in its `projection!`",
                projection.name()
            );
            forgetting += usize::from(projection.forgets());
        }
    }
    assert!(forgetting >= 7, "the projections were not read: {forgetting}");
}
