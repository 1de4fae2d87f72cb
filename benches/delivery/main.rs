//! `make bench`: how fast messages are delivered, by real relays over real sockets on a real Postgres.

#[path = "../../tests/common/mod.rs"]
mod common;

mod broadcast;
mod calls;
// The program's own; not all of it is measured.
#[allow(dead_code, unused_imports)]
#[path = "../../src/canonical.rs"]
mod canonical;
mod client;
#[cfg(test)]
#[allow(dead_code)]
#[path = "../../src/corpus.rs"]
mod corpus;
#[allow(dead_code, unused_imports)]
#[path = "../../src/crypto/mod.rs"]
mod crypto;
#[allow(dead_code)]
#[path = "../../src/error.rs"]
mod error;
mod idle_cost;
mod idle_latency;
mod kills;
mod measure;
mod open_loop;
mod pipelined;
mod report;
mod sealing;
mod sql_callers;
mod traffic;
mod world;

use clap::Parser;
use common::postgres::Database;
use report::Report;
use world::World;

/// Measures delivery and prints a table; nothing is judged. With BENCH_JSON=FILE also JSON lines.
///
/// a  one message at a time: one-way latency        b  1 -> 1 and 16 -> 16 pipelined
/// c  a broadcast to 100 and 1,000 agents           d  relay with 0, 100 and 1,000 idle agents
/// e  relay and Postgres killed in mid-run          f  500 to 20,000 msg/s offered, open loop
/// g  as b, but senders are raw SQL connections     h  as a, over two relays
/// i  calls over HTTP, as benches/calls.json says  j  sealing for 1, 10 and 100, and opening
///
/// flush/msg counts Postgres' calls of fdatasync for a message, in c a copy of it, that is sent, shown,
/// confirmed and acknowledged; a killed Postgres (e) loses its count. cpu is in processors: relay,
/// Postgres, and this program, which shares the machine.
#[derive(Parser)]
#[command(name = "delivery", verbatim_doc_comment)]
pub struct Options {
    /// Which to run, as letters; all when left out
    scenarios: Vec<char>,
    /// How long the loads of b, f and g run
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Make each flush so many milliseconds slower, by Postgres' commit_delay: other disks than this one
    #[arg(long, default_value_t = 0)]
    flush_ms: u32,
    /// d with so many agents as well, at most 9999 (a mesh has the founder too); it takes a file limit above 20,000
    #[arg(long)]
    agents: Option<usize>,
    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

const ALL: &[char] = &['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'];

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let interrupted = runtime.block_on(async {
        tokio::select! {
            () = run(&options) => false,
            _ = tokio::signal::ctrl_c() => true,
        }
    });
    // The relays are gone with what `run` held; the Postgres is taken away by tests/postgres.
    if interrupted {
        std::process::exit(130);
    }
}

async fn run(options: &Options) {
    let mut report = Report::new();
    slow_down(options.flush_ms).await;
    report.heading(&heading(options).await);
    for scenario in ALL {
        if !options.scenarios.is_empty() && !options.scenarios.contains(scenario) {
            continue;
        }
        let mut world = World::new();
        match scenario {
            'a' => idle_latency::run(&world, &mut report).await,
            'b' => pipelined::run(&world, &mut report, options).await,
            'c' => broadcast::run(&world, &mut report).await,
            'd' => idle_cost::run(&world, &mut report, options).await,
            'e' => kills::run(&mut world, &mut report).await,
            'f' => open_loop::run(&world, &mut report, options).await,
            'g' => sql_callers::run(&world, &mut report, options).await,
            'h' => idle_latency::run_two(&world, &mut report).await,
            'j' => sealing::run(&mut report),
            _ => calls::run(&world, &mut report).await,
        }
    }
}

async fn slow_down(milliseconds: u32) {
    let database = Database::empty();
    for set in [
        format!("commit_delay = {}", milliseconds * 1000),
        "commit_siblings = 0".into(),
    ] {
        database.value(&format!("alter system set {set}"));
    }
    database.value("select pg_reload_conf()");
}

async fn heading(options: &Options) -> Vec<String> {
    let database = Database::empty();
    let (durable, lazy) = measure::commits(&database).await;
    let (warm, cold) = measure::memory();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let slower = match options.flush_ms {
        0 => String::new(),
        ms => format!(", each flush made {ms} ms slower"),
    };
    vec![
        format!(
            "{processors} processors, shared with this program; load before it {load}; {}",
            database.value("select 'PostgreSQL ' || current_setting('server_version')")
        ),
        format!(
            "a one-row commit takes {durable:.2} ms, {:.2} ms of it the flush{slower}; fsync {}, synchronous_commit {}",
            durable - lazy,
            database.value("show fsync"),
            database.value("show synchronous_commit"),
        ),
        format!(
            "64 bytes of memory take {warm:.0} ns in a walk through 1 MiB, {cold:.0} ns after 60 ms of sleep"
        ),
        format!("data on {}", database.value("show data_directory")),
    ]
}
