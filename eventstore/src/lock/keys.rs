//! The keys of all advisory locks: here and nowhere else, so that the compiler refuses two that are equal.
//!
//! Whoever needs one adds a variant. Locks are per database; Postgres keeps those of one number and those of two apart. A test in
//! `tests/layering` refuses keys that are not from here.

/// A lock of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum LockKey {
    /// Roles, databases and the log's tables are being made: in the database that the admin connects to.
    Migrating = 7_164_702_800,
    /// Somebody writes to the log; `log.append` takes it too.
    Writing = 7_164_702_801,
    /// The active relay.
    Relay = 7_164_702_802,
    /// The active deliverer of webhooks.
    Deliverer = 7_164_702_803,
    /// Cold streams are moved to the archive.
    Archiving = 7_164_702_804,
    /// The active sealer.
    Sealer = 7_164_702_805,
    /// The projector's tables are being made.
    MigratingProjections = 7_164_702_810,
    /// The active coordinator of sagas.
    Coordinator = 7_164_702_820,
    /// The coordinator's tables are being made.
    MigratingSagas = 7_164_702_821,
    /// The tables of jobs are being made.
    MigratingJobs = 7_164_702_830,
    /// The tables of dead letters are being made.
    MigratingDeadLetters = 7_164_702_840,
    /// Who tells of dead letters on the bus.
    DeadLetterPublisher = 7_164_702_841,
    /// The tables of webhooks are being made.
    MigratingWebhooks = 7_164_702_850,
    /// The directory of tenants is being made: in the database that the admin connects to.
    MigratingDirectory = 7_164_702_860,
    /// Where a tenant lives is being changed: in the directory's database.
    Placing = 7_164_702_861,
}

impl LockKey {
    /// The number.
    pub const fn number(self) -> i64 {
        self as i64
    }
}

/// The first number of a lock of two; the second says which one of many: `hashtext` of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum LockClass {
    /// A partition of a projection is applied.
    Projection = 71_647,
    /// A projection is built anew.
    ProjectionBuild = 71_648,
    /// An instance can apply a projection.
    ProjectionPresent = 71_649,
    /// A request about dead letters is carried out.
    DeadLetterRequest = 71_650,
    /// A tenant's webhooks are counted.
    WebhooksOfTenant = 71_651,
    /// A tenant is moved to another cell, or asked to be deleted, or restored: in the directory's database.
    PlaceOfTenant = 71_652,
}

impl LockClass {
    /// The number.
    pub const fn number(self) -> i32 {
        self as i32
    }
}
