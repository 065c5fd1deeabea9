//! Ours: `inopsio serve`.
