//! The relay: HTTP and WebSocket in front, Postgres behind, no truth in between.
//!
//! A call comes in by `http` or `socket`, passes `calls` (limits, signatures, waits) and reaches the database by `batch`, or
//! `aside` what nobody else should wait for, and `database`, the only way there. `listen` hears that something changed, `mail`
//! asks what for whom, `hub` hands it to the sockets, `presence` reports receipts and who is there and ends what is `held` under
//! refused keys. `schema` is what the database says it can do. Nothing here knows what a function means: types in the catalogue
//! and the answer's effects say what to do.

mod arguments;
mod aside;
mod attached;
mod awaited;
mod batch;
mod body;
mod calls;
mod database;
mod frames;
mod held;
mod http;
mod hub;
mod limits;
mod listen;
mod mail;
mod metrics;
mod outbox;
mod page;
mod presence;
mod schema;
mod server;
mod socket;
mod tls;
mod wire;

pub use limits::KEY as CALLS_PER_SECOND;

use crate::error::{Error, Result};
use crate::postgres::connect;
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::sync::{Notify, Semaphore, watch};

/// What a relay is started with.
pub struct Options {
    pub listen: SocketAddr,
    /// what clients reach it by; the listening address when absent
    pub public_url: Option<String>,
    pub database_url: String,
    /// PEM files; both or none
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// PEM file with the authority of the database's certificate
    pub database_ca: Option<PathBuf>,
    /// of one key
    pub calls_per_second: u32,
}

/// What the parts of one relay share.
struct Relay {
    /// names this process to the database, which then leaves pushes of its own calls to it
    id: uuid::Uuid,
    public_url: String,
    database_url: String,
    database_ca: Option<PathBuf>,
    /// for calls that others wait for
    hasty: deadpool_postgres::Pool,
    /// for calls on their own, and what else takes its time
    patient: deadpool_postgres::Pool,
    /// for what names every window: a connection keeps the room of its longest statement
    windows: deadpool_postgres::Pool,
    /// read-only calls at once
    reads: Semaphore,
    lanes: batch::Lanes,
    aside: aside::Aside,
    hub: hub::Hub,
    held: held::Held,
    limits: limits::Limits,
    metrics: metrics::Metrics,
    schema: schema::Schema,
    /// bytes of request bodies that may be held at once
    memory: Arc<Semaphore>,
    /// over from the moment the relay is told to stop
    end: outbox::End,
    /// counts pings of the database
    pings: watch::Sender<u64>,
    /// counts what may end a wait: pings, looks after them, and calls of this relay
    wakes: watch::Sender<u64>,
    /// look for mail now
    sweep: Notify,
    /// report receipts and presence now
    report: Notify,
    /// look after the database now
    check: Notify,
}

const READS: usize = 8;
/// Connections of the tasks about windows: mail, presence.
const WINDOWS: usize = 2;
/// Those of the others: refused keys, the tick, maintenance.
const TASKS: usize = 3;
const MEMORY: usize = 256 << 20;

/// Serves until `stop` resolves, then drains for at most 10 seconds. `ready` is told the bound address once it
/// listens; the database may still be away then, `/health` says so. ME400 for options that cannot work,
/// ME503 when the address is taken.
pub async fn serve(
    options: Options,
    stop: impl Future<Output = ()>,
    ready: tokio::sync::oneshot::Sender<SocketAddr>,
) -> Result<()> {
    let acceptor = tls::acceptor(options.tls_cert.as_deref(), options.tls_key.as_deref())?;
    let pool = |size| connect::pool(&options.database_url, options.database_ca.as_deref(), size);
    let hasty = pool(batch::LANES + aside::HASTY)?;
    let patient = pool(aside::PATIENT + READS + TASKS)?;
    let windows = pool(WINDOWS)?;
    let listener = tokio::net::TcpListener::bind(options.listen)
        .await
        .map_err(|e| Error::unavailable(format!("cannot listen on {}: {e}", options.listen)))?;
    let address = listener.local_addr()?;
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    let public_url = options
        .public_url
        .unwrap_or_else(|| format!("{scheme}://{address}"));
    let (lanes, queues) = batch::lanes();
    let relay = Arc::new(Relay {
        id: uuid::Uuid::new_v4(),
        public_url: public_url.trim_end_matches('/').to_owned(),
        database_url: options.database_url,
        database_ca: options.database_ca,
        hasty,
        patient,
        windows,
        reads: Semaphore::new(READS),
        lanes,
        aside: aside::Aside::new(),
        hub: hub::Hub::default(),
        held: held::Held::default(),
        limits: limits::Limits::new(options.calls_per_second),
        metrics: metrics::Metrics::default(),
        schema: schema::Schema::default(),
        memory: Arc::new(Semaphore::new(MEMORY)),
        end: outbox::End::default(),
        pings: watch::Sender::new(0),
        wakes: watch::Sender::new(0),
        sweep: Notify::new(),
        report: Notify::new(),
        check: Notify::new(),
    });

    let mut tasks = tokio::task::JoinSet::new();
    for queue in queues {
        tasks.spawn(batch::lane(relay.clone(), queue));
    }
    tasks.spawn(listen::run(relay.clone()));
    tasks.spawn(mail::run(relay.clone()));
    tasks.spawn(presence::report(relay.clone()));
    tasks.spawn(presence::watch_keys(relay.clone()));
    tasks.spawn(presence::tick(relay.clone()));
    tasks.spawn(presence::maintain(relay.clone()));
    let _ = ready.send(address);
    server::accept(&relay, listener, acceptor, stop).await;
    presence::leave(&relay).await;
    Ok(())
}
