//! What the machine says: flushes of Postgres, memory and processor time of processes, the disk.

use crate::common::postgres::Database;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Calls of fdatasync by Postgres so far. A backend that fell idle reports its share after ten seconds.
pub async fn flushes(database: &Database) -> f64 {
    sleep(Duration::from_secs(11)).await;
    let count = database.value("select wal_sync from pg_stat_wal");
    count.parse().expect("a number")
}

/// One-row commits in turn: the middle time of one in milliseconds, with its flush and without.
pub async fn commits(database: &Database) -> (f64, f64) {
    let (client, connection) =
        tokio_postgres::connect(&database.url("postgres"), tokio_postgres::NoTls)
            .await
            .expect("Postgres answers");
    let connection = tokio::spawn(connection);
    let run = |sql| client.batch_execute(sql);
    run("create table bench_commit (n integer)").await.unwrap();
    let mut medians = [0.0; 2];
    for (median, mode) in medians.iter_mut().zip(["on", "off"]) {
        let set = format!("set synchronous_commit = {mode}");
        client.batch_execute(&set).await.unwrap();
        let mut times = Vec::new();
        for _ in 0..300 {
            let start = Instant::now();
            run("insert into bench_commit values (1)").await.unwrap();
            times.push(milliseconds(start.elapsed()));
        }
        *median = crate::report::percentile(&mut times, 50.0);
    }
    run("drop table bench_commit").await.unwrap();
    drop(client);
    let _ = connection.await;
    (medians[0], medians[1])
}

/// What 64 bytes of memory cost in a walk through 1 MiB without order, in nanoseconds: in the middle one of walks without a
/// pause, and of walks after 60 ms of sleep. On a shared machine the caches are others' by then, and all that begins after a
/// pause is slower by it.
pub fn memory() -> (f64, f64) {
    #[repr(align(64))]
    struct Line(usize);
    const LINES: usize = 1 << 14;
    // A linear congruence goes through all of them before it comes back (Hull and Dobell, 1962).
    let lines: Vec<Line> = (0..LINES)
        .map(|at| Line((at * 8121 + 28411) % LINES))
        .collect();
    let walk = |pause| {
        std::thread::sleep(pause);
        let start = Instant::now();
        let end = (0..LINES).fold(0, |at, _| std::hint::black_box(lines[at].0));
        assert_eq!(end, 0, "once through all of them");
        milliseconds(start.elapsed()) * 1e6 / LINES as f64
    };
    let median = |pause| {
        let mut times: Vec<_> = (0..31).map(|_| walk(pause)).collect();
        crate::report::percentile(&mut times, 50.0)
    };
    (median(Duration::ZERO), median(Duration::from_millis(60)))
}

pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Memory of a process in KiB.
pub fn rss_kib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(f64::NAN)
}

/// Processor time a process has used, in seconds; dead children are not in it.
pub fn cpu(pid: u32) -> f64 {
    const TICKS: f64 = 100.0;
    let fields = stat(pid);
    let number = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok());
    (number(11).unwrap_or(0.0) + number(12).unwrap_or(0.0)) / TICKS
}

/// The same of Postgres: its first process and all it has started.
pub fn postgres_cpu() -> f64 {
    let first = postmaster();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let ours = pids.filter(|pid| stat(*pid).get(1).and_then(|f| f.parse().ok()) == Some(first));
    cpu(first) + ours.map(cpu).sum::<f64>()
}

/// The fields of /proc/<pid>/stat from the state on: what comes before it may hold spaces.
fn stat(pid: u32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let (_, rest) = text.rsplit_once(')').unwrap_or_default();
    rest.split_whitespace().map(str::to_owned).collect()
}

/// Where the scratch server has its data.
pub fn data_folder() -> PathBuf {
    let folder = std::env::var("MESH_TEST_SOCKET").expect("run it by `make bench`");
    PathBuf::from(folder).join("data")
}

/// The first process of the scratch server.
pub fn postmaster() -> u32 {
    let file = std::fs::read_to_string(data_folder().join("postmaster.pid")).unwrap_or_default();
    let first = file.lines().next().unwrap_or_default();
    first.trim().parse().unwrap_or(0)
}

/// Processor time of relay, Postgres and this program since `begin`, in processors.
pub struct Load {
    relays: Vec<u32>,
    at: Instant,
    used: [f64; 3],
}

impl Load {
    pub fn begin(relays: &[u32]) -> Load {
        Load {
            relays: relays.to_vec(),
            at: Instant::now(),
            used: used(relays),
        }
    }

    pub fn end(&self) -> [f64; 3] {
        let seconds = self.at.elapsed().as_secs_f64();
        let now = used(&self.relays);
        std::array::from_fn(|i| (now[i] - self.used[i]) / seconds)
    }
}

fn used(relays: &[u32]) -> [f64; 3] {
    let relays = relays.iter().map(|pid| cpu(*pid)).sum();
    [relays, postgres_cpu(), cpu(std::process::id())]
}
