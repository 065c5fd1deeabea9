//! Webhooks: set up over REST, looked at over REST and GraphQL.

mod answer;
mod graphql;
mod rest;

pub use graphql::EventsQuery;
pub use rest::WebhookSettings;
