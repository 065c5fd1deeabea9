//! Every service's dead letters, in GraphQL to look at (`{ deadLetters { letters { … } } }`), and in REST, under `/v1/dead-letters/<service>`: the list, one with its event, errors, attempts and
//! what was decided; redrive one or all, preview, edit, discard.
//!
//! It is no domain: it looks at the dead letters of every service of the process through its [`DeadLetters`]. What one may see and do
//! hangs on that service's own permissions `<service>:dead_letter:read` and `<service>:dead_letter:write`.

mod deciding;
mod graphql;
mod looking;
mod parameters;
mod shown;

use deadletters::DeadLetters;
pub use graphql::DeadLettersQuery;
use kernel::Refusal;
use poem_openapi::{OpenApi, Tags};

/// The operations on dead letters.
pub type Rest = (looking::Looking, deciding::Deciding);

/// All operations over the dead letters of the services of this process.
pub fn rest(services: Vec<DeadLetters>) -> Rest {
    let services = ByService(services.into());
    (looking::Looking::new(services.clone()), deciding::Deciding::new(services))
}

/// What the contract says of them, without a running service.
pub fn describe(registry: &mut poem_openapi::registry::Registry) -> Vec<poem_openapi::registry::MetaApi> {
    Rest::register(registry);
    Rest::meta()
}

/// Those of each service.
#[derive(Clone)]
struct ByService(std::sync::Arc<[DeadLetters]>);

impl ByService {
    fn of(&self, service: &str) -> Result<&DeadLetters, Refusal> {
        let found = self.0.iter().find(|dead_letters| dead_letters.service().name() == service);
        found.ok_or_else(|| {
            let names: Vec<_> = self.0.iter().map(|dead_letters| dead_letters.service().name()).collect();
            Refusal::not_found(
                "not_found",
                format!("there is no service {service:?} with dead letters here; allowed: {}", names.join(", ")),
            )
            .with("resource", "service")
        })
    }
}

/// How the reference groups the operations.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// Events that a read model, a saga or a webhook could not take.
    #[oai(rename = "Dead letters")]
    DeadLetters,
}
