//! [`Succession`]: the change from one master key to another.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Context, DataKey, Each, Error, MasterKey, Wrapped, rewrap};

/// A current master key and its predecessor. Both can unwrap; only the current one wraps.
pub struct Succession {
    current: Arc<dyn MasterKey>,
    former: Arc<dyn MasterKey>,
}

impl Succession {
    /// A succession in which `current` replaces `former`.
    pub fn new(current: Arc<dyn MasterKey>, former: Arc<dyn MasterKey>) -> Self {
        Self { current, former }
    }

    fn is_former(&self, wrapped: &Wrapped) -> bool {
        wrapped.wrapped_by() == self.former.name() && self.former.name() != self.current.name()
    }

    fn of(&self, wrapped: &Wrapped) -> &dyn MasterKey {
        if self.is_former(wrapped) { &*self.former } else { &*self.current }
    }
}

#[async_trait]
impl MasterKey for Succession {
    fn name(&self) -> &str {
        self.current.name()
    }

    fn unwraps(&self, name: &str) -> bool {
        self.current.unwraps(name) || self.former.unwraps(name)
    }

    async fn wrap(&self, context: Context<'_>, key: &DataKey) -> Result<Wrapped, Error> {
        self.current.wrap(context, key).await
    }

    async fn unwrap(&self, context: Context<'_>, wrapped: &Wrapped) -> Result<DataKey, Error> {
        self.of(wrapped).unwrap(context, wrapped).await
    }

    async fn wrap_all(&self, keys: &[(Context<'_>, &DataKey)]) -> Each<Wrapped> {
        self.current.wrap_all(keys).await
    }

    async fn unwrap_all(&self, wrapped: &[(Context<'_>, &Wrapped)]) -> Each<DataKey> {
        let (former, current) = self.split(wrapped);
        let (former, current) = (self.former.unwrap_all(&former).await, self.current.unwrap_all(&current).await);
        self.merge(wrapped, former, current)
    }

    async fn renewed(&self, wrapped: &[(Context<'_>, &Wrapped)]) -> Each<Option<Wrapped>> {
        let (former, current) = self.split(wrapped);
        let former =
            rewrap(&*self.former, &*self.current, &former).await.into_iter().map(|one| one.map(Some)).collect();
        let current = self.current.renewed(&current).await;
        self.merge(wrapped, former, current)
    }
}

type WrappedKeys<'w> = Vec<(Context<'w>, &'w Wrapped)>;

impl Succession {
    /// Splits keys into those that the former master key wrapped, and all others.
    fn split<'w>(&self, wrapped: &[(Context<'w>, &'w Wrapped)]) -> (WrappedKeys<'w>, WrappedKeys<'w>) {
        wrapped.iter().copied().partition(|(_, wrapped)| self.is_former(wrapped))
    }

    /// Merges the results for both parts into the original order.
    fn merge<T>(&self, wrapped: &[(Context<'_>, &Wrapped)], former: Each<T>, current: Each<T>) -> Each<T> {
        let (mut former, mut current) = (former.into_iter(), current.into_iter());
        let mut next = |wrapped: &Wrapped| if self.is_former(wrapped) { former.next() } else { current.next() };
        wrapped.iter().map(|(_, wrapped)| next(wrapped).unwrap_or(Err(Error::DoesNotOpen))).collect()
    }
}

#[cfg(test)]
mod tests {
    use kernel::TenantId;
    use uuid::Uuid;

    use super::*;
    use crate::{LocalMasterKey, SystemRandom};

    #[expect(clippy::disallowed_methods, reason = "a test's tenants")]
    fn context(tenant: u128) -> Context<'static> {
        Context { tenant: TenantId::vouched(Uuid::from_u128(tenant)), purpose: "tenant", subject: "" }
    }

    fn master(digit: &str) -> Arc<dyn MasterKey> {
        Arc::new(LocalMasterKey::parse(&digit.repeat(64), SystemRandom).unwrap())
    }

    #[tokio::test]
    async fn both_open_what_they_wrapped_and_the_new_one_wraps() {
        let (former, current, stranger) = (master("a"), master("b"), master("c"));
        let both = Succession::new(current.clone(), former.clone());
        let key = DataKey::new([9; 32]);
        let of_each = [&former, &current, &stranger].map(|master| master.wrap(context(1), &key));
        let [old, new, other] = futures_of(of_each).await;
        let wrapped = [(context(1), &old), (context(1), &new), (context(1), &other), (context(2), &old)];
        let opened = both.unwrap_all(&wrapped).await;
        assert!(opened[..2].iter().all(|one| one.as_ref().unwrap().reveal() == key.reveal()));
        assert!(matches!(&opened[2], Err(Error::OtherMaster { .. })), "{:?}", opened[2]);
        assert_eq!(opened[3].as_ref().unwrap_err(), &Error::DoesNotOpen);
        assert_eq!(both.unwrap(context(1), &old).await.unwrap().reveal(), key.reveal());
        let made = both.wrap(context(1), &key).await.unwrap();
        assert_eq!(made.wrapped_by(), current.name());

        let renewed = both.renewed(&wrapped).await;
        let anew = renewed[0].clone().unwrap().unwrap();
        assert_eq!(anew.wrapped_by(), current.name());
        assert_eq!(current.unwrap(context(1), &anew).await.unwrap().reveal(), key.reveal());
        assert_eq!(renewed[1], Ok(None), "it is as it would be wrapped today");
        assert!(matches!(&renewed[2], Err(Error::OtherMaster { .. })) && renewed[3] == Err(Error::DoesNotOpen));
    }

    async fn futures_of<const N: usize>(wraps: [impl Future<Output = Result<Wrapped, Error>>; N]) -> [Wrapped; N] {
        let mut all = Vec::new();
        for wrap in wraps {
            all.push(wrap.await.unwrap());
        }
        all.try_into().unwrap()
    }
}
