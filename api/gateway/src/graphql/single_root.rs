//! A subscription has one root field (GraphQL specification, "Single root field"). Juniper does not check that: it starts the events of each
//! field, of which a client would get those of the first one only, and would take the silence of the others for "nothing happened". Nor may
//! the field be `__typename`, which has no events: Juniper refuses it only outside of fragments, and panics within one.

use std::collections::HashMap;

use juniper::{DefaultScalarValue as Scalar, Definition, OperationType, Selection};
use kernel::Refusal;

/// The fragments of a document, by name.
type Fragments<'d, 'q> = HashMap<&'q str, &'d [Selection<'q, Scalar>]>;

/// The most fragments within one another that are followed. A fragment that spreads itself is refused by the engine, with a better error.
const NESTING: usize = 64;

/// Refuses a document with a subscription that has more than one root field, or one without events. Two fields of the same name count as two:
/// their selections would have to be merged, which Juniper does not do with events. So do fields of which `@skip` leaves one. Call it after
/// the [limits](super::limits), which bound its work.
pub(super) fn check(document: &[Definition<'_, Scalar>]) -> Result<(), Refusal> {
    let mut fragments = Fragments::new();
    for definition in document {
        if let Definition::Fragment(fragment) = definition {
            fragments.insert(fragment.item.name.item, &fragment.item.selection_set);
        }
    }
    for definition in document {
        let Definition::Operation(operation) = definition else { continue };
        if operation.item.operation_type != OperationType::Subscription {
            continue;
        }
        let mut found = Roots::default();
        found.add(&operation.item.selection_set, &fragments, 0);
        let Roots { fields, events } = found;
        if fields > 1 {
            let detail = format!(
                "the subscription has {fields} root fields; allowed is one, so subscribe once for each of them, and select all of one in \
                 one place"
            );
            return Err(Refusal::invalid("query_invalid", detail));
        }
        if fields > events {
            let detail =
                "the root field of a subscription can't be __typename, which has no events; ask for it within a field";
            return Err(Refusal::invalid("query_invalid", detail));
        }
    }
    Ok(())
}

/// How many root fields a subscription has, and how many of them have events.
#[derive(Clone, Copy, Default)]
struct Roots {
    fields: usize,
    events: usize,
}

impl Roots {
    /// Adds the fields of a selection, those of its fragments included.
    fn add<'q>(&mut self, selections: &[Selection<'q, Scalar>], fragments: &Fragments<'_, 'q>, nesting: usize) {
        if nesting > NESTING {
            return;
        }
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    self.fields += 1;
                    self.events += usize::from(!field.item.name.item.starts_with("__"));
                }
                Selection::InlineFragment(inline) => self.add(&inline.item.selection_set, fragments, nesting + 1),
                Selection::FragmentSpread(spread) => {
                    let below = fragments.get(spread.item.name.item).copied().unwrap_or_default();
                    self.add(below, fragments, nesting + 1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(query: &str) -> Option<Refusal> {
        let schema = super::super::schema();
        let document = juniper::parser::parse_document_source(query, &schema.schema).unwrap();
        let refusal = check(&document).err()?;
        assert_eq!(refusal.code(), "query_invalid");
        Some(refusal)
    }

    /// The number of root fields in the refusal of this document.
    fn refused(query: &str) -> Option<String> {
        refusal(query)?.detail().split(' ').nth(3).map(str::to_owned)
    }

    #[test]
    fn a_subscription_has_one_root_field_and_a_query_has_many() {
        for allowed in [
            "{ crm { pipelines { id } } user { me { id } } }",
            "subscription { crm { leadChanged { change } } }",
            "subscription { crm { a: leadChanged { change } b: leadChanged { version } } }",
            "subscription { ...A } fragment A on Subscription { crm { leadChanged { change } } }",
            "subscription { ...A } fragment A on Subscription { ...A }",
        ] {
            assert_eq!(refused(allowed), None, "{allowed}");
        }
        for query in [
            "subscription { crm { leadChanged { change } } user { userChanged { change } } }",
            "subscription { a: crm { leadChanged { change } } b: crm { leadChanged { version } } }",
            "subscription { crm { leadChanged { change } } crm { leadChanged { version } } }",
            "subscription { ...A ... on Subscription { user { userChanged { change } } } } \
             fragment A on Subscription { crm { leadChanged { change } } }",
            "{ crm { pipelines { id } } } subscription { crm { leadChanged { change } } user { userChanged { change } } }",
        ] {
            assert_eq!(refused(query).as_deref(), Some("2"), "{query}");
        }
    }

    #[test]
    fn attack_187_a_subscription_to_what_has_no_events_is_refused_before_juniper_panics() {
        for query in [
            "subscription { __typename }",
            "subscription { a: __typename }",
            "subscription { ... on Subscription { __typename } }",
            "subscription { ...A } fragment A on Subscription { __typename }",
            "subscription { ...A } fragment A on Subscription { ... { ...B } } fragment B on Subscription { __typename }",
            "query Q { crm { pipelines { id } } } subscription S { ...A } fragment A on Subscription { __typename }",
        ] {
            let refused = refusal(query).unwrap_or_else(|| panic!("{query} passes"));
            assert!(refused.detail().contains("can't be __typename"), "{query}: {refused}");
        }
        let many = "subscription { ...A } fragment A on Subscription { __typename crm { leadChanged { change } } }";
        assert_eq!(refused(many).as_deref(), Some("2"));
        for allowed in ["{ __typename }", "subscription { crm { __typename leadChanged { __typename } } }"] {
            assert_eq!(refused(allowed), None, "{allowed}");
        }
    }
}
