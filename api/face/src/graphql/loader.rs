//! Dataloaders: batch the lookups of many objects of one response into one read from the database.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use juniper::FieldResult;
use kernel::Service;
use sqlx::PgConnection;
use tokio::sync::OnceCell;

use super::{Context, Session, unreadable};

/// Reads the values of many keys, in a number of queries that does not depend on the number of keys.
pub trait Fetch: Send + Sync + 'static {
    /// The lookup key.
    type Key: Clone + Eq + Hash + Send + Sync;
    /// The value of a key.
    type Value: Clone + Send + Sync;

    /// The values of those keys that have one, as this session's caller may see them.
    fn fetch<'a>(
        session: &'a Session,
        tables: &'a mut PgConnection,
        keys: &'a [Self::Key],
    ) -> Fetching<'a, Self::Key, Self::Value>;
}

/// The future of fetched values.
pub type Fetching<'a, K, V> = BoxFuture<'a, Result<HashMap<K, V>, sqlx::Error>>;

/// Maps each key to its list of rows: `lists` is in the order of `keys`, and `show` converts a row.
pub fn keyed<K: Clone + Eq + Hash, R, V>(keys: &[K], lists: Vec<Vec<R>>, show: impl Fn(R) -> V) -> HashMap<K, Vec<V>> {
    let shown = lists.into_iter().map(|rows| rows.into_iter().map(&show).collect());
    keys.iter().cloned().zip(shown).collect()
}

/// The dataloader of one kind for one request; its cache lives as long as the request.
struct Loader<F: Fetch> {
    session: Arc<Session>,
    state: Arc<Mutex<State<F>>>,
    kind: PhantomData<F>,
}

/// Collects keys of a service until one of its waiters closes it and fetches the values.
struct Batch<F: Fetch> {
    keys: Mutex<HashSet<F::Key>>,
    values: OnceCell<FieldResult<HashMap<F::Key, F::Value>>>,
}

/// The batches of each service.
type State<F> = HashMap<Service, Batches<F>>;

struct Batches<F: Fetch> {
    open: Arc<Batch<F>>,
    /// The batch of each key that was requested so far.
    asked: HashMap<F::Key, Arc<Batch<F>>>,
}

impl<F: Fetch> Clone for Loader<F> {
    fn clone(&self) -> Self {
        Self { session: self.session.clone(), state: self.state.clone(), kind: PhantomData }
    }
}

/// How often a batch yields before it closes. The objects of one response are resolved concurrently in one task, so all of them have
/// added their keys after this many yields.
const YIELDS: usize = 3;

/// The value of a key in a service's read models; `None`: the key has no value.
pub async fn load<F: Fetch>(context: &Context, service: Service, key: F::Key) -> FieldResult<Option<F::Value>> {
    context.loader(Loader::<F>::new).load(service, key).await
}

impl<F: Fetch> Loader<F> {
    fn new(session: Arc<Session>) -> Self {
        Self { session, state: Arc::default(), kind: PhantomData }
    }

    async fn load(&self, service: Service, key: F::Key) -> FieldResult<Option<F::Value>> {
        let batch = self.join(service, &key);
        // The first waiter fetches for all. If its future is dropped meanwhile, the next waiter does.
        let values = batch.values.get_or_init(|| async {
            for _ in 0..YIELDS {
                tokio::task::yield_now().await;
            }
            let keys = self.close(service, &batch);
            let mut tables = self.session.reader(service).await?;
            F::fetch(&self.session, &mut tables, &keys).await.map_err(unreadable)
        });
        match values.await {
            Ok(values) => Ok(values.get(&key).cloned()),
            Err(error) => Err(error.clone()),
        }
    }

    fn join(&self, service: Service, key: &F::Key) -> Arc<Batch<F>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let batches = state.entry(service).or_insert_with(Batches::new);
        let open = batches.open.clone();
        let batch = batches.asked.entry(key.clone()).or_insert(open).clone();
        // For a key that was requested before, this is its earlier batch, which already contains it.
        batch.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        batch
    }

    fn close(&self, service: Service, batch: &Arc<Batch<F>>) -> Vec<F::Key> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(batches) = state.get_mut(&service).filter(|batches| Arc::ptr_eq(&batches.open, batch)) {
            batches.open = Batch::open();
        }
        batch.keys.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl<F: Fetch> Batches<F> {
    fn new() -> Self {
        Self { open: Batch::open(), asked: HashMap::new() }
    }
}

impl<F: Fetch> Batch<F> {
    fn open() -> Arc<Self> {
        Arc::new(Self { keys: Mutex::default(), values: OnceCell::new() })
    }
}
