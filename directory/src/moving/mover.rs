//! Moves a tenant from one cell to another, while it works.
//!
//! 1. The map notes that a move has begun; the new cell lets nobody in.
//! 2. History is copied in rounds while the tenant writes, until a round is short; the new cell's read models follow.
//! 3. The tenant's writes, and nobody else's, are paused in the old cell, for a time that ends by itself. The rest is copied, both
//!    sides are read back and compared, the read models have all of it.
//! 4. The pause is made one that does not end by itself, and the map says that the tenant lives in the new cell: the turning point.
//! 5. What is in the old cell is closed for good; what stands beside the log goes along, and the tenant is let in, in one transaction a
//!    service.
//!
//! Killed before the turning point, the tenant goes on where it was (during a pause: as soon as that ends); after it, it is let in by
//! whoever runs the move again. Either way the same command goes on where it stopped.

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

use super::beside;
use super::error::{MoveError, Result, at};
use super::leg::Leg;
use crate::holdings::Holdings;
use crate::place::{Moving, Place, Placed};
use crate::placements::{Placements, PlacementsError};
use crate::tenants::{Directory, Tenant};

/// The longest that a tenant's writes are paused by somebody who is not heard of any more.
const PAUSE: Duration = Duration::from_secs(10);

/// A round that took no longer is short enough to be the last one, or nearly.
const SHORT: Duration = Duration::from_millis(250);

/// So many rounds at most: a tenant that writes faster than it is copied is paused all the same, for as long as the rest takes.
const ROUNDS: usize = 20;

/// How long the read models of the new cell may take for a round, and for the rest.
const FOLLOW: Duration = Duration::from_mins(10);
const FOLLOW_IN_PAUSE: Duration = Duration::from_secs(6);

/// How long consumers of the new cell may take to heed what was decided in the last moment.
const SETTLE_IN_PAUSE: Duration = Duration::from_secs(2);

/// How often it is begun before it is given up, where people decide about dead letters meanwhile.
const ATTEMPTS: u32 = 3;

/// What was moved of a service.
#[derive(Clone, Debug, Serialize)]
pub struct MovedService {
    /// Its name.
    pub service: &'static str,
    /// Events.
    pub events: u64,
    /// Streams.
    pub streams: usize,
    /// Root of the tenant's tree, the same in both cells; hexadecimal.
    pub root: String,
}

/// A move that ended.
#[derive(Clone, Debug, Serialize)]
pub struct Moved {
    /// From where.
    pub from: String,
    /// To where.
    pub to: String,
    /// What, where it was compared by this run.
    pub services: Vec<MovedService>,
    /// How many rounds it took while the tenant wrote.
    pub rounds: usize,
    /// How long the tenant's writes were paused, in seconds; none: the pause was another run's.
    pub paused_seconds: Option<f64>,
    /// How long all of it took, in seconds.
    pub seconds: f64,
}

/// Moves tenants.
pub struct Mover<'a> {
    config: &'a Config,
    /// Of each service.
    holdings: Vec<Holdings>,
    directory: Directory,
    placements: Placements,
    clock: &'a dyn Clock,
}

impl<'a> Mover<'a> {
    /// By this configuration, which names the cells; `holdings`: of each service.
    pub fn new(config: &'a Config, holdings: Vec<Holdings>, clock: &'a dyn Clock) -> Self {
        let directory = Directory::open(config);
        Self { config, holdings, placements: Placements::of(&directory), directory, clock }
    }

    /// Moves a tenant, or goes on with its move. `news` is told what is done.
    ///
    /// # Errors
    /// When it can't be moved; then it goes on where it is, unless the error came after the turning point.
    pub async fn go(&self, tenant: &str, to: &str, news: &dyn Fn(&str)) -> Result<Moved> {
        let began = Instant::now();
        self.cell(to)?;
        let tenant = self.directory.find(tenant).await?;
        let _turn = self.turn(&tenant).await?;
        if self.directory.is_being_deleted(tenant.tenant_id).await? {
            let what = "the tenant is to be deleted; take that back first (inopsio tenant undelete)";
            return Err(MoveError::Unsettled(what.to_owned()));
        }
        let mut place = self.placements.place(tenant.tenant_id).await?;
        let lives = self.lives(&tenant).await?;
        if let Some(event) = place.begin(&lives, to).map_err(PlacementsError::from)? {
            self.look_at(&lives, to).await?;
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
            self.let_in(tenant.tenant_id, &moving).await?;
        } else {
            let mut legs = self.legs(tenant.tenant_id, &moving).await?;
            let bus = self.bus(&moving).await;
            let mut attempts = 1..=ATTEMPTS;
            let paused = loop {
                self.copy(&mut legs, bus.as_ref(), news, &mut moved.rounds).await?;
                news("the tenant's writes are paused");
                let paused = Instant::now();
                attempts.next();
                match self.turn_over(tenant.tenant_id, &moving, &mut legs, bus.as_ref(), &place).await {
                    Ok((after, compared)) => {
                        place = after;
                        moved.services = compared;
                        break paused;
                    }
                    Err(error) => {
                        self.stay(tenant.tenant_id, &mut legs).await;
                        if !matches!(error, MoveError::Decided(_)) || attempts.is_empty() {
                            return Err(error);
                        }
                        news("the tenant goes on where it was: somebody decided about a dead letter");
                    }
                }
            };
            self.open(tenant.tenant_id, &moving, &mut legs).await?;
            moved.paused_seconds = Some(paused.elapsed().as_secs_f64());
        }
        self.forget(&moving, tenant.tenant_id).await;
        self.placements.note(tenant.tenant_id, place, Placed::MoveEnded, self.clock).await?;
        moved.seconds = began.elapsed().as_secs_f64();
        Ok(moved)
    }

    /// After an error the tenant goes on where it was, unless it is past the turning point.
    async fn stay(&self, tenant: TenantId, legs: &mut [Leg]) {
        match self.placements.place(tenant).await {
            Ok(place) if past(&place) => return,
            Ok(_) => {}
            // Let in where it was, it might be in both cells.
            Err(error) => {
                tracing::error!(
                    %tenant, %error,
                    "the directory can't be read, so it is not known where the tenant lives: its writes may be paused until the same \
                     command is given again, or with --undo (inopsio tenant move)"
                );
                return;
            }
        }
        for leg in legs {
            // Each, whatever becomes of the others; what was wrong first is what is told.
            if let Err(error) = beside::resume(leg.transfer.old(), tenant).await {
                let service = leg.holdings.service.name();
                tracing::error!(service, %error, "the tenant is still paused: undo the move");
            }
        }
    }

    /// What is touched in the old cell is not noted any more. Where it still is, it costs a little, and the next move goes on with it.
    async fn forget(&self, moving: &Moving, tenant: TenantId) {
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

    /// The tenant stays where it is. What was copied stays, too, until it is [purged](Self::purge) or moved to after all.
    ///
    /// # Errors
    /// When it is not on its way, or past the turning point.
    pub async fn undo(&self, tenant: &str) -> Result<Tenant> {
        let tenant = self.directory.find(tenant).await?;
        let _turn = self.turn(&tenant).await?;
        let place = self.placements.place(tenant.tenant_id).await?;
        let event = place.undo().map_err(PlacementsError::from)?;
        if let Some(moving) = &place.moving {
            for held in &self.holdings {
                let mut old = self.connect(held.service, &moving.from).await?;
                beside::resume(&mut old, tenant.tenant_id).await?;
                close(old).await;
            }
            self.forget(moving, tenant.tenant_id).await;
        }
        self.placements.note(tenant.tenant_id, place, event, self.clock).await?;
        Ok(tenant)
    }

    /// Deletes what can be deleted of a copy in which the tenant does not live: an old one, or that of a move that was taken back; in
    /// which cell that was.
    ///
    /// # Errors
    /// When there is none.
    pub async fn purge(&self, tenant: &str) -> Result<String> {
        let tenant = self.directory.find(tenant).await?;
        let _turn = self.turn(&tenant).await?;
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

    /// Whether both cells answer, and are two: before anything is noted that would have to be taken back.
    async fn look_at(&self, from: &str, to: &str) -> Result<()> {
        for held in &self.holdings {
            let mut clusters = Vec::new();
            for cell in [from, to] {
                let mut there = self.connect(held.service, cell).await?;
                // A cluster made of a copy of another's files has its identifier, too, but its server began by itself.
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

    /// A service's database of a cell, as a superuser.
    async fn connect(&self, service: Service, cell: &str) -> Result<sqlx::PgConnection> {
        let connected = self.admin(service, cell)?.disable_statement_logging().connect().await;
        at(cell, connected.map_err(Into::into), service.name())
    }

    /// The cell in which a tenant lives.
    async fn lives(&self, tenant: &Tenant) -> Result<String> {
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

    /// How a service's database of a cell is reached, as a superuser.
    fn admin(&self, service: Service, name: &str) -> Result<PgConnectOptions> {
        let url = self.cell(name)?.admin_url.reveal();
        let options: PgConnectOptions = url.parse().map_err(|_| MoveError::AdminUrl(name.to_owned()))?;
        if url.is_empty() {
            return Err(MoveError::AdminUrl(name.to_owned()));
        }
        Ok(options.database(&self.config.database(service).name))
    }

    /// That nobody else moves the tenant meanwhile: held as long as the connection is.
    async fn turn(&self, tenant: &Tenant) -> Result<PoolConnection<Postgres>> {
        let turn = self.directory.turn(tenant.tenant_id).await?;
        turn.ok_or_else(|| MoveError::Busy(tenant.slug.clone()))
    }

    async fn legs(&self, tenant: TenantId, moving: &Moving) -> Result<Vec<Leg>> {
        let mut legs = Vec::new();
        for held in &self.holdings {
            let mut leg = self.leg(held, tenant, moving).await?;
            at(&moving.to, leg.transfer.expect(&moving.from).await, leg.holdings.service.name())?;
            legs.push(leg);
        }
        Ok(legs)
    }

    async fn leg(&self, held: &Holdings, tenant: TenantId, moving: &Moving) -> Result<Leg> {
        let (from, to) = (self.admin(held.service, &moving.from)?, self.admin(held.service, &moving.to)?);
        Leg::begin(held.clone(), self.config, tenant, moving, &from, to).await
    }

    /// Copies while the tenant writes.
    async fn copy(&self, legs: &mut [Leg], bus: Option<&Bus>, news: &dyn Fn(&str), rounds: &mut usize) -> Result<()> {
        loop {
            *rounds += 1;
            let began = Instant::now();
            for leg in legs.iter_mut() {
                leg.settled_here().await?;
            }
            let copied: u64 = try_join_all(legs.iter_mut().map(|leg| leg.round(bus))).await?.into_iter().sum();
            let took = began.elapsed();
            news(&format!("round {rounds}: {copied} events in {:.2} s", took.as_secs_f64()));
            let mut built = false;
            for leg in legs.iter_mut() {
                built |= leg.build_anew(self.config, news).await?;
            }
            if (took > SHORT || built) && *rounds < ROUNDS {
                continue;
            }
            // What people decided about dead letters holds there too, before anything rests on it: also where a program there could take
            // what could not be taken here.
            try_join_all(legs.iter().map(|leg| leg.follow(FOLLOW))).await?;
            let mut overruled = false;
            for leg in legs.iter_mut() {
                overruled |= leg.decided().await?;
            }
            if !overruled {
                break;
            }
            if *rounds >= ROUNDS {
                for leg in legs.iter_mut() {
                    leg.build_anew(self.config, news).await?;
                }
                break;
            }
        }
        for leg in legs.iter_mut() {
            leg.settled_there(FOLLOW_IN_PAUSE).await?;
        }
        Ok(())
    }

    /// The pause, up to the turning point.
    async fn turn_over(
        &self,
        tenant: TenantId,
        moving: &Moving,
        legs: &mut [Leg],
        bus: Option<&Bus>,
        place: &Place,
    ) -> Result<(Place, Vec<MovedService>)> {
        for leg in legs.iter_mut() {
            at(&moving.from, leg.transfer.pause(&moving.to, PAUSE).await, leg.holdings.service.name())?;
        }
        let compared = try_join_all(legs.iter_mut().map(async |leg| {
            leg.round(bus).await?;
            let compared = at(&moving.to, leg.transfer.compare().await, leg.holdings.service.name())?;
            leg.follow(FOLLOW_IN_PAUSE).await?;
            Ok::<_, MoveError>((leg.holdings.service.name(), compared))
        }))
        .await?;
        for leg in legs.iter_mut() {
            leg.settled_here().await?;
            // Nobody decides any more. What is parked there, too, is tried once more; what was taken otherwise takes longer than a pause may.
            if leg.decided().await? {
                return Err(MoveError::Decided(leg.holdings.service.name()));
            }
            leg.settled_there(SETTLE_IN_PAUSE).await?;
        }
        for leg in legs.iter_mut() {
            at(&moving.from, leg.transfer.hold().await, leg.holdings.service.name())?;
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

    /// Closes the old copy for good, and lets the tenant in.
    async fn open(&self, tenant: TenantId, moving: &Moving, legs: &mut [Leg]) -> Result<()> {
        let all = legs.iter_mut().map(async |leg| {
            let name = leg.holdings.service.name();
            at(&moving.from, leg.transfer.leave(&moving.to).await, name)?;
            let looked = beside::sagas_looked_up_to(leg.transfer.old(), tenant).await?;
            let mut opening = at(&moving.to, leg.transfer.open().await, name)?;
            let carried = beside::carry(&mut opening, looked).await;
            at(&moving.to, carried, name)?;
            at(&moving.to, opening.finish().await, name)
        });
        try_join_all(all).await?;
        Ok(())
    }

    /// The same for a move that broke off after the turning point: where the tenant was let in already, it writes.
    async fn let_in(&self, tenant: TenantId, moving: &Moving) -> Result<()> {
        let mut legs = Vec::new();
        for held in &self.holdings {
            let name = held.service.name();
            let mut there = self.connect(held.service, &moving.to).await?;
            let standing = at(&moving.to, transfer::standing(&mut there, tenant).await, name)?;
            close(there).await;
            if standing == Some(Closure::Arriving) {
                legs.push(self.leg(held, tenant, moving).await?);
            }
        }
        self.open(tenant, moving, &mut legs).await
    }

    /// The new cell's bus, to wake its relays; none: they look by themselves, a second later.
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

/// Whether the tenant lives in its new cell.
fn past(place: &Place) -> bool {
    place.moving.as_ref().is_none_or(|moving| moving.moved)
}

async fn close(connection: sqlx::PgConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "a connection did not close in good order");
    }
}
