//! The domains of this program: the only central list.

use std::sync::Arc;

use config::Known;
use coordinator::{Instances, Sagas};
use directory::Holdings;
use executor::ClaimHistory;
use face::graphql::{Context, Session};
use face::{Domain, Runtime, WriteSide};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use jobs::{Jobs, Kinds};
use juniper::{DefaultScalarValue, Executor, FieldResult, graphql_object, graphql_subscription};
use kernel::{AggregateType, EventType, Grant, Role, Service};
use poem_openapi::OpenApi;
use poem_openapi::registry::{MetaApi, Registry};
use projector::{Projection, ReadModels};

use crate::adapters::Adapters;
use crate::graphql::Event;

/// A type-erased [`Domain`]: what the gateway needs to open its service, to generate its contract, and to manage its data.
pub struct DomainDefinition {
    /// Its service.
    pub service: Service,
    /// Whether it decides who may sign in, and what they may do ([`Domain::DECIDES_ACCESS`]).
    pub decides_access: bool,
    /// Its permission table.
    pub grants: &'static [Grant],
    /// Its events.
    pub event_types: fn() -> Vec<EventType>,
    /// Its aggregates.
    pub aggregates: Vec<AggregateType>,
    /// Its sagas; a saga that spans domains belongs to the domain that starts it.
    pub sagas: Option<Sagas>,
    /// Its kinds of jobs ([`Domain::jobs`]).
    pub jobs: fn(&ReadModels, Option<&WriteSide>) -> Kinds,
    /// Queries for the role history of its subjects, if it has any.
    pub role_periods: Option<face::RolePeriods>,
    /// Its read models.
    pub projections: Vec<Arc<dyn Projection>>,
    /// The fold over its events that computes the claims ([`Domain::claims`]).
    pub claims: fn() -> Box<dyn ClaimHistory>,
    /// Describes its REST operations, for the contract.
    pub describe: fn(&mut Registry) -> Vec<MetaApi>,
    /// Its REST operations, which run on the given runtime.
    pub routes: fn(Runtime) -> RouteTable,
}

impl DomainDefinition {
    /// Whether its log contains sealed personal data, so that the service needs the master key.
    pub fn is_sealed(&self) -> bool {
        self.aggregates.iter().any(|aggregate| aggregate.sealed)
    }
}

/// REST operations by path and method, as poem-openapi collects them.
pub type RouteTable = std::collections::HashMap<
    String,
    std::collections::HashMap<poem::http::Method, poem::endpoint::BoxEndpoint<'static>>,
>;

fn definition<D: Domain>(adapters: &Adapters) -> DomainDefinition {
    DomainDefinition {
        service: D::SERVICE,
        decides_access: D::DECIDES_ACCESS,
        grants: D::grants(),
        event_types: || {
            D::event_types().into_iter().chain(saga_aggregate::<D>().flat_map(|saga| (saga.event_types)())).collect()
        },
        aggregates: D::aggregates().into_iter().chain(saga_aggregate::<D>()).collect(),
        sagas: sagas_of::<D>(adapters),
        jobs: D::jobs,
        role_periods: D::role_periods(),
        projections: D::projections(),
        claims: D::claims,
        describe: |registry| {
            D::Rest::register(registry);
            D::Rest::meta()
        },
        routes: |runtime| {
            let mut routes = RouteTable::new();
            D::rest(runtime).add_routes(&mut routes);
            routes
        },
    }
}

/// The projections and sagas of all services, for the deletion of a tenant's data.
pub fn holdings() -> Vec<Holdings> {
    let of = |domain: DomainDefinition| Holdings {
        service: domain.service,
        projections: domain.projections,
        sagas: domain.sagas,
    };
    all().into_iter().map(of).collect()
}

/// The names of services and projections that may occur in the configuration.
pub fn known() -> Known {
    let domains = all();
    let projections = domains.iter().flat_map(|domain| &domain.projections).map(|projection| projection.name());
    Known { services: SERVICES.to_vec(), projections: projections.collect() }
}

/// The kinds of jobs of a service, for managing jobs. They can't be run with these.
pub fn jobs_of(domain: &DomainDefinition, database: &eventstore::Database) -> Kinds {
    (domain.jobs)(&ReadModels::new(database, &domain.projections, None), None)
}

/// The sagas of a domain.
fn sagas_of<D: Domain>(adapters: &Adapters) -> Option<Sagas> {
    sagas(adapters).into_iter().find(|sagas| sagas.service() == D::SERVICE)
}

/// The aggregate of a domain's saga instances, if it has any.
fn saga_aggregate<D: Domain>() -> impl Iterator<Item = AggregateType> {
    sagas_of::<D>(&Adapters::none()).into_iter().map(|sagas| sagas.aggregate())
}

/// Describes the REST operations that belong to no domain: event feeds and webhooks, sagas, jobs and dead letters.
pub fn describe_platform(registry: &mut Registry) -> Vec<MetaApi> {
    events_api::Rest::register(registry);
    sagas_api::Rest::register(registry);
    let jobs = jobs_api::describe(registry);
    let dead_letters = dead_letters_api::describe(registry);
    let platform = events_api::Rest::meta().into_iter().chain(sagas_api::Rest::meta());
    platform.chain(jobs).chain(dead_letters).collect()
}

/// The dead letters of a service, for managing them; `None`: the service's permission table has no permissions for them.
pub fn dead_letters_of(
    domain: &DomainDefinition,
    database: &eventstore::Database,
    store: eventstore::EventStore,
    executor: executor::Executor,
    bus: Option<nats::Bus>,
) -> Option<deadletters::DeadLetters> {
    let dry_run = projector::ProjectionDryRun::new(database, domain.projections.clone());
    let mut dry_runners: Vec<Arc<dyn deadletters::DryRun>> = vec![Arc::new(dry_run)];
    if let Some(sagas) = &domain.sagas {
        dry_runners.push(Arc::new(coordinator::SagaDryRun::new(sagas.clone(), sagas.repository(executor))));
    }
    let aggregates = domain.aggregates.clone();
    let dead_letters = deadletters::DeadLetters::open(database, store, bus, aggregates, dry_runners, domain.grants)?;
    let restricted =
        if domain.decides_access { deadletters::Restricted::All } else { deadletters::Restricted::Erasures };
    let of_administrators: Vec<_> = Role::Admin.permissions(&grants()).collect();
    Some(dead_letters.restrict_changes_to(of_administrators, restricted))
}

/// The REST operations that belong to no domain, over the services of this process.
pub fn platform_routes(
    platform: &events_api::Platform,
    sagas: Vec<Instances>,
    jobs: Vec<Jobs>,
    dead_letters: Vec<deadletters::DeadLetters>,
) -> RouteTable {
    let mut routes = RouteTable::new();
    events_api::rest(platform).add_routes(&mut routes);
    sagas_api::rest(sagas).add_routes(&mut routes);
    jobs_api::rest(jobs).add_routes(&mut routes);
    dead_letters_api::rest(dead_letters).add_routes(&mut routes);
    routes
}

/// The permission tables of all domains, and of webhooks.
pub fn grants() -> Vec<Grant> {
    all().iter().flat_map(|domain| domain.grants).chain(webhooks::GRANTS).copied().collect()
}

/// Every event type of every domain.
pub fn catalogue() -> Vec<EventType> {
    all().into_iter().flat_map(|domain| (domain.event_types)()).collect()
}

/// The items of a domain's subscription for the selected fields. The consumer must renew the session after each item.
fn follow<D: Domain>(
    session: Arc<Session>,
    executor: &Executor<'_, '_, Context>,
) -> BoxStream<'static, FieldResult<Event<D::Subscription>>> {
    let wanted = executor.look_ahead().children().iter().map(|child| child.field_original_name().to_owned()).collect();
    D::subscribe(session, wanted).map_ok(Event).boxed()
}

/// Generates from the list of domains: their definitions, and the GraphQL roots with one namespace for each domain.
macro_rules! domains {
    ($($name:ident => $domain:ty),+ $(,)?) => {
        /// The services of this program.
        pub const SERVICES: &[Service] = &[$(<$domain as Domain>::SERVICE),+];

        /// All domains without adapters, for describing and managing them.
        pub fn all() -> Vec<DomainDefinition> {
            all_with(&Adapters::none())
        }

        /// All domains with their adapters, for running them.
        pub fn all_with(adapters: &Adapters) -> Vec<DomainDefinition> {
            vec![$(definition::<$domain>(adapters)),+]
        }

        /// The root of all queries.
        pub struct Query;

        #[graphql_object(context = Context)]
        impl Query {
            /// The events of all services and the webhooks that deliver them.
            fn events() -> events_api::webhooks::EventsQuery {
                events_api::webhooks::EventsQuery
            }

            /// Dead letters: events that a read model, a saga or a webhook could not process.
            fn dead_letters() -> dead_letters_api::DeadLettersQuery {
                dead_letters_api::DeadLettersQuery
            }

            /// Background jobs, with their schedules, queues and batches.
            fn jobs() -> jobs_api::JobsQuery {
                jobs_api::JobsQuery
            }

            $(
                /// The read models of this service.
                fn $name() -> <$domain as Domain>::Query {
                    Default::default()
                }
            )+
        }

        /// The root of all subscriptions.
        pub struct Subscription;

        #[graphql_subscription(context = Context, scalar = DefaultScalarValue)]
        impl Subscription {
            $(
                /// The live events of this service.
                async fn $name(
                    context: &Context,
                    executor: &Executor<'_, '_, Context>,
                ) -> BoxStream<'static, FieldResult<Event<<$domain as Domain>::Subscription>>> {
                    follow::<$domain>(context.session(), executor)
                }
            )+
        }
    };
}

domains! {
    crm => crm_api::Crm,
    user => user_api::User,
    auth => auth_api::Auth,
}

/// The sagas of the domains that have any.
fn sagas(adapters: &Adapters) -> Vec<Sagas> {
    let people = user_sagas::Ports::new(
        adapters.mailer.clone(),
        adapters.texts.clone(),
        &adapters.secret,
        adapters.url.clone(),
        adapters.resources.clone(),
        adapters.access.clone(),
    );
    let signing_in = auth_sagas::Ports {
        mailer: adapters.mailer.clone(),
        password_link_mails: adapters.authority.clone(),
        notice_mails: adapters.authority.clone(),
        notices: adapters.notices.clone(),
    };
    vec![crm_sagas::sagas(), user_sagas::sagas(&people), auth_sagas::sagas(&signing_in)]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use config::SETTINGS;

    use super::*;

    /// Without them the APIs that belong to no domain refuse everybody for this service, or do not know it.
    #[test]
    fn each_permission_table_has_what_the_apis_of_all_services_need() {
        let every = [
            "dead_letter:read",
            "dead_letter:write",
            "history:backdate",
            "history:read",
            "job:read",
            "job:write",
            "projection:rebuild",
        ];
        for domain in all() {
            let of_sagas = domain.sagas.is_some().then_some(["saga:read", "saga:write"]);
            let needed = every.into_iter().chain(of_sagas.into_iter().flatten());
            let needed = needed.map(|permission| format!("{}:{permission}", domain.service));
            let granted: BTreeSet<_> = domain.grants.iter().map(|grant| grant.permission).collect();
            let missing: Vec<_> = needed.filter(|permission| !granted.contains(permission.as_str())).collect();
            assert!(missing.is_empty(), "say in grants.rs who has {missing:?}");
        }
    }

    /// Settings and commands of operators name read models without their services.
    #[test]
    fn no_two_read_models_have_one_name() {
        let projections = known().projections;
        let names: BTreeSet<_> = projections.iter().collect();
        assert_eq!(names.len(), projections.len(), "{projections:?}");
    }

    #[test]
    fn each_service_is_placed_by_the_environment_too() {
        for service in SERVICES {
            for (variable, key) in [("DATABASE", "databases"), ("REMOTE", "remotes")] {
                let variable = format!("INOPSIO_{variable}_{}", service.name().to_uppercase());
                let setting = SETTINGS.iter().find(|setting| setting.variable == variable);
                assert_eq!(
                    setting.map(|setting| setting.key.to_owned()),
                    Some(format!("{key}.{service}")),
                    "{variable}"
                );
            }
        }
    }
}
