//! Validates ids, days, times and texts in a query as strictly as in REST, with the same refusals.
//!
//! Juniper's own scalars accept several forms (an id in braces, a day with one digit), and their errors don't tell what is allowed. This
//! checks literals, variables and their defaults by the names of their scalars before execution, so it covers the arguments of every
//! domain.

use juniper::meta::MetaType;
use juniper::{DefaultScalarValue as Scalar, Definition, InputValue, ScalarValue as _, Selection, Variables};
use kernel::Refusal;

use super::Schema;

type Check = fn(&str) -> Result<(), String>;

/// The checks by scalar: scalars that are restricted to one form, and texts.
const CHECKS: [(&str, Check); 5] = [
    ("UUID", |text| kernel::read_uuid(text).map(drop).map_err(|error| error.to_string())),
    ("LocalDate", |text| kernel::read_day(text).map(drop).map_err(|error| error.to_string())),
    ("DateTime", |text| kernel::read_time(text).map(drop).map_err(|error| error.to_string())),
    ("String", without_nul),
    ("ID", without_nul),
];

/// Postgres can't store NUL in a text.
fn without_nul(text: &str) -> Result<(), String> {
    if text.contains('\0') { Err("this has a NUL character, which is not allowed".to_owned()) } else { Ok(()) }
}

/// Refuses a document with a value that is not in its scalar's form. Other errors pass, and are reported by the engine.
pub(super) fn check(
    schema: &Schema,
    document: &[Definition<'_, Scalar>],
    variables: &Variables<Scalar>,
) -> Result<(), Refusal> {
    for definition in document {
        let (selections, on) = match definition {
            Definition::Operation(operation) => {
                let operation = &operation.item;
                for (name, variable) in operation.variables_definition.iter().flat_map(|defined| defined.item.iter()) {
                    let default = variable.default_value.as_ref().map(|default| &default.item);
                    let of = variable.var_type.item.innermost_name();
                    for value in variables.get(name.item).into_iter().chain(default) {
                        value_of(schema, &format!("${}", name.item), of, value)?;
                    }
                }
                (&operation.selection_set, super::root(schema, operation.operation_type))
            }
            Definition::Fragment(fragment) => {
                let fragment = &fragment.item;
                (&fragment.selection_set, schema.schema.concrete_type_by_name(fragment.type_condition.item))
            }
        };
        literals(schema, selections, on)?;
    }
    Ok(())
}

fn literals(
    schema: &Schema,
    selections: &[Selection<'_, Scalar>],
    parent: Option<&MetaType<Scalar>>,
) -> Result<(), Refusal> {
    for selection in selections {
        match selection {
            Selection::Field(field) => {
                let field = &field.item;
                let Some(meta) = parent.and_then(|parent| parent.field_by_name(field.name.item)) else { continue };
                for (name, value) in field.arguments.iter().flat_map(|arguments| &arguments.item.items) {
                    let known = meta.arguments.iter().flatten().find(|known| known.name == *name.item);
                    if let Some(known) = known {
                        value_of(schema, name.item, known.arg_type.innermost_name(), &value.item)?;
                    }
                }
                let kind = schema.schema.concrete_type_by_name(meta.field_type.innermost_name());
                literals(schema, field.selection_set.as_deref().unwrap_or_default(), kind)?;
            }
            Selection::InlineFragment(fragment) => {
                let on = fragment.item.type_condition.as_ref().map(|name| name.item);
                let parent = on.map_or(parent, |name| schema.schema.concrete_type_by_name(name));
                literals(schema, &fragment.item.selection_set, parent)?;
            }
            // The fragment is checked at its definition.
            Selection::FragmentSpread(_) => {}
        }
    }
    Ok(())
}

/// Checks a value of the type named `of`, or a list of such values; `place` is its name in the refusal, such as `filter.closeFrom`.
fn value_of(schema: &Schema, place: &str, of: &str, value: &InputValue<Scalar>) -> Result<(), Refusal> {
    match value {
        InputValue::List(items) => items.iter().try_for_each(|item| value_of(schema, place, of, &item.item)),
        InputValue::Object(members) => {
            let kind = schema.schema.concrete_type_by_name(of);
            members.iter().try_for_each(|(name, value)| {
                let known = kind.and_then(|kind| kind.input_field_by_name(&name.item));
                known.map_or(Ok(()), |known| {
                    value_of(schema, &format!("{place}.{}", name.item), known.arg_type.innermost_name(), &value.item)
                })
            })
        }
        InputValue::Scalar(scalar) => {
            let Some((_, check)) = CHECKS.iter().find(|(name, _)| *name == of) else { return Ok(()) };
            check(scalar.try_as_str().unwrap_or_default()).map_err(|error| {
                Refusal::invalid("value_not_allowed", format!("{place}: {error}")).with("argument", place)
            })
        }
        InputValue::Null | InputValue::Enum(_) | InputValue::Variable(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scalar_of_the_schema_has_one_form() {
        // These are not in `CHECKS`: the GraphQL library checks those of the specification, and a `BigInt` may be any whole number.
        const PLAIN: [&str; 4] = ["Boolean", "Float", "Int", "BigInt"];
        let sdl = super::super::schema().as_sdl();
        let scalars: Vec<_> = sdl.lines().filter_map(|line| line.strip_prefix("scalar ")?.split(' ').next()).collect();
        assert!(scalars.contains(&"UUID"), "{scalars:?}");
        for scalar in scalars {
            let known = PLAIN.contains(&scalar) || CHECKS.iter().any(|(name, _)| *name == scalar);
            assert!(known, "say in CHECKS which form the scalar {scalar} has");
        }
    }
}
