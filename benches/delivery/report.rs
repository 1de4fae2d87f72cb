//! The table on stdout, and a JSON object per line in the file BENCH_JSON.

use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::Write;

/// What a scenario found. What does not apply is null.
#[derive(Default)]
pub struct Row {
    pub scenario: String,
    pub n: Option<u64>,
    pub acked: Option<u64>,
    pub received: Option<u64>,
    pub lost: Option<u64>,
    pub duplicated: Option<u64>,
    pub msgs_per_s: Option<f64>,
    /// of what `latency` says, in milliseconds
    pub times: Vec<f64>,
    pub latency: &'static str,
    pub flushes_per_message: Option<f64>,
    pub rss_mb: Option<f64>,
    /// relay, Postgres, this program; in processors
    pub load: Option<[f64; 3]>,
    /// fields only this scenario has
    pub more: Map<String, Value>,
    /// what it should be: never judged here
    pub target: &'static str,
}

pub struct Report {
    file: Option<File>,
}

impl Report {
    pub fn new() -> Report {
        let path = std::env::var_os("BENCH_JSON").filter(|path| !path.is_empty());
        let file = path.map(|path| {
            File::create(&path).unwrap_or_else(|e| panic!("{}: {e}", path.to_string_lossy()))
        });
        Report { file }
    }

    pub fn heading(&self, lines: &[String]) {
        for line in lines {
            println!("{line}");
        }
        println!();
        println!(
            "{:<34} {:>7} {:>7} {:>7} {:>4} {:>4} {:>7} {:>8} {:>8} {:>8} {:>9} {:>7} {:>15}  target",
            "scenario",
            "n",
            "acked",
            "recvd",
            "lost",
            "dup",
            "msg/s",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "flush/msg",
            "rss MB",
            "cpu relay/pg/me",
        );
    }

    pub fn row(&mut self, mut row: Row) {
        let at = |row: &mut Row, p| (!row.times.is_empty()).then(|| percentile(&mut row.times, p));
        let [p50, p95, p99] = [50.0, 95.0, 99.0].map(|p| at(&mut row, p));
        let name = match row.latency {
            "" => row.scenario.clone(),
            latency => format!("{}: {latency}", row.scenario),
        };
        let load = row
            .load
            .map(|load| load.map(|l| format!("{l:.2}")).join("/"));
        println!(
            "{name:<34} {:>7} {:>7} {:>7} {:>4} {:>4} {:>7} {:>8} {:>8} {:>8} {:>9} {:>7} {:>15}  {}",
            count(row.n),
            count(row.acked),
            count(row.received),
            count(row.lost),
            count(row.duplicated),
            number(row.msgs_per_s, 0),
            number(p50, 2),
            number(p95, 2),
            number(p99, 2),
            number(row.flushes_per_message, 4),
            number(row.rss_mb, 1),
            load.unwrap_or_default(),
            row.target,
        );
        for (name, value) in &row.more {
            println!("{:<34} {name} {value}", "");
        }
        let mut line = json!({
            "scenario": row.scenario, "n": row.n, "acked": row.acked, "received": row.received, "lost": row.lost,
            "duplicated": row.duplicated, "msgs_per_s": rounded(row.msgs_per_s), "latency": row.latency,
            "p50_ms": rounded(p50), "p95_ms": rounded(p95), "p99_ms": rounded(p99),
            "flushes_per_message": row.flushes_per_message, "rss_mb": rounded(row.rss_mb),
            "cpu_relay": row.load.map(|l| l[0]), "cpu_postgres": row.load.map(|l| l[1]), "cpu_client": row.load.map(|l| l[2]),
            "target": row.target,
        });
        line.as_object_mut().expect("an object").extend(row.more);
        if let Some(file) = &mut self.file {
            writeln!(file, "{line}").expect("the file of BENCH_JSON takes it");
        }
    }
}

/// Sorts the times and returns the one that so many percent do not exceed.
pub fn percentile(times: &mut [f64], percent: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * times.len() as f64).ceil() as usize;
    times[rank.clamp(1, times.len()) - 1]
}

fn rounded(value: Option<f64>) -> Option<f64> {
    value.map(|value| (value * 1000.0).round() / 1000.0)
}

fn count(value: Option<u64>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.digits$}"))
}
