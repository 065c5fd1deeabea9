//! References from one object to another, resolved by id through a dataloader.

use std::collections::HashMap;
use std::marker::PhantomData;

use folding::fold::Current;
use juniper::FieldResult;
use kernel::Service;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Context, Fetch, Fetching, Session, load};

/// An object that shows the row with the current state of an aggregate, and is found by the aggregate's id.
pub trait Node: Clone + Send + Sync + 'static {
    /// The row.
    type Row: Current;

    /// The service whose read models have it.
    const SERVICE: Service;
    /// The permission that is needed to read it.
    const READ: &'static str;

    /// The object that shows this row.
    fn new(row: Self::Row) -> Self;

    /// Resolves a reference by another object, or a query by id.
    fn of(context: &Context, id: Option<Uuid>) -> impl Future<Output = FieldResult<Option<Self>>> + Send {
        async move {
            let Some(id) = id else { return Ok(None) };
            context.require(Self::READ)?;
            load::<ById<Self>>(context, Self::SERVICE, id).await
        }
    }
}

struct ById<N>(PhantomData<fn() -> N>);

impl<N: Node> Fetch for ById<N> {
    type Key = Uuid;
    type Value = N;

    fn fetch<'a>(session: &'a Session, tables: &'a mut PgConnection, keys: &'a [Uuid]) -> Fetching<'a, Uuid, N> {
        let tenant = session.caller().tenant();
        Box::pin(async move {
            let rows = folding::list::find::<N::Row>(tables, tenant, keys).await?;
            Ok(rows.into_iter().map(|row| (row.key().1, N::new(row))).collect())
        })
    }
}

/// The key of a dataloader that reads the first rows that belong to an owner: the owner's id, and the number of rows.
pub type Share = (Uuid, u32);

/// The distinct owners of these shares, and the largest number of rows.
pub fn owners(shares: &[Share]) -> (Vec<Uuid>, i64) {
    let mut owners: Vec<_> = shares.iter().map(|(owner, _)| *owner).collect();
    owners.sort_unstable();
    owners.dedup();
    (owners, shares.iter().map(|(_, first)| i64::from(*first)).max().unwrap_or_default())
}

/// Distributes rows to the shares of their owners: each share gets the first rows of its owner, in the given order.
pub fn distribute<N: Clone>(
    shares: &[Share],
    rows: impl IntoIterator<Item = (Option<Uuid>, N)>,
) -> HashMap<Share, Vec<N>> {
    let mut of: HashMap<Uuid, Vec<N>> = HashMap::new();
    for (owner, row) in rows {
        if let Some(owner) = owner {
            of.entry(owner).or_default().push(row);
        }
    }
    let share = |share: &Share| {
        let rows = of.get(&share.0).map(Vec::as_slice).unwrap_or_default();
        (*share, rows.iter().take(usize::try_from(share.1).unwrap_or_default()).cloned().collect())
    };
    shares.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gets_the_first_of_its_own_and_no_more_than_it_asked_for() {
        let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
        let shares = [(b, 2), (a, 1), (b, 1), (c, 5)];
        assert_eq!(owners(&shares), (vec![a, b, c], 5));
        let distributed =
            distribute(&shares, [(Some(a), 'x'), (Some(b), 'p'), (None, '-'), (Some(a), 'y'), (Some(b), 'q')]);
        assert_eq!(distributed[&(a, 1)], ['x']);
        assert_eq!(distributed[&(b, 2)], ['p', 'q']);
        assert_eq!(distributed[&(b, 1)], ['p']);
        assert!(distributed[&(c, 5)].is_empty());
    }
}
