//! GraphQL at `/graphql`: queries by POST, subscriptions over graphql-transport-ws, and GraphiQL on GET.

mod event;
mod explorer;
mod failure;
mod limits;
mod message;
mod operations;
mod query;
mod request;
mod single_root;
mod subscription;
mod values;

use std::sync::Arc;
use std::time::Duration;

use config::Config;
use face::graphql::{Context, Session};
use face::{MinPositions, ReadSide};
use juniper::meta::MetaType;
use juniper::{DefaultScalarValue, EmptyMutation, OperationType, RootNode};
use kernel::Caller;
use poem::Route;
use poem::http::Method;
use tokio_util::sync::CancellationToken;

pub use self::event::Event;
use self::limits::Limits;
use crate::auth::Verifier;
use crate::auth::denials::DenialRecorder;
use crate::domains::{Query, Subscription};
use crate::front::RateLimiter;
use crate::routes::Methods;

/// The schema of all domains.
pub type Schema = RootNode<Query, EmptyMutation<Context>, Subscription>;

/// The schema of all domains.
pub fn schema() -> Schema {
    Schema::new(Query, EmptyMutation::new(), Subscription)
}

/// The root type of this kind of operation.
fn root(schema: &Schema, kind: OperationType) -> Option<&MetaType<DefaultScalarValue>> {
    match kind {
        OperationType::Query => Some(schema.schema.concrete_query_type()),
        OperationType::Mutation => schema.schema.concrete_mutation_type(),
        OperationType::Subscription => schema.schema.concrete_subscription_type(),
    }
}

/// The interval of pings on a WebSocket; shorter if idle connections are closed sooner.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Executes GraphQL requests.
pub struct Engine {
    schema: Schema,
    read_sides: Vec<ReadSide>,
    limits: Limits,
    timeout: Duration,
    /// The longest wait for the position in `X-Min-Position`.
    patience: Duration,
    /// The most concurrent operations on one WebSocket.
    subscriptions: usize,
    /// The interval of pings on a WebSocket.
    keep_alive: Duration,
    verifier: Arc<Verifier>,
    rates: Arc<RateLimiter>,
    recorder: DenialRecorder,
    stop: CancellationToken,
}

impl Engine {
    fn context(&self, caller: Caller, min_positions: MinPositions) -> Context {
        let session = Session::new(caller, self.read_sides.iter().cloned(), min_positions, self.patience);
        Context::new(Arc::new(session))
    }
}

/// `/graphql` and the explorer's files.
pub fn routes(
    route: Route,
    config: &Config,
    read_sides: Vec<ReadSide>,
    (verifier, rates, recorder): (Arc<Verifier>, Arc<RateLimiter>, DenialRecorder),
    stop: CancellationToken,
) -> Route {
    let settings = &config.graphql;
    let engine = Arc::new(Engine {
        schema: schema(),
        read_sides,
        limits: Limits { depth: settings.depth, cost: settings.cost, aliases: settings.aliases },
        timeout: Duration::from_secs(settings.timeout_seconds),
        patience: Duration::from_secs(settings.wait_seconds),
        subscriptions: settings.subscriptions,
        keep_alive: KEEP_ALIVE.min(config.http.idle() / 3),
        verifier,
        rates,
        recorder,
        stop,
    });
    let methods = Methods::new()
        .on(Method::POST, query::endpoint(engine.clone()))
        .on(Method::GET, subscription::endpoint(engine));
    explorer::routes(route.at("/graphql", methods))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(of: &MetaType<DefaultScalarValue>) -> Vec<(String, String, bool)> {
        let MetaType::Object(object) = of else { return Vec::new() };
        let ours = object.fields.iter().filter(|field| !field.name.starts_with("__"));
        ours.map(|field| {
            let ty = &field.field_type;
            (field.name.to_string(), ty.innermost_name().to_owned(), ty.is_non_null())
        })
        .collect()
    }

    #[test]
    fn a_question_that_fails_takes_no_other_with_it() {
        let schema = schema();
        let namespaces = fields(schema.schema.concrete_query_type());
        assert!(namespaces.len() > 5, "{namespaces:?}");
        for (namespace, name, _) in namespaces {
            let questions = fields(schema.schema.concrete_type_by_name(&name).unwrap());
            assert!(!questions.is_empty(), "{namespace}");
            for (question, _, non_null) in questions {
                assert!(
                    !non_null,
                    "{namespace}.{question} can't be null: answer FieldResult<Option<…>>, so that its errors are its own"
                );
            }
        }
    }
}
