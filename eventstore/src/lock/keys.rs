//! The keys of all advisory locks, in one place, so that the compiler refuses duplicates.
//!
//! To add a lock, add a variant. Locks are per database. Postgres keeps locks with one number (bigint) and with two numbers (int, int)
//! apart. A test in `tests/layering` refuses keys that are defined elsewhere.

/// Locks that are identified by one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum LockKey {
    /// Creation of roles, databases and the log's tables; in the database to which the admin connects.
    Migrating = 7_164_702_800,
    /// Writing to the log; `log.append` takes it too.
    Writing = 7_164_702_801,
    /// The active relay.
    Relay = 7_164_702_802,
    /// The active webhook deliverer.
    Deliverer = 7_164_702_803,
    /// Moving cold streams to the archive.
    Archiving = 7_164_702_804,
    /// The active sealer.
    Sealer = 7_164_702_805,
    /// The mark of the claim key. Whoever appends under it shares the lock; `log.claim_key_mark` replaces no mark while it is held.
    ClaimKey = 7_164_702_806,
    /// Creation of the projector's tables.
    MigratingProjections = 7_164_702_810,
    /// The active saga coordinator.
    Coordinator = 7_164_702_820,
    /// Creation of the saga coordinator's tables.
    MigratingSagas = 7_164_702_821,
    /// Creation of the tables of jobs.
    MigratingJobs = 7_164_702_830,
    /// Creation of the tables of dead letters.
    MigratingDeadLetters = 7_164_702_840,
    /// The active publisher of dead letters to the bus.
    DeadLetterPublisher = 7_164_702_841,
    /// Creation of the tables of webhooks.
    MigratingWebhooks = 7_164_702_850,
    /// Creation of the tenant directory; in the database to which the admin connects.
    MigratingDirectory = 7_164_702_860,
    /// Changing the cell of a tenant; in the directory's database.
    Placing = 7_164_702_861,
}

impl LockKey {
    /// The number.
    pub const fn number(self) -> i64 {
        self as i64
    }
}

/// The first number of locks that are identified by two numbers. The second one is `hashtext` of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum LockClass {
    /// The active instance of a projection's partition.
    Projection = 71_647,
    /// The rebuild of a projection.
    ProjectionBuild = 71_648,
    /// Held by every instance that can apply a projection.
    ProjectionPresent = 71_649,
    /// Execution of a request about dead letters.
    DeadLetterRequest = 71_650,
    /// Counting a tenant's webhooks.
    WebhooksOfTenant = 71_651,
    /// Moving, deleting or restoring a tenant; in the directory's database.
    PlaceOfTenant = 71_652,
}

impl LockClass {
    /// The number.
    pub const fn number(self) -> i32 {
        self as i32
    }
}
