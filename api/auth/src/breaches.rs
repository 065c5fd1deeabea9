//! Passwords found in breaches of other services: attackers who try known passwords start with those, however hard to guess they look.
//!
//! The list is queried with k-anonymity: its operator gets the first five hexadecimal digits of a password's SHA-1 and returns all hashes
//! that begin with them (the range API of Have I Been Pwned, and of servers that host its data). The other digits never leave this process.

use futures::future::BoxFuture;
use sha1::{Digest as _, Sha1};

/// How many digits of the hash are sent.
const TOLD: usize = 5;

/// A list of passwords found in breaches.
pub trait Breaches: Send + Sync {
    /// The rest of each hash that begins with these five hexadecimal digits (upper case), and how often it was found, one per line:
    /// `0018A45C4D1DEF81644B54AB7F969B88D65:21`. An error says why the list can't be queried now.
    fn range<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<String, String>>;
}

/// Whether a password was found in a breach. If the list can't be queried, it counts as not found: its operator must not be able to prevent
/// sign-ups.
pub(crate) async fn is_breached(breaches: &dyn Breaches, password: &str) -> bool {
    let hash = hex::encode_upper(Sha1::digest(password));
    let (prefix, rest) = hash.split_at(TOLD);
    match breaches.range(prefix).await {
        Ok(range) => is_in(&range, rest),
        Err(reason) => {
            tracing::warn!(%reason, "whether a new password was seen in a breach can't be told; it is taken");
            false
        }
    }
}

/// Whether the rest of a hash is in a range. Entries with the count 0 are padding that hides the range's size.
fn is_in(range: &str, rest: &str) -> bool {
    range.lines().filter_map(|line| line.trim().split_once(':')).any(|(other, seen)| {
        other.eq_ignore_ascii_case(rest) && seen.trim().parse::<u64>().is_ok_and(|times| times > 0)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::FutureExt;

    use super::*;

    struct List(Mutex<Vec<String>>, Result<&'static str, &'static str>);

    impl Breaches for List {
        fn range<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<String, String>> {
            self.0.lock().unwrap().push(prefix.to_owned());
            async move { self.1.map(str::to_owned).map_err(str::to_owned) }.boxed()
        }
    }

    // SHA-1 of "password" is 5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8.
    async fn breached(range: Result<&'static str, &'static str>) -> bool {
        let list = List(Mutex::default(), range);
        let breached = is_breached(&list, "password").await;
        assert_eq!(*list.0.lock().unwrap(), ["5BAA6"], "no more is told");
        breached
    }

    #[tokio::test]
    async fn a_password_was_seen_when_its_hash_is_among_those_that_begin_like_it() {
        let others = "0018A45C4D1DEF81644B54AB7F969B88D65:21\r\n";
        assert!(breached(Ok("1E4C9B93F3F0682250B6CF8331B7EE68FD8:3861493")).await);
        assert!(
            breached(Ok("0018A45C4D1DEF81644B54AB7F969B88D65:21\r\n1e4c9b93f3f0682250b6cf8331b7ee68fd8:1\r\n")).await
        );
        assert!(!breached(Ok(others)).await);
        assert!(!breached(Ok("1E4C9B93F3F0682250B6CF8331B7EE68FD8:0\r\n")).await, "padding");
        assert!(!breached(Ok("")).await);
        assert!(!breached(Ok("<html>no list</html>")).await);
    }

    #[tokio::test]
    async fn where_nobody_can_tell_a_password_is_taken() {
        assert!(!breached(Err("it does not answer")).await);
    }
}
