//! The operations that run on one WebSocket, by the ids that the client gave them.
//!
//! A client may use an id again at once after it has completed an operation. Messages of that operation may still be queued then, its last
//! one, too. So each operation also has a number, and messages of an operation that is over are dropped. Otherwise the last message of the
//! first operation would end the second one for the client and for the limit, while it goes on in here.

use std::collections::HashMap;

use tokio::task::AbortHandle;

/// One operation, also if its id is used again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationKey {
    id: String,
    nth: u64,
}

impl OperationKey {
    /// The client's id of the operation.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// The running operations of a connection. They end when this is dropped.
#[derive(Debug, Default)]
pub struct Operations {
    running: HashMap<String, (u64, AbortHandle)>,
    /// The number of operations that were begun.
    begun: u64,
}

impl Operations {
    /// Whether an operation with this id runs.
    pub fn contains(&self, id: &str) -> bool {
        self.running.contains_key(id)
    }

    /// The number of running operations.
    pub fn count(&self) -> usize {
        self.running.len()
    }

    /// Begins an operation, under an id that no running one has. `spawn` starts its task.
    pub fn begin(&mut self, id: String, spawn: impl FnOnce(OperationKey) -> AbortHandle) {
        self.begun += 1;
        let nth = self.begun;
        let task = spawn(OperationKey { id: id.clone(), nth });
        self.running.insert(id, (nth, task));
    }

    /// Ends the operation with this id, if one runs, because the client has completed it.
    pub fn complete(&mut self, id: &str) {
        if let Some((_, task)) = self.running.remove(id) {
            task.abort();
        }
    }

    /// Whether a message of this operation is to be sent: not if the operation is over. `is_last`: it is over with this message.
    pub fn passes(&mut self, operation: &OperationKey, is_last: bool) -> bool {
        let is_running = self.running.get(&operation.id).is_some_and(|(nth, _)| *nth == operation.nth);
        if is_running && is_last {
            self.running.remove(&operation.id);
        }
        is_running
    }
}

impl Drop for Operations {
    fn drop(&mut self) {
        for (_, task) in self.running.values() {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::JoinHandle;

    use super::*;

    /// Begins an operation that goes on for ever.
    fn begin(operations: &mut Operations, id: &str) -> (OperationKey, JoinHandle<()>) {
        let task = tokio::spawn(pending::<()>());
        let mut begun = None;
        operations.begin(id.to_owned(), |key| {
            begun = Some(key);
            task.abort_handle()
        });
        (begun.unwrap(), task)
    }

    #[tokio::test]
    async fn attack_179_an_id_that_is_used_again_leaves_no_operation_that_nobody_counts_or_ends() {
        let mut operations = Operations::default();
        let (first, its_task) = begin(&mut operations, "a");
        assert!(operations.passes(&first, false));
        operations.complete("a");
        assert!(its_task.await.unwrap_err().is_cancelled());
        let (second, task) = begin(&mut operations, "a");
        // What the first one had queued comes now, its last message too.
        assert!(!operations.passes(&first, false) && !operations.passes(&first, true));
        assert!(operations.contains("a") && operations.count() == 1, "the second one is not counted any more");
        assert!(operations.passes(&second, false) && !task.is_finished());
        drop(operations);
        assert!(task.await.unwrap_err().is_cancelled(), "it goes on without its connection");
    }

    #[tokio::test]
    async fn an_id_is_free_after_the_last_message() {
        let mut operations = Operations::default();
        let (first, _) = begin(&mut operations, "a");
        let (other, _) = begin(&mut operations, "b");
        assert!(operations.passes(&first, true));
        assert!(!operations.contains("a") && !operations.passes(&first, true));
        assert!(operations.passes(&other, false) && operations.count() == 1);
        operations.complete("c");
        assert_eq!(operations.count(), 1);
    }
}
