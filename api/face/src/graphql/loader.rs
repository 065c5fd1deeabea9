//! Dataloaders: what many objects of one answer want is read from the database once.

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

/// Reads the values of many keys in a number of queries that does not grow with them.
pub trait Fetch: Send + Sync + 'static {
    /// What a value is asked for by.
    type Key: Clone + Eq + Hash + Send + Sync;
    /// What is read.
    type Value: Clone + Send + Sync;

    /// The values of those keys that have one, for this session's caller.
    fn fetch<'a>(
        session: &'a Session,
        tables: &'a mut PgConnection,
        keys: &'a [Self::Key],
    ) -> Fetching<'a, Self::Key, Self::Value>;
}

/// Values on their way.
pub type Fetching<'a, K, V> = BoxFuture<'a, Result<HashMap<K, V>, sqlx::Error>>;

/// The lists that were read for keys, by their keys: `lists` are in the order of the keys, and `show` makes of a row what is shown of it.
pub fn keyed<K: Clone + Eq + Hash, R, V>(keys: &[K], lists: Vec<Vec<R>>, show: impl Fn(R) -> V) -> HashMap<K, Vec<V>> {
    let shown = lists.into_iter().map(|rows| rows.into_iter().map(&show).collect());
    keys.iter().cloned().zip(shown).collect()
}

/// A request's dataloader of one kind; it forgets with the request.
struct Loader<F: Fetch> {
    session: Arc<Session>,
    state: Arc<Mutex<State<F>>>,
    kind: PhantomData<F>,
}

/// A batch collects keys of a service until one who waits for it closes it and reads.
struct Batch<F: Fetch> {
    keys: Mutex<HashSet<F::Key>>,
    values: OnceCell<FieldResult<HashMap<F::Key, F::Value>>>,
}

/// The batches of each service.
type State<F> = HashMap<Service, Batches<F>>;

struct Batches<F: Fetch> {
    open: Arc<Batch<F>>,
    /// In which batch a key was asked for.
    asked: HashMap<F::Key, Arc<Batch<F>>>,
}

impl<F: Fetch> Clone for Loader<F> {
    fn clone(&self) -> Self {
        Self { session: self.session.clone(), state: self.state.clone(), kind: PhantomData }
    }
}

/// Objects of one answer are resolved side by side in one task: after this many turns all of them have asked.
const TURNS: usize = 3;

/// The value of a key in a service's read models; `None`: there is none.
pub async fn load<F: Fetch>(context: &Context, service: Service, key: F::Key) -> FieldResult<Option<F::Value>> {
    context.loader(Loader::<F>::new).load(service, key).await
}

impl<F: Fetch> Loader<F> {
    fn new(session: Arc<Session>) -> Self {
        Self { session, state: Arc::default(), kind: PhantomData }
    }

    async fn load(&self, service: Service, key: F::Key) -> FieldResult<Option<F::Value>> {
        let batch = self.join(service, &key);
        // The first to come here reads for all; should it be dropped meanwhile, the next one does.
        let values = batch.values.get_or_init(|| async {
            for _ in 0..TURNS {
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
        // A key that was asked for before is in its batch already.
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
