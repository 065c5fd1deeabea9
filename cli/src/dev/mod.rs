//! `inopsio dev`: everything on one machine, in one terminal.
//!
//! [`environment`] takes the home (`.inopsio/`, [`home`], [`lock`]), recovers what a killed run left ([`process`]), makes the
//! [`secrets`] the first time, and starts a private [`postgres`] and [`nats`]-server on their [`ports`].

pub mod account;
pub mod environment;
pub mod home;
pub mod lock;
pub mod nats;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod secrets;
