//! Relay connections.

use juniper::{FieldError, FieldResult, GraphQLObject};
use kernel::Refusal;

use super::refuse;

/// The place of a page in its list.
#[derive(Clone, Debug, GraphQLObject)]
pub struct PageInfo {
    /// Whether there are rows before this page, that is, whether the page was requested with `after`.
    pub has_previous_page: bool,
    /// The cursor of the first row.
    pub start_cursor: Option<String>,
    /// Whether there are rows after this page.
    pub has_next_page: bool,
    /// The cursor of the last row: send it as `after` to get the next page.
    pub end_cursor: Option<String>,
}

/// Checks the argument `first` of a list: the number of rows. The schema shows the same default.
///
/// # Errors
/// `page_size`, for less than 1 or more than `most`.
pub fn page_size(first: Option<i32>, default: u32, most: u32) -> FieldResult<u32> {
    let Some(first) = first else { return Ok(default) };
    u32::try_from(first).ok().filter(|first| (1..=most).contains(first)).ok_or_else(|| {
        refuse(
            Refusal::invalid("page_size", format!("first: {first}; allowed are 1 to {most}")).with("argument", "first"),
        )
    })
}

/// The refusal of an argument with an invalid value, such as a text that is not an id.
pub fn bad_argument(argument: &str, what: &str) -> FieldError {
    refuse(Refusal::invalid("value_not_allowed", format!("{argument}: {what}")).with("argument", argument))
}

/// Declares a connection: its edge type, and the object with page info and total count. With `in`, the rows are from one service's read
/// models, and `counted by` gets a connection to them. Without, they are from several services, and `counted by` gets the context.
#[macro_export]
macro_rules! connection {
    (
        $(#[$meta:meta])*
        pub struct $connection:ident of $node:ident by $edge:ident in $service:expr, counted by $count:path where $filter:ty
    ) => {
        $crate::connection! {
            @ $(#[$meta])* $connection of $node by $edge where $filter, counted as context, filter => {
                let mut tables = context.reader($service).await?;
                let count = $count(&mut tables, context.caller().tenant(), filter).await;
                count.map_err($crate::graphql::unreadable)?
            }
        }
    };
    (
        $(#[$meta:meta])*
        pub struct $connection:ident of $node:ident by $edge:ident, counted by $count:path where $filter:ty
    ) => {
        $crate::connection! {
            @ $(#[$meta])* $connection of $node by $edge where $filter, counted as context, filter => {
                $count(context, filter).await?
            }
        }
    };
    (
        @ $(#[$meta:meta])* $connection:ident of $node:ident by $edge:ident where $filter:ty,
        counted as $context:ident, $wanted:ident => $count:block
    ) => {
        /// A row of a page.
        #[derive(Clone, juniper::GraphQLObject)]
        #[graphql(context = $crate::graphql::Context)]
        pub struct $edge {
            /// The cursor of this row: send it as `after` to get the rows after it.
            cursor: String,
            /// The row.
            node: $node,
        }

        $(#[$meta])*
        pub struct $connection {
            edges: Vec<$edge>,
            page_info: $crate::graphql::PageInfo,
            filter: $filter,
        }

        impl $connection {
            fn new(page: $crate::graphql::Page<$node>, filter: $filter) -> Self {
                let page_info = $crate::graphql::PageInfo {
                    has_previous_page: page.has_previous,
                    start_cursor: page.start_cursor().map(str::to_owned),
                    has_next_page: page.has_next,
                    end_cursor: page.end_cursor().map(str::to_owned),
                };
                let edges = page.rows.into_iter().map(|(cursor, node)| $edge { cursor: cursor.into_string(), node });
                Self { edges: edges.collect(), page_info, filter }
            }
        }

        $(#[$meta])*
        #[juniper::graphql_object(context = $crate::graphql::Context)]
        impl $connection {
            /// The rows of the page with their cursors.
            fn edges(&self) -> &[$edge] {
                &self.edges
            }

            /// The rows of the page.
            fn nodes(&self) -> Vec<&$node> {
                self.edges.iter().map(|edge| &edge.node).collect()
            }

            /// The place of this page in the list.
            fn page_info(&self) -> &$crate::graphql::PageInfo {
                &self.page_info
            }

            /// The number of rows in the whole list. It is counted when it is requested, which can take some time for large
            /// lists.
            async fn total_count(&self, $context: &$crate::graphql::Context) -> juniper::FieldResult<i32> {
                let $wanted = &self.filter;
                Ok($crate::graphql::int($count))
            }
        }
    };
}
