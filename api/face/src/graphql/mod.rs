//! Building blocks of GraphQL resolvers: their context (the caller, one transaction per service, dataloaders, live events) and their
//! results (Relay connections, histories, errors).

mod big_int;
mod changes;
mod connection;
mod error;
mod history;
mod loader;
mod mirror;
mod node;
mod page;
mod postal_address;
mod read;
mod session;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use juniper::{DefaultScalarValue, ExecutionError};

pub use big_int::BigInt;
pub use changes::{LiveField, changes};
pub use connection::{PageInfo, bad_argument, page_size};
pub use error::refuse;
pub use history::{Period, window};
pub use loader::{Fetch, Fetching, keyed, load};
pub use node::{Node, Share, distribute, owners};
pub use page::{Cursor, Page, PageRequest, page};
pub use postal_address::PostalAddress;
pub use read::{forward, int, unlistable, unreadable};
pub use session::{Reader, Session};

/// The context of a GraphQL request: its [`Session`] and its dataloaders.
pub struct Context {
    session: Arc<Session>,
    loaders: Mutex<Loaders>,
    /// The errors of fields of the event that a subscription shows now.
    errors: Mutex<Vec<ExecutionError<DefaultScalarValue>>>,
}

/// The dataloaders of one [turn](Session::turn) of the session.
#[derive(Default)]
struct Loaders {
    turn: u64,
    made: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

impl Context {
    /// A context for one request.
    pub fn new(session: Arc<Session>) -> Self {
        Self { session, loaders: Mutex::default(), errors: Mutex::default() }
    }

    /// The request's session, for dataloaders to keep. (A loader that kept the context would be part of a reference cycle.)
    pub fn session(&self) -> Arc<Session> {
        self.session.clone()
    }

    /// The request's dataloader of a type: created on first use, and again after the session was renewed.
    pub fn loader<L: Clone + Send + Sync + 'static>(&self, make: impl FnOnce(Arc<Session>) -> L) -> L {
        let mut loaders = self.loaders.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.session.turn();
        if loaders.turn != turn {
            *loaders = Loaders { turn, made: HashMap::new() };
        }
        let loader = loaders.made.entry(TypeId::of::<L>()).or_insert_with(|| Box::new(make(self.session.clone())));
        match loader.downcast_ref::<L>() {
            Some(loader) => loader.clone(),
            // The key is the type's own id, so the entry can't have another type.
            None => unreachable!("a dataloader under another type's id"),
        }
    }

    /// Keeps the errors of fields of an event, which are sent beside its data.
    pub fn keep_errors(&self, mut errors: Vec<ExecutionError<DefaultScalarValue>>) {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).append(&mut errors);
    }

    /// Takes the errors that were kept.
    pub fn take_errors(&self) -> Vec<ExecutionError<DefaultScalarValue>> {
        std::mem::take(&mut *self.errors.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Deref for Context {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl juniper::Context for Context {}
