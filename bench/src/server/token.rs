//! The token check of the peer and the prototype: Ed25519 signatures, with a cache of verified tokens until they expire, as in ours.

use std::sync::Arc;

use anyhow::Context;
use jwt_simple::prelude::*;
use poem::http::{StatusCode, header};
use poem::{Endpoint, Middleware, Request};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

/// Maximum number of cached tokens.
const REMEMBERED: usize = 10_000;

/// Rejects requests without a valid token.
#[derive(Clone)]
pub struct TokenCheck(Arc<Inner>);

struct Inner {
    key: Ed25519PublicKey,
    expiry_by_hash: Cache<[u8; 32], UnixTimeStamp>,
}

impl TokenCheck {
    /// A check with a public key in PEM.
    pub fn new(public_key: &str) -> anyhow::Result<Self> {
        let key = Ed25519PublicKey::from_pem(public_key).context("not an Ed25519 public key")?;
        Ok(Self(Arc::new(Inner { key, expiry_by_hash: Cache::new(REMEMBERED) })))
    }

    fn allows(&self, request: &Request) -> bool {
        let bearer =
            request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        bearer.is_some_and(|token| self.0.valid(token))
    }
}

impl Inner {
    fn valid(&self, token: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(expiry) = self.expiry_by_hash.get(&hash) {
            return Clock::now_since_epoch() < expiry;
        }
        let Ok(claims) = self.key.verify_token::<NoCustomClaims>(token, None) else { return false };
        let Some(expiry) = claims.expires_at else { return false };
        self.expiry_by_hash.insert(hash, expiry);
        true
    }
}

impl<E: Endpoint> Middleware<E> for TokenCheck {
    type Output = Checked<E>;

    fn transform(&self, endpoint: E) -> Checked<E> {
        Checked { check: self.clone(), endpoint }
    }
}

/// An endpoint with the token check.
pub struct Checked<E> {
    check: TokenCheck,
    endpoint: E,
}

impl<E: Endpoint> Endpoint for Checked<E> {
    type Output = E::Output;

    async fn call(&self, request: Request) -> poem::Result<E::Output> {
        if self.check.allows(&request) {
            self.endpoint.call(request).await
        } else {
            Err(StatusCode::UNAUTHORIZED.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use poem::test::TestClient;
    use poem::{EndpointExt, Route, get, handler};

    use super::*;

    #[handler]
    fn hello() -> &'static str {
        "hello"
    }

    fn token(key: &Ed25519KeyPair) -> String {
        key.sign(Claims::create(Duration::from_hours(1)).with_subject("client")).unwrap()
    }

    async fn status(key: &Ed25519KeyPair, authorization: &str) -> StatusCode {
        let check = TokenCheck::new(&key.public_key().to_pem()).unwrap();
        let client = TestClient::new(Route::new().at("/", get(hello)).with(check));
        client.get("/").header("authorization", authorization).send().await.0.status()
    }

    #[tokio::test]
    async fn only_tokens_of_this_key_are_let_through() {
        let key = Ed25519KeyPair::generate();
        let token = token(&key);
        assert_eq!(status(&key, &format!("Bearer {token}")).await, StatusCode::OK);
        assert_eq!(status(&Ed25519KeyPair::generate(), &format!("Bearer {token}")).await, StatusCode::UNAUTHORIZED);
        assert_eq!(status(&key, &token).await, StatusCode::UNAUTHORIZED);
        assert_eq!(status(&key, "Bearer nonsense").await, StatusCode::UNAUTHORIZED);
    }
}
