//! How tokens are refused, whoever signed them: in the same words, which tell a stranger nothing that helps to forge one.

use jwt_simple::JWTError;
use kernel::Refusal;

/// Longer tokens are not ours.
pub const MAX_TOKEN_BYTES: usize = 4_096;

/// A refusal with this code.
pub fn refused(code: &'static str, detail: &str) -> Refusal {
    Refusal::unauthenticated(code, detail)
}

/// It is none of ours. Which part of it is wrong is nothing to tell a stranger.
pub fn invalid() -> Refusal {
    refused("token_invalid", "the token is not valid")
}

/// Its time is over.
pub fn expired() -> Refusal {
    refused("token_expired", "the token has expired; ask for a new one")
}

/// It is longer than any of ours.
pub fn too_long() -> Refusal {
    refused("token_malformed", "the token is too long")
}

/// What the verification of a signed token says.
pub fn explain(error: &jwt_simple::Error) -> Refusal {
    match error.downcast_ref::<JWTError>() {
        Some(JWTError::TokenHasExpired | JWTError::OldTokenReused) => expired(),
        Some(JWTError::TokenNotValidYet | JWTError::ClockDrift) => {
            refused("token_not_yet_valid", "the token is not valid yet; check the clocks of the machines involved")
        }
        Some(JWTError::RequiredIssuerMismatch | JWTError::RequiredIssuerMissing) => {
            refused("token_issuer", "the token is from another issuer than we trust")
        }
        Some(JWTError::RequiredAudienceMismatch | JWTError::RequiredAudienceMissing) => {
            refused("token_audience", "the token is for another audience")
        }
        _ => invalid(),
    }
}
