//! The macro that lists the REST operations of a domain.

/// Declares all REST operations of a domain from one list of their groups: the type `Rest`, for [`Domain::Rest`](crate::Domain::Rest), and
/// a function that makes them. Each group has a function `new`, which takes what its operations run on.
///
/// The type is a chain of pairs, because tuples of more than 16 groups are no `OpenApi`.
#[macro_export]
macro_rules! rest {
    (
        $(#[$meta:meta])*
        $vis:vis fn $make:ident($on:ident: $On:ty) -> Rest of [$($group:ty),+ $(,)?]
    ) => {
        /// All operations.
        pub type Rest = $crate::rest!(@type $($group,)+);

        $(#[$meta])*
        $vis fn $make($on: $On) -> Rest {
            $crate::rest!(@make $on, $($group,)+)
        }
    };
    (@type) => { () };
    (@type $first:ty, $($more:ty,)*) => { ($first, $crate::rest!(@type $($more,)*)) };
    (@make $on:ident,) => { () };
    (@make $on:ident, $first:ty, $($more:ty,)*) => {
        (<$first>::new($on.clone()), $crate::rest!(@make $on, $($more,)*))
    };
}
