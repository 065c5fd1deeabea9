//! Moves a tenant from one cell to another while it stays in use.
//!
//! 1. The placements record that a move has begun. The new cell accepts no requests of the tenant.
//! 2. The log is copied in rounds while the tenant writes, until a round is short. The new cell's read models apply the copied events.
//! 3. The tenant's writes, and only these, are paused in the old cell, for a limited time. The rest is copied, both copies are read and
//!    compared, and the read models catch up.
//! 4. The pause is made permanent, and the placements record that the tenant lives in the new cell. This is the cutover (in the command
//!    line's help, the turning point).
//! 5. For each service, the old copy is closed permanently. Then, in one transaction, the side tables are copied and the tenant may write
//!    in the new cell.
//!
//! If the process is killed before the cutover, the tenant continues in the old cell (during a pause, as soon as it ends). If it is killed
//! later, running the command again opens the new cell. In both cases the same command continues where it stopped.

use std::time::{Duration, Instant};

use config::{Cell, Config};
use eventstore::Closure;
use eventstore::transfer::{self, Compared};
use futures::future::try_join_all;
use kernel::{Clock, Service, TenantId};
use nats::Bus;
use serde::Serialize;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Postgres};

use super::error::{MoveError, Result, at};
use super::service_move::ServiceMove;
use super::side_tables;
use crate::holdings::Holdings;
use crate::place::{Moving, Place, Placed};
use crate::placements::{Placements, PlacementsError, Turn};
use crate::tenants::{Directory, Tenant};

/// The longest pause of a tenant's writes if this process is killed.
const PAUSE: Duration = Duration::from_secs(10);

/// A round that takes no longer than this is the last one before the pause.
const SHORT: Duration = Duration::from_millis(250);

/// The most rounds. After these, a tenant that writes faster than it is copied is paused all the same, for as long as the rest takes.
const ROUNDS: usize = 20;

/// How long the new cell's read models may take to catch up before the pause.
const CATCH_UP: Duration = Duration::from_mins(10);
/// How long they may take to catch up during the pause.
const CATCH_UP_IN_PAUSE: Duration = Duration::from_secs(6);

/// How long the new cell's consumers may take during the pause to apply operators' last decisions.
const SETTLE_IN_PAUSE: Duration = Duration::from_secs(2);

/// The most attempts, if operators keep deciding about dead letters meanwhile.
const ATTEMPTS: u32 = 3;

/// What was moved of one service.
#[derive(Clone, Debug, Serialize)]
pub struct MovedService {
    /// Its name.
    pub service: &'static str,
    /// The number of events.
    pub events: u64,
    /// The number of event streams.
    pub streams: usize,
    /// The root of the tenant's Merkle tree, the same in both cells, in hexadecimal digits.
    pub root: String,
}

/// A completed move.
#[derive(Clone, Debug, Serialize)]
pub struct Moved {
    /// The old cell.
    pub from: String,
    /// The new cell.
    pub to: String,
    /// What was moved; empty if an earlier run compared it.
    pub services: Vec<MovedService>,
    /// The number of rounds while the tenant could write.
    pub rounds: usize,
    /// How long the tenant's writes were paused, in seconds; `None` if the pause was in an earlier run.
    pub paused_seconds: Option<f64>,
    /// How long this run took, in seconds.
    pub seconds: f64,
}

/// Moves tenants.
pub struct Mover<'a> {
    config: &'a Config,
    /// What each service stores.
    holdings: Vec<Holdings>,
    directory: Directory,
    placements: Placements,
    clock: &'a dyn Clock,
}

impl<'a> Mover<'a> {
    /// Uses the cells of the configuration. `holdings` has an entry for each service.
    pub fn new(config: &'a Config, holdings: Vec<Holdings>, clock: &'a dyn Clock) -> Self {
        let directory = Directory::open(config);
        Self { config, holdings, placements: Placements::of(&directory), directory, clock }
    }

    /// Moves a tenant, or continues its move. `news` is called with messages about the progress.
    ///
    /// # Errors
    /// When the tenant can't be moved. It then continues in the old cell, unless the error came after the cutover.
    pub async fn go(&self, tenant: &str, to: &str, news: &dyn Fn(&str)) -> Result<Moved> {
        let began = Instant::now();
        self.cell(to)?;
        let tenant = self.directory.find(tenant).await?;
        let _lock = self.lock_place(&tenant).await?;
        if self.directory.is_being_deleted(tenant.tenant_id).await? {
            let what = "the tenant is to be deleted; take that back first (inopsio tenant undelete)";
            return Err(MoveError::Unsettled(what.to_owned()));
        }
        let mut place = self.placements.place(tenant.tenant_id).await?;
        let lives = self.current_cell(&tenant).await?;
        if let Some(event) = place.begin(&lives, to).map_err(PlacementsError::from)? {
            self.check_cells(&lives, to).await?;
            place = self.placements.note(tenant.tenant_id, place, event, self.clock).await?;
        }
        let Some(moving) = place.moving.clone() else { return Err(PlacementsError::Meanwhile.into()) };
        let mut moved = Moved {
            from: moving.from.clone(),
            to: moving.to.clone(),
            services: Vec::new(),
            rounds: 0,
            paused_seconds: None,
            seconds: 0.0,
        };
        if moving.moved {
            news("the tenant lives in the new cell already and is let in");
            self.finish_interrupted(tenant.tenant_id, &moving).await?;
        } else {
            let mut moves = self.service_moves(tenant.tenant_id, &moving).await?;
            let bus = self.bus(&moving).await;
            let mut attempts = 1..=ATTEMPTS;
            let paused = loop {
                self.copy(&mut moves, bus.as_ref(), news, &mut moved.rounds).await?;
                news("the tenant's writes are paused");
                let paused = Instant::now();
                attempts.next();
                match self.cut_over(tenant.tenant_id, &moving, &mut moves, bus.as_ref(), &place).await {
                    Ok((after, compared)) => {
                        place = after;
                        moved.services = compared;
                        break paused;
                    }
                    Err(error) => {
                        self.resume_in_old(tenant.tenant_id, &mut moves).await;
                        if !matches!(error, MoveError::Decided(_)) || attempts.is_empty() {
                            return Err(error);
                        }
                        news("the tenant goes on where it was: somebody decided about a dead letter");
                    }
                }
            };
            self.open_new_cell(tenant.tenant_id, &moving, &mut moves).await?;
            moved.paused_seconds = Some(paused.elapsed().as_secs_f64());
        }
        self.stop_tracking(&moving, tenant.tenant_id).await;
        self.placements.note(tenant.tenant_id, place, Placed::MoveEnded, self.clock).await?;
        moved.seconds = began.elapsed().as_secs_f64();
        Ok(moved)
    }

    /// Ends the pause in the old cell after an error, unless the cutover has happened.
    async fn resume_in_old(&self, tenant: TenantId, moves: &mut [ServiceMove]) {
        let _turn = match self.turn_before_cutover(tenant).await {
            Ok(Some(turn)) => turn,
            Ok(None) => return,
            // The cutover may have happened, and the tenant must not write in both cells.
            Err(error) => {
                tracing::error!(
                    %tenant, %error,
                    "the directory can't be read, so it is not known where the tenant lives: its writes may be paused until the same \
                     command is given again, or with --undo (inopsio tenant move)"
                );
                return;
            }
        };
        for moved in moves {
            // Resumes every service, even if one fails. The caller reports the original error.
            if let Err(error) = side_tables::resume(moved.transfer.old(), tenant).await {
                let service = moved.holdings.service.name();
                tracing::error!(service, %error, "the tenant is still paused: undo the move");
            }
        }
    }

    /// The turn to change the tenant's place, unless the cutover has happened. It does not happen as long as the turn is held, not even by a
    /// mover that was lost while Postgres committed it.
    async fn turn_before_cutover(&self, tenant: TenantId) -> Result<Option<Turn>> {
        let mut turn = self.placements.turn().await?;
        let place = turn.place(tenant).await?;
        Ok((!is_past_cutover(&place)).then_some(turn))
    }

    /// Stops recording the tenant's changed claims and commands in the old cell. A failure is harmless: recording costs little, and the
    /// next move uses it.
    async fn stop_tracking(&self, moving: &Moving, tenant: TenantId) {
        for held in &self.holdings {
            let service = held.service.name();
            let forgotten = match self.connect(held.service, &moving.from).await {
                Ok(mut old) => at(&moving.from, transfer::ended(&mut old, tenant).await, service),
                Err(error) => Err(error),
            };
            if let Err(error) = forgotten {
                tracing::warn!(%service, %error, "the old cell still notes what is touched of the tenant");
            }
        }
    }

    /// Cancels a move. The copied data remains in the new cell until it is [purged](Self::purge) or the tenant is moved there after all.
    ///
    /// # Errors
    /// When the tenant is not being moved, or the cutover has happened.
    pub async fn undo(&self, tenant: &str) -> Result<Tenant> {
        let tenant = self.directory.find(tenant).await?;
        let _lock = self.lock_place(&tenant).await?;
        // Held until the end is recorded, so that no cutover is recorded after the old cell was opened.
        let mut turn = self.placements.turn().await?;
        let place = turn.place(tenant.tenant_id).await?;
        let event = place.undo().map_err(PlacementsError::from)?;
        let moving = place.moving.clone();
        if let Some(moving) = &moving {
            for held in &self.holdings {
                let mut old = self.connect(held.service, &moving.from).await?;
                side_tables::resume(&mut old, tenant.tenant_id).await?;
                close(old).await;
            }
        }
        turn.note(tenant.tenant_id, place, event, self.clock).await?;
        if let Some(moving) = &moving {
            self.stop_tracking(moving, tenant.tenant_id).await;
        }
        Ok(tenant)
    }

    /// Deletes a copy that the tenant does not use, as far as possible: that of before its last move, or that of a cancelled move. Returns
    /// the cell of the copy.
    ///
    /// # Errors
    /// When there is no such copy.
    pub async fn purge(&self, tenant: &str) -> Result<String> {
        let tenant = self.directory.find(tenant).await?;
        let _lock = self.lock_place(&tenant).await?;
        let place = self.placements.place(tenant.tenant_id).await?;
        let (cell, event) = place.purge().map_err(PlacementsError::from)?;
        let cell = cell.to_owned();
        for held in &self.holdings {
            let mut old = self.connect(held.service, &cell).await?;
            let purged = transfer::purge(&mut old, held.service, tenant.tenant_id).await;
            purged.map_err(|error| MoveError::Transfer { service: held.service.name(), cell: cell.clone(), error })?;
            close(old).await;
        }
        self.placements.note(tenant.tenant_id, place, event, self.clock).await?;
        Ok(cell)
    }

    /// Checks that both cells answer and are different clusters, before the beginning of the move is recorded.
    async fn check_cells(&self, from: &str, to: &str) -> Result<()> {
        for held in &self.holdings {
            let mut clusters = Vec::new();
            for cell in [from, to] {
                let mut there = self.connect(held.service, cell).await?;
                // A cluster that was copied as files has the same identifier, but its server has another start time.
                let asked = sqlx::query_as(
                    "SELECT system_identifier, pg_postmaster_start_time()::text FROM pg_control_system()",
                );
                let cluster: std::result::Result<(i64, String), _> = asked.fetch_one(&mut there).await;
                clusters.push(at(cell, cluster.map_err(Into::into), held.service.name())?);
                close(there).await;
            }
            if clusters[0] == clusters[1] {
                return Err(MoveError::Same(from.to_owned(), to.to_owned()));
            }
        }
        Ok(())
    }

    /// Connects to a service's database in a cell, as a superuser.
    async fn connect(&self, service: Service, cell: &str) -> Result<sqlx::PgConnection> {
        let connected = self.admin(service, cell)?.disable_statement_logging().connect().await;
        at(cell, connected.map_err(Into::into), service.name())
    }

    /// The cell in which a tenant lives.
    async fn current_cell(&self, tenant: &Tenant) -> Result<String> {
        let found = self.placements.find(&tenant.tenant_id.to_string()).await?;
        let noted = found.and_then(|(_, cell)| cell);
        let home = || self.config.home_cell().map(str::to_owned);
        noted.or_else(home).ok_or_else(|| self.unknown("(none)"))
    }

    fn cell(&self, name: &str) -> Result<&Cell> {
        self.config.cells.get(name).ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> MoveError {
        let known: Vec<_> = self.config.cells.keys().map(String::as_str).collect();
        let known =
            if known.is_empty() { "there is none".to_owned() } else { format!("those are {}", known.join(", ")) };
        MoveError::UnknownCell { name: name.to_owned(), known }
    }

    /// The connection options of a service's database in a cell, as a superuser.
    fn admin(&self, service: Service, name: &str) -> Result<PgConnectOptions> {
        let url = self.cell(name)?.admin_url.reveal();
        let options: PgConnectOptions = url.parse().map_err(|_| MoveError::AdminUrl(name.to_owned()))?;
        if url.is_empty() {
            return Err(MoveError::AdminUrl(name.to_owned()));
        }
        Ok(options.database(&self.config.database(service).name))
    }

    /// Locks the tenant's place, so that no other process moves or deletes the tenant as long as the connection is open.
    async fn lock_place(&self, tenant: &Tenant) -> Result<PoolConnection<Postgres>> {
        let lock = self.directory.lock_place(tenant.tenant_id).await?;
        lock.ok_or_else(|| MoveError::Busy(tenant.slug.clone()))
    }

    /// Begins all moves, and closes the tenant in the new cell until it is complete there.
    async fn service_moves(&self, tenant: TenantId, moving: &Moving) -> Result<Vec<ServiceMove>> {
        let mut moves = Vec::new();
        for held in &self.holdings {
            let mut moved = self.service_move(held, tenant, moving).await?;
            at(&moving.to, moved.transfer.expect(&moving.from).await, moved.holdings.service.name())?;
            moves.push(moved);
        }
        Ok(moves)
    }

    async fn service_move(&self, held: &Holdings, tenant: TenantId, moving: &Moving) -> Result<ServiceMove> {
        let (from, to) = (self.admin(held.service, &moving.from)?, self.admin(held.service, &moving.to)?);
        ServiceMove::begin(held.clone(), self.config, tenant, moving, &from, to).await
    }

    /// Copies in rounds while the tenant writes, until the new cell is nearly up to date and has all decisions about dead letters.
    async fn copy(
        &self,
        moves: &mut [ServiceMove],
        bus: Option<&Bus>,
        news: &dyn Fn(&str),
        rounds: &mut usize,
    ) -> Result<()> {
        loop {
            *rounds += 1;
            let began = Instant::now();
            for moved in moves.iter_mut() {
                moved.check_old_settled().await?;
            }
            let copied: u64 = try_join_all(moves.iter_mut().map(|moved| moved.round(bus))).await?.into_iter().sum();
            let took = began.elapsed();
            news(&format!("round {rounds}: {copied} events in {:.2} s", took.as_secs_f64()));
            let mut built = false;
            for moved in moves.iter_mut() {
                built |= moved.rebuild_if_needed(self.config, news).await?;
            }
            if (took > SHORT || built) && *rounds < ROUNDS {
                continue;
            }
            // Copies operators' decisions about dead letters. They must hold in the new cell before the tenant uses it, even if the program
            // there can apply events that the old cell's program could not.
            try_join_all(moves.iter().map(|moved| moved.wait_for_read_models(CATCH_UP))).await?;
            let mut overruled = false;
            for moved in moves.iter_mut() {
                overruled |= moved.copy_decisions().await?;
            }
            if !overruled {
                break;
            }
            if *rounds >= ROUNDS {
                for moved in moves.iter_mut() {
                    moved.rebuild_if_needed(self.config, news).await?;
                }
                break;
            }
        }
        for moved in moves.iter_mut() {
            moved.wait_until_new_settled(CATCH_UP_IN_PAUSE).await?;
        }
        Ok(())
    }

    /// Pauses the tenant, copies and compares the rest, and records the cutover.
    async fn cut_over(
        &self,
        tenant: TenantId,
        moving: &Moving,
        moves: &mut [ServiceMove],
        bus: Option<&Bus>,
        place: &Place,
    ) -> Result<(Place, Vec<MovedService>)> {
        for moved in moves.iter_mut() {
            at(&moving.from, moved.transfer.pause(&moving.to, PAUSE).await, moved.holdings.service.name())?;
        }
        let compared = try_join_all(moves.iter_mut().map(async |moved| {
            moved.round(bus).await?;
            let compared = at(&moving.to, moved.transfer.compare().await, moved.holdings.service.name())?;
            moved.wait_for_read_models(CATCH_UP_IN_PAUSE).await?;
            Ok::<_, MoveError>((moved.holdings.service.name(), compared))
        }))
        .await?;
        for moved in moves.iter_mut() {
            moved.check_old_settled().await?;
            // During the pause no more decisions can be made. Events parked in the new cell are retried with them. If a read model there
            // has to be rebuilt, that takes longer than the pause, so the move starts another attempt.
            if moved.copy_decisions().await? {
                return Err(MoveError::Decided(moved.holdings.service.name()));
            }
            moved.wait_until_new_settled(SETTLE_IN_PAUSE).await?;
        }
        for moved in moves.iter_mut() {
            at(&moving.from, moved.transfer.hold().await, moved.holdings.service.name())?;
        }
        let place = self.placements.note(tenant, place.clone(), Placed::Moved, self.clock).await?;
        let services = compared.into_iter().map(|(service, Compared { events, streams, root, .. })| MovedService {
            service,
            events,
            streams,
            root: hex::encode(root),
        });
        Ok((place, services.collect()))
    }

    /// After the cutover: closes the old copy permanently, copies the side tables, and lets the tenant write in the new cell.
    async fn open_new_cell(&self, tenant: TenantId, moving: &Moving, moves: &mut [ServiceMove]) -> Result<()> {
        let all = moves.iter_mut().map(async |moved| {
            let name = moved.holdings.service.name();
            at(&moving.from, moved.transfer.leave(&moving.to).await, name)?;
            let processed = side_tables::sagas_processed_up_to(moved.transfer.old(), tenant).await?;
            let mut opening = at(&moving.to, moved.transfer.open().await, name)?;
            let copied = side_tables::copy_tables(&mut opening, processed).await;
            at(&moving.to, copied, name)?;
            at(&moving.to, opening.finish().await, name)
        });
        try_join_all(all).await?;
        Ok(())
    }

    /// Continues a move that was interrupted after the cutover: opens the services in which the tenant can't write yet.
    async fn finish_interrupted(&self, tenant: TenantId, moving: &Moving) -> Result<()> {
        let mut moves = Vec::new();
        for held in &self.holdings {
            let name = held.service.name();
            let mut there = self.connect(held.service, &moving.to).await?;
            let standing = at(&moving.to, transfer::standing(&mut there, tenant).await, name)?;
            close(there).await;
            if standing == Some(Closure::Arriving) {
                moves.push(self.service_move(held, tenant, moving).await?);
            }
        }
        self.open_new_cell(tenant, moving, &mut moves).await
    }

    /// The new cell's bus, to wake its relays. Without it (`None`) they find the events by polling, a second later.
    async fn bus(&self, moving: &Moving) -> Option<Bus> {
        let url = self.config.cells.get(&moving.to)?.nats_url.reveal();
        if url.is_empty() {
            return None;
        }
        let settings = nats::Settings::new(url, nats::Credentials::None, "inopsio tenant move");
        match Bus::connect(&settings).await {
            Ok(bus) => Some(bus),
            Err(error) => {
                tracing::warn!(%error, "the new cell's nats-server can't be reached; its relay looks by itself");
                None
            }
        }
    }
}

/// Whether the cutover has happened, so that the tenant lives in its new cell.
fn is_past_cutover(place: &Place) -> bool {
    place.moving.as_ref().is_none_or(|moving| moving.moved)
}

async fn close(connection: sqlx::PgConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "a connection did not close in good order");
    }
}
