//! The refusals of bearer tokens, the same for all issuers. Their texts give a stranger no help in forging a token.

use jwt_simple::JWTError;
use kernel::Refusal;

/// The maximum size of a token; ours are shorter.
pub const MAX_TOKEN_BYTES: usize = 4_096;

/// A refusal with this code.
pub fn refused(code: &'static str, detail: &str) -> Refusal {
    Refusal::unauthenticated(code, detail)
}

/// The token is not valid. The reason is not revealed to a stranger.
pub fn invalid() -> Refusal {
    refused("token_invalid", "the token is not valid")
}

/// The token has expired.
pub fn expired() -> Refusal {
    refused("token_expired", "the token has expired; ask for a new one")
}

/// The token is longer than [`MAX_TOKEN_BYTES`].
pub fn too_long() -> Refusal {
    refused("token_malformed", "the token is too long")
}

/// The refusal for a failed verification.
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
