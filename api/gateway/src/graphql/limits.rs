//! Limits of depth, cost and aliases of a query, which are checked before it is executed.
//!
//! Juniper's parser limits tokens, nesting and the fields of expanded fragments, so the document that is walked here is small, but for spreads
//! without any field: these are counted here.

use std::collections::HashMap;

use juniper::http::GraphQLRequest;
use juniper::meta::{Argument, Field, MetaType};
use juniper::{
    DefaultScalarValue as Scalar, Definition, InputValue, ParseError, ScalarValue as _, Selection, Variables,
};
use kernel::Refusal;

use super::{Schema, single_root, values};

/// The limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most levels of fields.
    pub depth: usize,
    /// The most fields, each multiplied by the number of rows that the lists around it may have.
    pub cost: u64,
    /// The most aliases.
    pub aliases: usize,
}

/// The assumed number of rows of a list without the argument `first`. Such lists are short by nature, such as a pipeline's stages.
const ROWS: u64 = 20;

/// The assumed number of rows of a list in introspection.
const INTROSPECTION_ROWS: u64 = 4;

/// The most fragment spreads, each counted as often as the fragments around it are spread. The parser counts only fields, and a fragment that
/// spreads itself, or one that does not exist, adds none.
const SPREADS: u64 = 10_000;

/// The most levels of introspection. It is deep by nature (types of lists of types …) but cheap, so it has a limit of its own.
const INTROSPECTION_DEPTH: usize = 20;

type Selections<'d, 'q> = &'d [Selection<'q, Scalar>];

impl Limits {
    /// Refuses a query that exceeds a limit, has a malformed [value](values), or subscribes to [more than one root field](single_root). A
    /// query that can't be parsed passes, because the engine gives a better error.
    pub fn check(&self, schema: &Schema, request: &GraphQLRequest) -> Result<(), Refusal> {
        let document = match juniper::parser::parse_document_source(&request.query, &schema.schema) {
            Ok(document) => document,
            Err(error) => return too_large(&error.item),
        };
        let variables = request.variables();
        self.cost(schema, &document, &variables)?;
        single_root::check(&document)?;
        values::check(schema, &document, &variables)
    }

    fn cost(
        &self,
        schema: &Schema,
        document: &[Definition<'_, Scalar>],
        variables: &Variables<Scalar>,
    ) -> Result<(), Refusal> {
        let mut walk = Walk {
            schema,
            variables,
            defaults: HashMap::new(),
            fragments: HashMap::new(),
            spreads: 0,
            aliases: 0,
            depth: 0,
            introspection_depth: 0,
        };
        for definition in document {
            if let Definition::Fragment(fragment) = definition {
                walk.fragments.insert(fragment.item.name.item, &fragment.item.selection_set);
            }
        }
        for definition in document {
            let Definition::Operation(operation) = definition else { continue };
            let operation = &operation.item;
            let defined = operation.variables_definition.iter().flat_map(|defined| defined.item.iter());
            walk.defaults = defined
                .filter_map(|(name, variable)| Some((name.item, &variable.default_value.as_ref()?.item)))
                .collect();
            let cost =
                walk.cost(&operation.selection_set, super::root(schema, operation.operation_type), Place::default());
            exceeded("query_too_large", "fragment spreads", walk.spreads, SPREADS)?;
            exceeded("query_too_deep", "levels of fields", walk.depth as u64, self.depth as u64)?;
            let introspection = INTROSPECTION_DEPTH.max(self.depth) as u64;
            exceeded("query_too_deep", "levels of introspection", walk.introspection_depth as u64, introspection)?;
            exceeded("query_too_expensive", "fields, counted as often as lists may have rows", cost, self.cost)?;
            exceeded("query_too_many_aliases", "aliases", walk.aliases as u64, self.aliases as u64)?;
        }
        Ok(())
    }
}

fn exceeded(code: &'static str, what: &str, found: u64, allowed: u64) -> Result<(), Refusal> {
    if found <= allowed {
        return Ok(());
    }
    Err(Refusal::invalid(code, format!("the query has {found} {what}; allowed are {allowed}"))
        .with("found", found)
        .with("allowed", allowed))
}

fn too_large(error: &ParseError) -> Result<(), Refusal> {
    match error {
        ParseError::DepthLimitExceeded(allowed) => {
            Err(Refusal::invalid("query_too_deep", error.to_string()).with("allowed", *allowed))
        }
        ParseError::TokenLimitExceeded(allowed) | ParseError::FieldLimitExceeded(allowed) => {
            Err(Refusal::invalid("query_too_large", error.to_string()).with("allowed", *allowed))
        }
        ParseError::UnexpectedToken(_)
        | ParseError::UnexpectedEndOfFile
        | ParseError::LexerError(_)
        | ParseError::ExpectedScalarError(_) => Ok(()),
    }
}

struct Walk<'d, 'q> {
    schema: &'d Schema,
    variables: &'d Variables<Scalar>,
    /// The default values of the operation's variables.
    defaults: HashMap<&'q str, &'d InputValue>,
    fragments: HashMap<&'q str, Selections<'d, 'q>>,
    spreads: u64,
    aliases: usize,
    depth: usize,
    introspection_depth: usize,
}

/// A field of the query. (Juniper does not export its own type for it.)
#[derive(Clone, Copy)]
struct QueriedField<'d, 'q> {
    name: &'q str,
    aliased: bool,
    /// The argument `first`.
    first: Option<&'d InputValue>,
    selections: Option<Selections<'d, 'q>>,
}

/// The current place of the walk in the query.
#[derive(Clone, Copy, Default)]
struct Place {
    depth: usize,
    /// The number of enclosing fragments, which is limited because a fragment may spread itself.
    fragments: usize,
    introspection: bool,
    /// Directly under a connection, whose rows (`edges` and `nodes`) are already counted.
    paged: bool,
}

impl<'d, 'q> Walk<'d, 'q> {
    fn cost(&mut self, selections: Selections<'d, 'q>, parent: Option<&'d MetaType<Scalar>>, at: Place) -> u64 {
        let mut cost = 0_u64;
        for selection in selections {
            cost = cost.saturating_add(match selection {
                Selection::Field(field) => {
                    let field = &field.item;
                    let arguments = field.arguments.iter().flat_map(|arguments| &arguments.item.items);
                    let queried = QueriedField {
                        name: field.name.item,
                        aliased: field.alias.is_some(),
                        first: arguments.filter(|(name, _)| name.item == "first").map(|(_, value)| &value.item).next(),
                        selections: field.selection_set.as_deref(),
                    };
                    self.field(queried, parent, at)
                }
                Selection::InlineFragment(fragment) => {
                    let on = fragment.item.type_condition.as_ref().map(|name| name.item);
                    let parent = on.map_or(parent, |name| self.schema.schema.concrete_type_by_name(name));
                    self.cost(&fragment.item.selection_set, parent, at)
                }
                Selection::FragmentSpread(spread) => self.spread(spread.item.name.item, parent, at),
            });
        }
        cost
    }

    /// The cost of a spread fragment. Nothing is expanded after too many spreads: such a query is refused.
    fn spread(&mut self, name: &'q str, parent: Option<&'d MetaType<Scalar>>, at: Place) -> u64 {
        self.spreads = self.spreads.saturating_add(1);
        if self.spreads > SPREADS || at.fragments >= 64 {
            return 0;
        }
        let selections = self.fragments.get(name).copied().unwrap_or_default();
        self.cost(selections, parent, Place { fragments: at.fragments + 1, ..at })
    }

    fn field(&mut self, field: QueriedField<'d, 'q>, parent: Option<&'d MetaType<Scalar>>, at: Place) -> u64 {
        let introspection = at.introspection || field.name.starts_with("__");
        let depth = at.depth + 1;
        if introspection {
            self.introspection_depth = self.introspection_depth.max(depth);
        } else {
            self.depth = self.depth.max(depth);
        }
        self.aliases += usize::from(field.aliased);
        let meta = parent.and_then(|parent| parent.field_by_name(field.name));
        let paged = meta.and_then(|meta| Some((meta, page_argument(meta)?)));
        let first = paged.map(|(_, argument)| self.first(field.first, argument));
        let rows = match (first, meta) {
            (Some(first), _) => first,
            (None, Some(meta)) if is_list(meta) && !at.paged => {
                if introspection {
                    INTROSPECTION_ROWS
                } else {
                    ROWS
                }
            }
            _ => 1,
        };
        let below = Place { depth, introspection, paged: paged.is_some_and(|(meta, _)| !is_list(meta)), ..at };
        let Some(selections) = field.selections else { return 1 };
        let kind = meta.and_then(|meta| self.schema.schema.concrete_type_by_name(meta.field_type.innermost_name()));
        1_u64.saturating_add(rows.saturating_mul(self.cost(selections, kind, below)))
    }

    /// How many rows a page may have: the argument `first` as a literal or a variable; else the variable's default in the operation,
    /// else the argument's default in the schema. (`null` counts as absent.)
    fn first(&self, asked: Option<&InputValue>, argument: &Argument<Scalar>) -> u64 {
        let asked = match asked {
            Some(InputValue::Variable(name)) => {
                let name = name.as_str();
                self.variables.get(name).or_else(|| self.defaults.get(name).copied())
            }
            asked => asked,
        };
        asked.and_then(rows).or_else(|| argument.default_value.as_ref().and_then(rows)).unwrap_or(ROWS)
    }
}

fn rows(value: &InputValue) -> Option<u64> {
    let InputValue::Scalar(scalar) = value else { return None };
    // An invalid number of rows is refused by the resolver.
    Some(scalar.try_to_int().and_then(|first| u64::try_from(first).ok()).unwrap_or(1).max(1))
}

fn page_argument(field: &Field<Scalar>) -> Option<&Argument<Scalar>> {
    field.arguments.iter().flatten().find(|argument| argument.name == "first")
}

fn is_list(field: &Field<Scalar>) -> bool {
    // A type can be wrapped only as non-null or as a list, so more than one wrapper means a list.
    field.field_type.is_list() || field.field_type.modifiers().len() > 1
}
