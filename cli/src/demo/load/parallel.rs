//! Concurrency: items are worked on concurrently, the requests of one item in order.

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};

/// Works on all items, at most `at_once` at a time. Returns the results in the items' order. The first failure stops all.
pub async fn for_all<T, R, F>(
    items: impl IntoIterator<Item = T>,
    at_once: usize,
    work: impl Fn(usize, T) -> F,
) -> Result<Vec<R>>
where
    F: Future<Output = Result<R>>,
{
    let futures = items.into_iter().enumerate().map(|(index, item)| {
        let result = work(index, item);
        async move { Ok::<_, anyhow::Error>((index, result.await?)) }
    });
    // `buffered` would stop taking new items while the first one is slow.
    let mut results: Vec<(usize, R)> = stream::iter(futures).buffer_unordered(at_once).try_collect().await?;
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn results_come_in_the_items_order() {
        let results = for_all([30_u64, 10, 20], 3, |index, wait| async move {
            for _ in 0..wait {
                tokio::task::yield_now().await;
            }
            Ok((index, wait))
        });
        assert_eq!(results.await.unwrap(), [(0, 30), (1, 10), (2, 20)]);
    }

    #[tokio::test]
    async fn the_first_failure_ends_it() {
        let results = for_all(0..10, 2, |_, item| async move {
            anyhow::ensure!(item != 3, "three");
            Ok(item)
        });
        assert_eq!(results.await.unwrap_err().to_string(), "three");
    }
}
