//! A subscription has one root field (GraphQL specification, "Single root field"). Juniper does not check that: it starts the events of each
//! field, of which a client would get those of the first one only, and would take the silence of the others for "nothing happened".

use std::collections::HashMap;

use juniper::{DefaultScalarValue as Scalar, Definition, OperationType, Selection};
use kernel::Refusal;

/// The fragments of a document, by name.
type Fragments<'d, 'q> = HashMap<&'q str, &'d [Selection<'q, Scalar>]>;

/// The most fragments within one another that are followed. A fragment that spreads itself is refused by the engine, with a better error.
const NESTING: usize = 64;

/// Refuses a document with a subscription that has more than one root field. Two fields of the same name count as two: their selections
/// would have to be merged, which Juniper does not do with events. Call it after the [limits](super::limits), which bound its work.
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
        let found = fields(&operation.item.selection_set, &fragments, 0);
        if found > 1 {
            let detail = format!(
                "the subscription has {found} root fields; allowed is one, so subscribe once for each of them, and select all of one in \
                 one place"
            );
            return Err(Refusal::invalid("query_invalid", detail));
        }
    }
    Ok(())
}

/// The number of fields of a selection, those of its fragments included.
fn fields<'q>(selections: &[Selection<'q, Scalar>], fragments: &Fragments<'_, 'q>, nesting: usize) -> usize {
    if nesting > NESTING {
        return 0;
    }
    let count = |selection: &Selection<'q, Scalar>| match selection {
        Selection::Field(_) => 1,
        Selection::InlineFragment(inline) => fields(&inline.item.selection_set, fragments, nesting + 1),
        Selection::FragmentSpread(spread) => {
            fragments.get(spread.item.name.item).map_or(0, |below| fields(below, fragments, nesting + 1))
        }
    };
    selections.iter().map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of root fields in the refusal of this document.
    fn refused(query: &str) -> Option<String> {
        let schema = super::super::schema();
        let document = juniper::parser::parse_document_source(query, &schema.schema).unwrap();
        let refusal = check(&document).err()?;
        assert_eq!(refusal.code(), "query_invalid");
        refusal.detail().split(' ').nth(3).map(str::to_owned)
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
}
