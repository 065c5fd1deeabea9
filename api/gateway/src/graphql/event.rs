//! Events of subscriptions, with the errors of single fields.
//!
//! Juniper drops what it has resolved of an event if any of its fields failed: the subscriber would get the errors only, and not even learn
//! what has changed. The GraphQL specification ("ExecuteSubscriptionEvent") has each event answered as a query is: with its data, in which
//! failed fields are null, and the errors beside it. So this takes the errors out before juniper sees them.

use face::graphql::Context;
use juniper::meta::MetaType;
use juniper::{
    ArcStr, BoxFuture, DefaultScalarValue as Scalar, ExecutionResult, Executor, GraphQLType, GraphQLValue,
    GraphQLValueAsync, Registry, Selection, marker,
};

/// The event of a domain: the same GraphQL type. The errors of its fields are kept in the [`Context`].
pub struct Event<T>(pub T);

impl<T: marker::IsOutputType<Scalar>> marker::IsOutputType<Scalar> for Event<T> {}

impl<T: GraphQLType<Scalar>> GraphQLType<Scalar> for Event<T> {
    fn name(info: &Self::TypeInfo) -> Option<ArcStr> {
        T::name(info)
    }

    fn meta(info: &Self::TypeInfo, registry: &mut Registry<Scalar>) -> MetaType<Scalar> {
        T::meta(info, registry)
    }
}

impl<T: GraphQLValue<Scalar>> GraphQLValue<Scalar> for Event<T> {
    type Context = T::Context;
    type TypeInfo = T::TypeInfo;

    fn type_name(&self, info: &Self::TypeInfo) -> Option<ArcStr> {
        self.0.type_name(info)
    }
}

impl<T> GraphQLValueAsync<Scalar> for Event<T>
where
    T: GraphQLValueAsync<Scalar, Context = Context>,
    T::TypeInfo: Sync,
{
    fn resolve_async<'a>(
        &'a self,
        info: &'a Self::TypeInfo,
        selection_set: Option<&'a [Selection<'_, Scalar>]>,
        executor: &'a Executor<'_, '_, Self::Context, Scalar>,
    ) -> BoxFuture<'a, ExecutionResult<Scalar>> {
        Box::pin(async move {
            let resolved = self.0.resolve_async(info, selection_set, executor).await;
            executor.context().keep_errors(executor.take_errors());
            resolved
        })
    }
}
