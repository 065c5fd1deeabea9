//! Webhooks: configured over REST, read over REST and GraphQL.

mod answer;
mod graphql;
mod rest;

pub use graphql::EventsQuery;
pub use rest::WebhookSettings;
